"""torchsparse's hash of voxels."""

from typing import Optional

import numpy as np
import torch

import voxshift as vs
from voxshift.torch.memory import on_host, taken
from voxshift.torch.torchsparse.rules import rules

_OFFSET, _PRIME = np.uint64(14695981039346656037), np.uint64(1099511628211)


def sphash(coords: torch.Tensor, offsets: Optional[torch.Tensor] = None) -> torch.Tensor:
    """FNV-1a of each row of coords int32 [N, 4], int64 [N]; with offsets int32 [K, 3] of coords + offset, [K, N].

    As in torchsparse a hash stands for the voxel it came from. Raises ValueError for other shapes and dtypes.
    """
    taken("sphash", "coords", coords)
    if coords.dtype != torch.int or coords.dim() != 2 or coords.shape[1] != 4:
        raise vs.InvalidArgument(f"[sphash] coords expects int32 [N, 4], found {str(coords.dtype)[6:]} {list(coords.shape)}")
    if offsets is None:
        return _hash(coords)
    if offsets.dim() != 2 or offsets.shape[1] != 3:
        raise vs.InvalidArgument(f"[sphash] offsets expects int32 [K, 3], found {list(offsets.shape)}")
    shifts = torch.zeros((len(offsets), 1, 4), dtype=torch.int, device=coords.device)
    shifts[:, 0, rules().axes] = offsets.int().to(coords.device)
    return _hash(coords + shifts)


def _hash(places: torch.Tensor) -> torch.Tensor:
    """xor, then times the prime, column by column; the upper four bits are folded into the lower ones."""
    device, places = places.device, on_host(places).astype(np.uint32)  # torch has no unsigned numbers of 64 bits
    found = np.full(places.shape[:-1], _OFFSET)
    for column in range(places.shape[-1]):
        found = (found ^ places[..., column]) * _PRIME
    found = (found >> np.uint64(60)) ^ (found & np.uint64(2**60 - 1))
    return torch.from_numpy(found.astype(np.int64)).to(device)
