"""Residual blocks with a gate per channel, with MinkowskiEngine's names of parameters."""

from typing import Optional

from torch import nn

from voxshift.torch.minkowski.broadcast import MinkowskiBroadcastMultiplication
from voxshift.torch.minkowski.modules.resnet_block import BasicBlock, Bottleneck
from voxshift.torch.minkowski.nonlinearity import NONLINEARITIES
from voxshift.torch.minkowski.ops import MinkowskiLinear
from voxshift.torch.minkowski.pooling import MinkowskiGlobalPooling


class SELayer(nn.Module):
    """Every channel times a gate that follows from the means of all channels over the batch."""

    def __init__(self, channel: int, reduction: int = 16, D: int = -1):
        super().__init__()
        self.fc = nn.Sequential(
            MinkowskiLinear(channel, channel // reduction),
            NONLINEARITIES["MinkowskiReLU"](inplace=True),
            MinkowskiLinear(channel // reduction, channel),
            NONLINEARITIES["MinkowskiSigmoid"](),
        )
        self.pooling = MinkowskiGlobalPooling()
        self.broadcast_mul = MinkowskiBroadcastMultiplication()

    def forward(self, x):
        return self.broadcast_mul(x, self.fc(self.pooling(x)))


class SEBasicBlock(BasicBlock):
    """BasicBlock with an SELayer before the sum."""

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        dilation: int = 1,
        downsample: Optional[nn.Module] = None,
        reduction: int = 16,
        D: int = -1,
    ):
        super().__init__(inplanes, planes, stride, dilation, downsample, dimension=D)
        self.se = SELayer(planes * self.expansion, reduction, D)

    def gated(self, out):
        return self.se(out)


class SEBottleneck(Bottleneck):
    """Bottleneck with an SELayer before the sum."""

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        dilation: int = 1,
        downsample: Optional[nn.Module] = None,
        D: int = 3,
        reduction: int = 16,
    ):
        super().__init__(inplanes, planes, stride, dilation, downsample, dimension=D)
        self.se = SELayer(planes * self.expansion, reduction, D)

    def gated(self, out):
        return self.se(out)
