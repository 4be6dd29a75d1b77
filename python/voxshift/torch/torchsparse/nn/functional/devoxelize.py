"""Voxels to points."""

import torch

from voxshift.torch import recording
from voxshift.torch.points import mixture
from voxshift.torch.torchsparse.rules import rules


def calc_ti_weights(coords: torch.Tensor, idx_query: torch.Tensor, scale: float = 1) -> torch.Tensor:
    """Trilinear weights of the 8 corners around points coords [N, 3..] on a grid of this scale, z fastest, renormalised.

    idx_query: int64 rows of the corners, -1 for those without a voxel, whose weight is 0. It and the result are [8, N]
    before 2.1, [N, 8] in it.
    """
    with torch.no_grad():
        by_point = rules().bounded
        axes = coords[:, :3].float()
        low = torch.floor(axes / scale) * scale
        part = (axes - low) / scale
        weights = []
        for corner in range(8):
            bits = torch.tensor([corner >> 2 & 1, corner >> 1 & 1, corner & 1], dtype=torch.bool, device=part.device)
            weights.append(torch.where(bits, part, 1 - part).prod(dim=1))
        weights = torch.stack(weights, dim=1 if by_point else 0)
        weights[idx_query == -1] = 0
        return weights / (weights.sum(dim=1 if by_point else 0, keepdim=True) + 1e-8)


def spdevoxelize(feats: torch.Tensor, coords: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """float32 [N, C]: sum of weights [N, 8] times the rows coords int [N, 8] of feats [M, C]; -1 counts as 0."""
    rows = coords.long()
    if not len(feats):
        return feats.new_zeros((len(rows), feats.shape[1])) + feats.sum()
    out = mixture(feats, rows, weights)
    recording.interpolated(feats, out)
    return out
