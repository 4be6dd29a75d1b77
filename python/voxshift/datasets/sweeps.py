"""Several sweeps of a sensor as one scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np

from voxshift._voxshift import InvalidArgument
from voxshift.io.scan import Scan


@dataclass(eq=False)
class Sweep:
    """A scan of the past. pose: float64 [4, 4], to the frame that all sweeps share. lag: seconds before the newest one."""

    scan: Scan
    pose: np.ndarray
    lag: float
    labels: Optional[np.ndarray] = None


def checked(dataset: str, sweeps: int, min_distance: float) -> tuple[int, float]:
    """What a dataset is given. Raises InvalidArgument."""
    if isinstance(sweeps, bool) or not isinstance(sweeps, int) or sweeps < 1:
        raise InvalidArgument(f"[{dataset}] expects sweeps of 1 and more, found {sweeps!r}")
    if not 0 <= min_distance < np.inf:
        raise InvalidArgument(f"[{dataset}] expects a min_distance in metres, found {min_distance!r}")
    return sweeps, float(min_distance)


def moved(points: np.ndarray, transform: np.ndarray) -> np.ndarray:
    """float32 [N, C]: x, y, z turned and shifted in double precision, the other columns as they are."""
    result = points.copy()
    x, y, z = points[:, :3].T.astype(np.float64)
    for axis, (a, b, c, shift) in enumerate(transform[:3]):
        result[:, axis] = x * a + y * b + z * c + shift
    return result


def far(points: np.ndarray, min_distance: float) -> np.ndarray:
    """bool [N]: not in the square about the sensor, min_distance to each side, as nuscenes-devkit's remove_close."""
    return ~((np.abs(points[:, 0]) < min_distance) & (np.abs(points[:, 1]) < min_distance))


def _stacked(columns: list[Optional[np.ndarray]], counts: Sequence[int], fill: int) -> Optional[np.ndarray]:
    """One column of all sweeps, `fill` for those that have none; None where no sweep has it."""
    there = next((column for column in columns if column is not None), None)
    if there is None:
        return None
    return np.concatenate([
        np.full((count, *there.shape[1:]), fill, there.dtype) if column is None else column
        for column, count in zip(columns, counts)
    ])


def joined(sweeps: Sequence[Sweep], min_distance: float, ignore: int) -> tuple[Scan, Optional[np.ndarray]]:
    """One scan in the frame of the first sweep, which is not moved, and its labels, `ignore` where a sweep has none.

    Points are float32 [N, 5]: x, y, z, remission, lag; fields["sweep"] int32 [N] counts sweeps from 0, the newest.
    """
    first = np.linalg.inv(sweeps[0].pose)
    points, kept = [], []
    for number, sweep in enumerate(sweeps):
        own = sweep.scan.points[:, :4]
        kept.append(far(own, min_distance))
        here = own if number == 0 else moved(own, first @ sweep.pose)
        points.append(np.column_stack([here, np.full(len(here), sweep.lag, np.float32)])[kept[-1]])
    counts = [len(part) for part in points]

    def stacked(columns: list[Optional[np.ndarray]], fill: int) -> Optional[np.ndarray]:
        return _stacked([c if c is None else c[rows] for c, rows in zip(columns, kept)], counts, fill)

    scans = [sweep.scan for sweep in sweeps]
    scan = Scan(np.concatenate(points), has_remission=scans[0].has_remission)
    scan.label = stacked([one.label for one in scans], 0)
    scan.ring = stacked([one.ring for one in scans], -1)
    for name in scans[0].fields:
        column = stacked([one.fields.get(name) for one in scans], 0)
        assert column is not None
        scan.fields[name] = column
    scan.fields["sweep"] = np.repeat(np.arange(len(sweeps), dtype=np.int32), counts)
    return scan, stacked([sweep.labels for sweep in sweeps], ignore)
