"""torchsparse.backbones.modules."""

from voxshift.torch.torchsparse.backbones.modules.blocks import (
    SparseConvBlock,
    SparseConvTransposeBlock,
    SparseResBlock,
)

__all__ = ["SparseConvBlock", "SparseConvTransposeBlock", "SparseResBlock"]
