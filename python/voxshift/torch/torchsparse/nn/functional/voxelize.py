"""Points to voxels."""

import torch

from voxshift.torch import recording
from voxshift.torch.points import voxelize_features


def spvoxelize(feats: torch.Tensor, coords: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """float32 [len(counts), C]: the mean of the rows of feats [N, C] in each voxel coords int [N]; -1 is in none."""
    out = voxelize_features(feats.float(), coords.long(), len(counts), "mean")
    recording.pooled(feats, out, coords.long(), 0, "mean")
    return out
