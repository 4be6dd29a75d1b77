"""Small helpers that model code imports."""

from typing import Sequence, Tuple, Union

import torch

import voxshift as vs


def make_ntuple(x: Union[int, Sequence[int], torch.Tensor], ndim: int) -> Tuple[int, ...]:
    """A value per axis, from one for all or one each. Raises ValueError for another number."""
    values = (x,) * ndim if isinstance(x, int) else tuple(int(value) for value in x)
    if len(values) != ndim:
        raise vs.InvalidArgument(f"[make_ntuple] expects {ndim} values, found {len(values)}")
    return values


def make_tensor(x: Sequence[int], dtype: torch.dtype, device) -> torch.Tensor:
    return torch.tensor(x, dtype=dtype, device=device)


def make_divisible(x: int, divisor: int) -> int:
    return -(-x // divisor) * divisor
