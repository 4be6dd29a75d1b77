"""What every dataset gives: samples, by the number of the frame."""

from __future__ import annotations

import bisect
import itertools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Generic, Optional, TypeVar

import numpy as np

from voxshift._voxshift import InvalidArgument, IoError
from voxshift.io.scan import Scan

IGNORED = 255


@dataclass(eq=False)
class Boxes:
    """The labelled objects of a scan."""

    boxes: np.ndarray
    """float32 [M, 7], or [M, 9] with velocities: centre x, y, z, length, width, height in metres, yaw about z in -pi to pi,
    vx, vy in m/s (NaN where unknown), in the frame of the scan."""
    types: list[str]
    """The dataset's own name of each object's kind."""
    classes: np.ndarray
    """int64 [M]: positions in the dataset's box_classes, -1 for kinds that are none of them."""
    fields: dict[str, np.ndarray] = field(default_factory=dict)
    """What else the labels say of every box, [M] or [M, k]."""

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(eq=False)
class Sample:
    """A scan with what its dataset has of it. What it does not have is None, or empty."""

    scan: Scan
    """The points; scan.label uint32 [N] is what the label file holds."""
    name: str
    """Of the frame: its files' name, or its token."""
    sequence: str
    labels: Optional[np.ndarray] = None
    """uint8 [N]: positions in the dataset's classes, 255 for what is ignored."""
    boxes: Optional[Boxes] = None
    pose: Optional[np.ndarray] = None
    """float64 [4, 4]: from the frame of the scan to the one that all scans of the sequence share."""
    timestamp: Optional[float] = None
    """Seconds."""
    calibration: dict[str, np.ndarray] = field(default_factory=dict)
    """float64 matrices [3, 3], [3, 4] or [4, 4], by the dataset's names."""
    cameras: dict[str, np.ndarray] = field(default_factory=dict)
    """float64 [3, 4] for each image of paths: (u d, v d, d) of a homogeneous point of the scan, u, v in pixels, d its depth."""
    paths: dict[str, Path] = field(default_factory=dict)
    """The files that the sample is of: points, labels, boxes, calibration, and images by the names of cameras."""


@dataclass(eq=False)
class Part:
    """A sequence: its name and the names of its frames."""

    name: str
    frames: Sequence[str]


PartT = TypeVar("PartT", bound=Part)


class Dataset(Generic[PartT]):
    """Samples by number, as torch.utils.data has its map-style datasets; picklable, and holds no open file.

    Raises IndexError beyond its samples, and OSError "FILE: what was expected" for a frame that cannot be read.
    """

    classes: ClassVar[tuple[str, ...]] = ()
    """Names of the classes of points: labels are positions in it."""
    mapping: ClassVar[Mapping[int, int]] = {}
    """Raw id of the label files -> position in classes, or 255. Other ids are errors."""
    ignore: ClassVar[int] = IGNORED
    """The label of points that have no class."""
    box_classes: ClassVar[tuple[str, ...]] = ()
    """Names of the classes of boxes."""

    def __init__(self, parts: Sequence[PartT]) -> None:
        self._parts = list(parts)
        self._ends = list(itertools.accumulate(len(part.frames) for part in parts))

    @property
    def sequences(self) -> dict[str, range]:
        """Name of each sequence -> the numbers of its samples, in the order of time where there is one."""
        return {p.name: range(end - len(p.frames), end) for p, end in zip(self._parts, self._ends)}

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> Sample:
        place = operator.index(index)
        if not -len(self) <= place < len(self):
            raise IndexError(f"[{type(self).__name__}] expects an index below {len(self)}, found {place}")
        place %= len(self)
        number = bisect.bisect_right(self._ends, place)
        part = self._parts[number]
        return self._read(part, place - self._ends[number] + len(part.frames))

    def _read(self, part: PartT, i: int) -> Sample:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self._parts)} sequences, {len(self)} samples)"

    def _train_ids(self, raw: np.ndarray, path: Path) -> np.ndarray:
        """uint8 [N]: classes of raw ids of a file. Raises IoError for an id that the dataset does not have."""
        unknown = -1
        table = np.full(max(self.mapping) + 2, unknown, np.int16)
        table[list(self.mapping)] = list(self.mapping.values())
        found = table[np.minimum(raw, len(table) - 1)]
        if (found == unknown).any():
            point = int(np.flatnonzero(found == unknown)[0])
            raise IoError(f"{path}: expected raw ids of {type(self).__name__}, found {raw[point]} at point {point}")
        return found.astype(np.uint8)

    def _box_classes(self, types: Sequence[str], names: Optional[Mapping[str, str]] = None) -> np.ndarray:
        """int64 [M]: the position of each type, or of the class that names has for it, -1 for none."""
        places = {name: i for i, name in enumerate(self.box_classes)}
        return np.array([places.get(names.get(kind, "") if names else kind, -1) for kind in types], np.int64)


def chosen(
    dataset: str,
    splits: Mapping[str, Sequence[str]],
    split: Optional[str],
    sequences: Optional[Sequence[str]],
) -> Optional[list[str]]:
    """The sequences that are asked for, None where all are. Raises InvalidArgument."""
    if split is not None and sequences is not None:
        raise InvalidArgument(f"[{dataset}] expects split or sequences, found both")
    if sequences is not None:
        if isinstance(sequences, str) or not sequences:
            raise InvalidArgument(f"[{dataset}] expects sequences as a list of names, found {sequences!r}")
        return [str(name) for name in sequences]
    if split is None:
        return None
    return list(splits[known_split(dataset, splits, split)])


def known_split(dataset: str, splits: Sequence[str] | Mapping[str, object], split: str) -> str:
    """The split. Raises InvalidArgument for one that is not in splits."""
    if split not in splits:
        raise InvalidArgument(f'[{dataset}] expects split {", ".join(splits)}, found "{split}"')
    return split
