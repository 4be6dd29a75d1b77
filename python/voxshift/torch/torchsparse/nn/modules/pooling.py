"""Pooling and cropping of sparse tensors."""

from typing import Optional, Sequence

import torch
from torch import nn

from voxshift.torch.torchsparse.nn.functional.crop import spcrop
from voxshift.torch.torchsparse.nn.functional.pooling import global_avg_pool, global_max_pool
from voxshift.torch.torchsparse.tensor import SparseTensor


class GlobalAvgPool(nn.Module):
    """global_avg_pool as a module: float32 [B, C]."""

    def forward(self, input: SparseTensor) -> torch.Tensor:
        return global_avg_pool(input)


class GlobalMaxPool(nn.Module):
    """global_max_pool as a module: float32 [B, C]."""

    def forward(self, input: SparseTensor) -> torch.Tensor:
        return global_max_pool(input)


class SparseCrop(nn.Module):
    """spcrop as a module."""

    def __init__(self, coords_min: Optional[Sequence[int]] = None, coords_max: Optional[Sequence[int]] = None) -> None:
        super().__init__()
        self.coords_min, self.coords_max = coords_min, coords_max

    def forward(self, input: SparseTensor) -> SparseTensor:
        return spcrop(input, self.coords_min, self.coords_max)
