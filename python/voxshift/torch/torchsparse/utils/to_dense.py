"""A dense grid of sparse features."""

import math
from typing import Sequence

import torch

from voxshift.torch.points import summed


def to_dense(feats: torch.Tensor, coords: torch.Tensor, spatial_range: Sequence[int]) -> torch.Tensor:
    """float32 [*spatial_range, C] of feats [N, C] at the first len(spatial_range) columns of coords; 0 elsewhere.

    Voxels outside of the range are left out.
    """
    extent = torch.tensor(list(spatial_range), device=coords.device)
    places = coords[:, : len(extent)].long()
    inside = ((places >= 0) & (places < extent)).all(dim=1)
    index = torch.zeros(len(feats), dtype=torch.long, device=coords.device)
    for axis, size in enumerate(spatial_range):
        index = index * size + places[:, axis]
    dense = summed(feats[inside], index[inside], math.prod(spatial_range))
    return dense.view(*spatial_range, feats.shape[1])
