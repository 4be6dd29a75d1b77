"""Functions of features on sparse tensors."""

from typing import Callable

import torch

from voxshift.torch.expected import expect
from voxshift.torch.torchsparse.tensor import SparseTensor


def fapply(input: SparseTensor, fn: Callable[..., torch.Tensor], *args, **kwargs) -> SparseTensor:
    """The tensor whose features are fn(input.feats, *args, **kwargs), on the same voxels."""
    expect("torchsparse", input, SparseTensor)
    input.expect_taken()
    return input.with_feats(fn(input.feats, *args, **kwargs))


def rowwise(input: SparseTensor, fn: Callable[[torch.Tensor], torch.Tensor]) -> SparseTensor:
    """fapply of a function that treats every row alike."""
    expect("torchsparse", input, SparseTensor)
    return input.with_rows(fn(input.rows()))
