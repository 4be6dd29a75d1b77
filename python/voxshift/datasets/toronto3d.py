"""Toronto-3D: a street, mapped by a car."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Optional

import numpy as np

from voxshift._voxshift import IoError
from voxshift.datasets import files
from voxshift.datasets.classes import TORONTO_3D
from voxshift.datasets.sample import Dataset, Part, Sample, chosen
from voxshift.io import read_points

SPLITS = {"train": ["L001", "L003", "L004"], "test": ["L002"]}
UTM_OFFSET = (627285.0, 4841948.0, 0.0)


@dataclass(eq=False)
class _Tile(Part):
    path: Path


class Toronto3d(Dataset[_Tile]):
    """ROOT/L001.ply to L004.ply, each a sequence of one frame.

    split: train (L001, L003, L004) or test (L002); or sequences: names of tiles; neither: all that are there.

    Scans have remission (scalar_Intensity), rgb, time (scalar_GPSTime) and scan.label (scalar_Label). Their points are less the
    data set's offset, scan.origin = (627285, 4841948, 0) in UTM 17N, the same for all tiles.

    Raises ValueError for an unknown split, OSError "PATH: what was expected" for folders and files that are not so.
    """

    classes = TORONTO_3D
    mapping: ClassVar[Mapping[int, int]] = {0: Dataset.ignore, **{i + 1: i for i in range(len(TORONTO_3D))}}

    def __init__(
        self, root: files.AnyPath, split: Optional[str] = None, *, sequences: Optional[Sequence[str]] = None
    ) -> None:
        self.root = files.folder(Path(root), "the folder of Toronto-3D")
        names = chosen("Toronto3d", SPLITS, split, sequences) or [
            name for name in files.stems(self.root, ".ply") if name.startswith("L")
        ]
        if not names:
            raise IoError(f"{self.root}: expected L001.ply to L004.ply, found none of them")
        tiles = [_Tile(name, [name], self.root / f"{name}.ply") for name in names]
        for tile in tiles:
            if not tile.path.exists():
                raise IoError(f"{tile.path}: is missing")
        super().__init__(tiles)

    def _read(self, part: _Tile, i: int) -> Sample:
        scan = read_points(part.path)
        if scan.label is None:
            raise IoError(f"{part.path}: expected scalar_Label, found none")
        points = scan.points.copy()
        points[:, :3] = scan.xyz - UTM_OFFSET
        scan.points, scan.origin = points, np.array(UTM_OFFSET)
        labels = self._train_ids(scan.label, part.path)
        return Sample(scan, part.name, part.name, labels, paths={"points": part.path, "labels": part.path})
