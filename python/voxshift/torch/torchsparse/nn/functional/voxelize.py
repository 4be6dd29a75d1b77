"""Points to voxels."""

import torch

from voxshift.torch import recording
from voxshift.torch.points import voxelize_features
from voxshift.torch.precision import HALVES


def spvoxelize(feats: torch.Tensor, coords: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """[len(counts), C]: the mean of the rows of feats [N, C] in each voxel coords int [N]; -1 is in none.

    float32, but of halves on CUDA halves.
    """
    rows = feats if feats.is_cuda and feats.dtype in HALVES else feats.float()
    out = voxelize_features(rows, coords.long(), len(counts), "mean")
    recording.pooled(feats, out, coords.long(), 0, "mean")
    return out
