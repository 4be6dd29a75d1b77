"""Batches."""

import logging
from typing import Any, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch

import voxshift as vs

Array = Union[np.ndarray, torch.Tensor]


def _tensor(values: Any) -> torch.Tensor:
    return torch.from_numpy(values) if isinstance(values, np.ndarray) else values


def batched_coordinates(coords: Sequence[Array], dtype=torch.int32, device: Any = None) -> torch.Tensor:
    """[sum N, 1 + D]: the coordinates of every batch behind a column of its index; floored for int32.

    Raises ValueError for arrays of different D.
    """
    columns = {part.shape[1] for part in coords}
    if len(columns) != 1 or any(part.ndim != 2 for part in coords):
        raise vs.InvalidArgument(f"[batched_coordinates] expects arrays [N, D], found columns {sorted(columns)}")
    if dtype not in (torch.int32, torch.float32):
        raise vs.InvalidArgument(f"[batched_coordinates] dtype expects int32 or float32, found {dtype}")
    parts = []
    for index, part in enumerate(map(_tensor, coords)):
        if dtype == torch.int32 and part.is_floating_point():
            part = part.floor()
        parts.append(torch.cat((torch.full((len(part), 1), index, dtype=dtype, device=part.device), part.to(dtype)), dim=1))
    return torch.cat(parts)


def sparse_collate(
    coords: Sequence[Array],
    feats: Sequence[Array],
    labels: Optional[Sequence[Any]] = None,
    dtype=torch.int32,
    device: Any = None,
) -> Tuple[Any, ...]:
    """(batched coordinates, features [sum N, C], and labels where there are any). Raises ValueError for unequal numbers."""
    rows, others = sum(map(len, coords)), sum(map(len, feats))
    if rows != others:
        raise vs.InvalidArgument(f"[sparse_collate] {rows} coordinates, but {others} rows of features")
    out: List[Any] = [batched_coordinates(coords, dtype, device), torch.cat([_tensor(part) for part in feats])]
    if labels is not None:
        parts = [_tensor(part) for part in labels]
        out.append(torch.cat(parts) if isinstance(parts[0], torch.Tensor) else parts)
    return tuple(out)


def batch_sparse_collate(data: Sequence[Tuple], dtype=torch.int32, device: Any = None) -> Tuple[Any, ...]:
    """A DataLoader's collate_fn for items (coords, feats, labels)."""
    return sparse_collate(*zip(*data), dtype=dtype, device=device)


class SparseCollation:
    """batch_sparse_collate up to a number of points: items beyond it are left out, with a warning in the log."""

    def __init__(self, limit_numpoints: int = -1, dtype=torch.int32, device: Any = None):
        self.limit_numpoints, self.dtype, self.device = limit_numpoints, dtype, device

    def __call__(self, list_data: Sequence[Tuple]) -> Tuple[Any, ...]:
        kept, points = [], 0
        for item in list_data:
            points += len(item[0])
            if 0 < self.limit_numpoints < points:
                logging.getLogger(__name__).warning(
                    "%d of %d items fit into %d points", len(kept), len(list_data), self.limit_numpoints
                )
                break
            kept.append(item)
        return sparse_collate(*zip(*kept), dtype=self.dtype, device=self.device)
