"""Operators on several sparse tensors."""

from typing import List

import torch

import voxshift as vs
from voxshift.torch import recording
from voxshift.torch.points import summed
from voxshift.torch.torchsparse.tensor import SparseTensor, combined


def cat(inputs: List[SparseTensor]) -> SparseTensor:
    """Channels side by side, of tensors whose rows are the same voxels. Raises ValueError for unequal rows."""
    if not inputs:
        raise vs.InvalidArgument("[cat] expects at least one tensor")
    return combined("cat", lambda parts: torch.cat(parts, dim=1), *inputs)


def generative_add(a: SparseTensor, b: SparseTensor) -> SparseTensor:
    """The sum over the union of the voxels, whose rows come in lexicographic order of coords."""
    larger, other = (a, b) if len(a.feats) >= len(b.feats) else (b, a)
    coords, inverse = torch.unique(torch.cat([larger.coords, other.coords]), dim=0, return_inverse=True)
    feats = torch.cat([larger.feats, other.feats])
    out = SparseTensor(
        summed(feats, inverse, len(coords)),
        coords,
        larger.stride,
        larger.spatial_range,
    )
    out._caches = larger._caches
    recording.note("union_add", (larger.feats, other.feats), out.feats)
    return out
