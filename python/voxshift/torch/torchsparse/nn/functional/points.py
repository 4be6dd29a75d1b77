"""Points and voxels: torchsparse's hashes, queries, voxelise and devoxelise."""

from typing import Optional

import numpy as np
import torch
from torch.nn.functional import embedding_bag

import voxshift as vs
from voxshift.torch.ordered import on_cpu
from voxshift.torch.points import voxelize_features
from voxshift.torch.torchsparse.rules import rules

_OFFSET, _PRIME = np.uint64(14695981039346656037), np.uint64(1099511628211)


def sphash(coords: torch.Tensor, offsets: Optional[torch.Tensor] = None) -> torch.Tensor:
    """FNV-1a of each row of coords int32 [N, 4], int64 [N]; with offsets int32 [K, 3] of coords + offset, [K, N].

    As in torchsparse a hash stands for the voxel it came from. Raises ValueError for other shapes and dtypes.
    """
    on_cpu("sphash", "coords", coords)
    if coords.dtype != torch.int or coords.dim() != 2 or coords.shape[1] != 4:
        raise vs.InvalidArgument(f"[sphash] coords expects int32 [N, 4], found {str(coords.dtype)[6:]} {list(coords.shape)}")
    if offsets is None:
        return _hash(coords)
    if offsets.dim() != 2 or offsets.shape[1] != 3:
        raise vs.InvalidArgument(f"[sphash] offsets expects int32 [K, 3], found {list(offsets.shape)}")
    shifts = torch.zeros((len(offsets), 1, 4), dtype=torch.int)
    shifts[:, 0, rules().axes] = offsets.int()
    return _hash(coords + shifts)


def _hash(places: torch.Tensor) -> torch.Tensor:
    """xor, then times the prime, column by column; the upper four bits are folded into the lower ones."""
    places = places.numpy().astype(np.uint32)
    found = np.full(places.shape[:-1], _OFFSET)
    for column in range(places.shape[-1]):
        found = (found ^ places[..., column]) * _PRIME
    found = (found >> np.uint64(60)) ^ (found & np.uint64(2**60 - 1))
    return torch.from_numpy(found.astype(np.int64))


def sphashquery(queries: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """int64, shaped as queries: the first reference that equals each, -1 for none."""
    keys, index = torch.sort(references.flatten(), stable=True)
    if not len(keys):
        return torch.full_like(queries, -1)
    wanted = queries.contiguous()
    place = torch.searchsorted(keys, wanted).clamp_(max=len(keys) - 1)
    return torch.where(keys[place] == wanted, index[place], -1)


def spcount(coords: torch.Tensor, num: int) -> torch.Tensor:
    """int32 [num]: how often each of 0 .. num - 1 stands in coords; others are skipped."""
    coords, num = coords.flatten().long(), int(num)
    return torch.bincount(coords[(coords >= 0) & (coords < num)], minlength=num).int()


def spvoxelize(feats: torch.Tensor, coords: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """float32 [len(counts), C]: the mean of the rows of feats [N, C] in each voxel coords int [N]; -1 is in none."""
    return voxelize_features(feats.float(), coords.long(), len(counts), "mean")


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
            bits = torch.tensor([corner >> 2 & 1, corner >> 1 & 1, corner & 1], dtype=torch.bool)
            weights.append(torch.where(bits, part, 1 - part).prod(dim=1))
        weights = torch.stack(weights, dim=1 if by_point else 0)
        weights[idx_query == -1] = 0
        return weights / (weights.sum(dim=1 if by_point else 0, keepdim=True) + 1e-8)


def spdevoxelize(feats: torch.Tensor, coords: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """float32 [N, C]: sum of weights [N, 8] times the rows coords int [N, 8] of feats [M, C]; -1 counts as 0."""
    rows = coords.long()
    present = rows >= 0
    if not len(feats):
        return feats.new_zeros((len(rows), feats.shape[1])) + feats.sum()
    weights = torch.where(present, weights.to(feats.dtype), torch.zeros((), dtype=feats.dtype))
    return embedding_bag(rows.clamp(min=0), feats, mode="sum", per_sample_weights=weights)
