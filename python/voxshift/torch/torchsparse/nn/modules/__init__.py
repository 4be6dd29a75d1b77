"""torchsparse.nn.modules."""

from voxshift.torch.torchsparse.nn.modules.activation import LeakyReLU, ReLU, SiLU
from voxshift.torch.torchsparse.nn.modules.bev import (
    ToBEVConvolution,
    ToBEVHeightCompression,
    ToBEVReduction,
    ToDenseBEVConvolution,
)
from voxshift.torch.torchsparse.nn.modules.conv import Conv3d
from voxshift.torch.torchsparse.nn.modules.norm import BatchNorm, GroupNorm, InstanceNorm
from voxshift.torch.torchsparse.nn.modules.pooling import GlobalAvgPool, GlobalMaxPool, SparseCrop

__all__ = [
    "BatchNorm",
    "Conv3d",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GroupNorm",
    "InstanceNorm",
    "LeakyReLU",
    "ReLU",
    "SiLU",
    "SparseCrop",
    "ToBEVConvolution",
    "ToBEVHeightCompression",
    "ToBEVReduction",
    "ToDenseBEVConvolution",
]
