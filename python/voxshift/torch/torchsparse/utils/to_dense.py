"""A dense grid of sparse features."""

from typing import Sequence

import torch


def to_dense(feats: torch.Tensor, coords: torch.Tensor, spatial_range: Sequence[int]) -> torch.Tensor:
    """float32 [*spatial_range, C] of feats [N, C] at the first len(spatial_range) columns of coords; 0 elsewhere.

    Voxels outside of the range are left out.
    """
    extent = torch.tensor(list(spatial_range))
    places = coords[:, : len(extent)].long()
    inside = ((places >= 0) & (places < extent)).all(dim=1)
    index = torch.zeros(len(feats), dtype=torch.long)
    for axis, size in enumerate(spatial_range):
        index = index * size + places[:, axis]
    dense = feats.new_zeros((int(extent.prod()), feats.shape[1])).index_add(0, index[inside], feats[inside])
    return dense.view(*spatial_range, feats.shape[1])
