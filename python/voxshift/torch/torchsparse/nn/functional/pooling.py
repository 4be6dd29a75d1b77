"""Pooling over all voxels of a batch."""

import torch

from voxshift.torch import pooling
from voxshift.torch.expected import expect
from voxshift.torch.torchsparse.tensor import SparseTensor


def global_avg_pool(inputs: SparseTensor) -> torch.Tensor:
    """Mean over all voxels of each batch, float32 [B, C]."""
    expect("torchsparse", inputs, SparseTensor)
    return pooling.global_avg_pool(inputs.features().tensor())


def global_max_pool(inputs: SparseTensor) -> torch.Tensor:
    """Maximum over all voxels of each batch, float32 [B, C]."""
    expect("torchsparse", inputs, SparseTensor)
    return pooling.global_max_pool(inputs.features().tensor())
