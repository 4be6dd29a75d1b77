"""Blocks of convolution, batch norm and ReLU."""

import math

from torch import nn

from voxshift.torch.torchsparse import nn as spnn
from voxshift.torch.torchsparse.nn.utils.kernel import Axes
from voxshift.torch.torchsparse.tensor import SparseTensor
from voxshift.torch.torchsparse.utils.utils import make_ntuple


class SparseConvBlock(nn.Sequential):
    """Convolution, batch norm, ReLU."""

    transposed = False

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Axes, stride: Axes = 1, dilation: int = 1) -> None:
        options = {"stride": stride, "dilation": dilation, "transposed": self.transposed}
        super().__init__(
            spnn.Conv3d(in_channels, out_channels, kernel_size, **options),
            spnn.BatchNorm(out_channels),
            spnn.ReLU(True),
        )


class SparseConvTransposeBlock(SparseConvBlock):
    """Transposed convolution, batch norm, ReLU."""

    transposed = True


class SparseResBlock(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Axes, stride: Axes = 1, dilation: int = 1) -> None:
        super().__init__()
        self.main = nn.Sequential(
            spnn.Conv3d(in_channels, out_channels, kernel_size, stride=stride, dilation=dilation),
            spnn.BatchNorm(out_channels),
            spnn.ReLU(True),
            spnn.Conv3d(out_channels, out_channels, kernel_size, dilation=dilation),
            spnn.BatchNorm(out_channels),
        )
        self.shortcut = nn.Identity()
        if in_channels != out_channels or math.prod(make_ntuple(stride, 3)) != 1:
            self.shortcut = nn.Sequential(
                spnn.Conv3d(in_channels, out_channels, 1, stride=stride), spnn.BatchNorm(out_channels)
            )
        self.relu = spnn.ReLU(True)

    def forward(self, x: SparseTensor) -> SparseTensor:
        return self.relu(self.main(x) + self.shortcut(x))
