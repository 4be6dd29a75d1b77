"""Residual blocks, with MinkowskiEngine's names of parameters."""

from typing import Optional

from torch import nn

from voxshift.torch.minkowski.convolution import MinkowskiConvolution
from voxshift.torch.minkowski.nonlinearity import NONLINEARITIES
from voxshift.torch.minkowski.normalization import MinkowskiBatchNorm

MinkowskiReLU = NONLINEARITIES["MinkowskiReLU"]


class BasicBlock(nn.Module):
    """Two convolutions of 3 taps per axis beside a shortcut."""

    expansion = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        dilation: int = 1,
        downsample: Optional[nn.Module] = None,
        bn_momentum: float = 0.1,
        dimension: int = -1,
    ):
        super().__init__()
        window = {"kernel_size": 3, "dilation": dilation, "dimension": dimension}
        self.conv1 = MinkowskiConvolution(inplanes, planes, stride=stride, **window)
        self.norm1 = MinkowskiBatchNorm(planes, momentum=bn_momentum)
        self.conv2 = MinkowskiConvolution(planes, planes, stride=1, **window)
        self.norm2 = MinkowskiBatchNorm(planes, momentum=bn_momentum)
        self.relu = MinkowskiReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x):
        out = self.relu(self.norm1(self.conv1(x)))
        out = self.gated(self.norm2(self.conv2(out)))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)

    def gated(self, out):
        """What is added to the shortcut."""
        return out


class Bottleneck(nn.Module):
    """A convolution of 3 taps per axis between two of one, beside a shortcut."""

    expansion = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        dilation: int = 1,
        downsample: Optional[nn.Module] = None,
        bn_momentum: float = 0.1,
        dimension: int = -1,
    ):
        super().__init__()
        out_planes, window = planes * self.expansion, {"kernel_size": 3, "stride": stride, "dilation": dilation}
        self.conv1 = MinkowskiConvolution(inplanes, planes, kernel_size=1, dimension=dimension)
        self.norm1 = MinkowskiBatchNorm(planes, momentum=bn_momentum)
        self.conv2 = MinkowskiConvolution(planes, planes, **window, dimension=dimension)
        self.norm2 = MinkowskiBatchNorm(planes, momentum=bn_momentum)
        self.conv3 = MinkowskiConvolution(planes, out_planes, kernel_size=1, dimension=dimension)
        self.norm3 = MinkowskiBatchNorm(out_planes, momentum=bn_momentum)
        self.relu = MinkowskiReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x):
        out = self.relu(self.norm1(self.conv1(x)))
        out = self.relu(self.norm2(self.conv2(out)))
        out = self.gated(self.norm3(self.conv3(out)))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)

    def gated(self, out):
        """What is added to the shortcut."""
        return out
