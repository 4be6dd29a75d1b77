"""Parts of sparse tensors."""

from typing import Optional, Sequence

import torch

from voxshift.torch.expected import expect
from voxshift.torch.torchsparse.rules import rules
from voxshift.torch.torchsparse.tensor import SparseTensor


def spcrop(
    input: SparseTensor, coords_min: Optional[Sequence[int]] = None, coords_max: Optional[Sequence[int]] = None
) -> SparseTensor:
    """The voxels with coords_min <= x, y, z < coords_max; rows keep their order."""
    expect("torchsparse", input, SparseTensor)
    input.expect_taken()
    places = input.coords[:, rules().axes]
    kept = torch.ones(len(places), dtype=torch.bool, device=places.device)
    if coords_min is not None:
        kept &= (places >= places.new_tensor(coords_min)).all(dim=1)
    if coords_max is not None:
        kept &= (places < places.new_tensor(coords_max)).all(dim=1)
    return SparseTensor(input.feats[kept], input.coords[kept], input.stride)
