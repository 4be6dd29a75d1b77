"""Functions of sparse tensors other than convolution."""

from typing import Optional, Sequence

import torch
from torch.nn import functional as F

from voxshift.torch import pooling
from voxshift.torch.torchsparse.nn.utils.apply import rowwise
from voxshift.torch.torchsparse.rules import rules
from voxshift.torch.torchsparse.tensor import SparseTensor


def relu(input: SparseTensor, inplace: bool = True) -> SparseTensor:
    return rowwise(input, lambda x: F.relu(x, inplace=inplace))


def silu(input: SparseTensor, inplace: bool = True) -> SparseTensor:
    return rowwise(input, lambda x: F.silu(x, inplace=inplace))


def leaky_relu(input: SparseTensor, negative_slope: float = 0.1, inplace: bool = True) -> SparseTensor:
    return rowwise(input, lambda x: F.leaky_relu(x, negative_slope, inplace=inplace))


def spcrop(
    input: SparseTensor, coords_min: Optional[Sequence[int]] = None, coords_max: Optional[Sequence[int]] = None
) -> SparseTensor:
    """The voxels with coords_min <= x, y, z < coords_max; rows keep their order."""
    places = input.coords[:, rules().axes]
    kept = torch.ones(len(places), dtype=torch.bool)
    if coords_min is not None:
        kept &= (places >= torch.tensor(coords_min)).all(dim=1)
    if coords_max is not None:
        kept &= (places < torch.tensor(coords_max)).all(dim=1)
    return SparseTensor(input.feats[kept], input.coords[kept], input.stride)


def global_avg_pool(inputs: SparseTensor) -> torch.Tensor:
    """Mean over all voxels of each batch, float32 [B, C]."""
    return pooling.global_avg_pool(inputs.features().tensor())


def global_max_pool(inputs: SparseTensor) -> torch.Tensor:
    """Maximum over all voxels of each batch, float32 [B, C]."""
    return pooling.global_max_pool(inputs.features().tensor())
