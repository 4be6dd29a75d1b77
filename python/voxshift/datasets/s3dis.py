"""S3DIS: the rooms of six areas, as text (Stanford3dDataset) or as Pointcept's arrays."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Optional

import numpy as np

from voxshift._voxshift import IoError
from voxshift.datasets import files
from voxshift.datasets.classes import S3DIS
from voxshift.datasets.sample import Dataset, Part, Sample, chosen
from voxshift.io import Scan

AREAS = [f"Area_{i}" for i in range(1, 7)]
SPLITS = {"train": [area for area in AREAS if area != "Area_5"], "test": ["Area_5"]}


@dataclass(eq=False)
class _Area(Part):
    folder: Path


class S3dis(Dataset[_Area]):
    """ROOT/Area_N/ROOM in one of two forms. As text: Annotations/CLASS_K.txt, a line "x y z red green blue" per point of one
    object; the points are those of all its files in the order of their names, not those of ROOM.txt, whose order is another.
    As Pointcept's preprocessing writes it: coord.npy, color.npy, segment.npy, instance.npy. Sequences are areas, frames rooms.

    split: train (all areas but 5) or test (area 5); or sequences: names of areas; neither: all that are there.

    Scans have no remission, rgb, and fields["instance"], the object's number in the room. Objects of classes that are not
    among the 13, as stairs, are clutter.

    Raises ValueError for an unknown split, OSError "PATH: what was expected" for folders and files that are not so.
    """

    classes = S3DIS
    mapping: ClassVar[Mapping[int, int]] = {i: i for i in range(len(S3DIS))}

    def __init__(
        self, root: files.AnyPath, split: Optional[str] = None, *, sequences: Optional[Sequence[str]] = None
    ) -> None:
        self.root = files.folder(Path(root), "the folder of S3DIS")
        areas = chosen("S3dis", SPLITS, split, sequences)
        if areas is None:
            areas = [area for area in AREAS if (self.root / area).is_dir()]
        if not areas:
            raise IoError(f"{self.root}: expected Area_1 to Area_6, found none of them")
        super().__init__([_area(self.root / area) for area in areas])

    def _read(self, part: _Area, i: int) -> Sample:
        room = part.folder / part.frames[i]
        scan = _arrays(room) if (room / "coord.npy").exists() else _text(room)
        assert scan.label is not None
        sample = Sample(scan, part.frames[i], part.name, self._train_ids(scan.label, room))
        points, labels = ("coord.npy", "segment.npy") if (room / "coord.npy").exists() else ("Annotations", "Annotations")
        sample.paths = {"points": room / points, "labels": room / labels}
        return sample


def _area(path: Path) -> _Area:
    files.folder(path, f"the rooms of {path.name}")
    rooms = sorted(room.name for room in path.iterdir() if room.is_dir() and not room.name.startswith("."))
    for room in rooms:
        if not (path / room / "coord.npy").exists() and not (path / room / "Annotations").is_dir():
            raise IoError(f"{path / room}: expected Annotations/*.txt, or coord.npy, found neither")
    if not rooms:
        raise IoError(f"{path}: expected a folder per room, found none")
    return _Area(path.name, rooms, path)


def _scan(xyz: np.ndarray, rgb: np.ndarray, label: np.ndarray, instance: np.ndarray) -> Scan:
    points = np.zeros((len(xyz), 4), np.float32)
    points[:, :3] = xyz
    return Scan(points, rgb=rgb.astype(np.uint8), label=label.astype(np.uint32),
                fields={"instance": instance.astype(np.int32)})


def _text(room: Path) -> Scan:
    names = files.stems(room / "Annotations", ".txt")
    if not names:
        raise IoError(f"{room / 'Annotations'}: expected CLASS_K.txt, found none")
    objects = [_object(room / "Annotations" / f"{name}.txt") for name in names]
    kinds = [name.split("_")[0] for name in names]
    labels = [S3DIS.index(kind if kind in S3DIS else "clutter") for kind in kinds]
    counts = [len(one) for one in objects]
    values = np.concatenate(objects)
    return _scan(values[:, :3], values[:, 3:], np.repeat(labels, counts), np.repeat(np.arange(len(names)), counts))


def _object(path: Path) -> np.ndarray:
    """float64 [N, 6]: x, y, z, red, green, blue."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an empty file
            values = np.loadtxt(path, ndmin=2)
        if values.size and values.shape[1] == 6 and np.isfinite(values).all():
            return values
    except (ValueError, OSError):
        pass
    values = files.rows(path, 6)  # which says what is wrong, and where
    if not len(values):
        raise IoError(f'{path}: expected lines "x y z red green blue", found none')
    return values


def _array(path: Path, columns: int, points: int) -> np.ndarray:
    """[points, columns] of numbers; points of -1 takes any."""
    try:
        values = np.load(path, allow_pickle=False)
    except OSError as error:
        raise IoError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise IoError(f"{path}: expected an array: {error}") from None
    if values.ndim == 1 and columns == 1:
        values = values[:, None]
    if values.ndim != 2 or values.shape[1] != columns or values.dtype.kind not in "iuf" or points not in (-1, len(values)):
        rows = "N" if points == -1 else points
        raise IoError(f"{path}: expected numbers [{rows}, {columns}], found {values.dtype} {list(values.shape)}")
    return np.asarray(values)


def _arrays(room: Path) -> Scan:
    xyz = _array(room / "coord.npy", 3, -1)
    rgb, label, instance = (
        _array(room / name, columns, len(xyz)) for name, columns in (("color.npy", 3), ("segment.npy", 1), ("instance.npy", 1))
    )
    return _scan(xyz, rgb, label[:, 0], instance[:, 0])
