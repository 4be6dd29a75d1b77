"""ScanNet: reconstructed rooms with a label for every vertex."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Optional

import numpy as np

from voxshift._voxshift import IoError
from voxshift.datasets import files
from voxshift.datasets.classes import SCANNET
from voxshift.datasets.sample import Dataset, Part, Sample, chosen, known_split
from voxshift.io import read_points

SPLITS = {"train": "scans", "val": "scans", "test": "scans_test"}
POINTS, LABELS = "_vh_clean_2.ply", "_vh_clean_2.labels.ply"
LARGEST_RAW_ID = 40  # of NYU40


@dataclass(eq=False)
class _Scene(Part):
    folder: Path
    labelled: bool


class ScanNet(Dataset[_Scene]):
    """ROOT/scans/SCENE (or ROOT/SCENE) with SCENE_vh_clean_2.ply, SCENE_vh_clean_2.labels.ply and SCENE.txt; those of the test
    set, ROOT/scans_test/SCENE, have no labels. A scene, as "scene0000_00", is a sequence of one frame.

    split: train, val or test, the scenes that ROOT/scannetv2_SPLIT.txt lists, a name a line: the files of Tasks/Benchmark in
    ScanNet's repository; or sequences: names of scenes; neither: all that are there.

    Scans are the vertices with rgb, without remission. scan.label are NYU40's ids, of which the benchmark scores 20. The pose
    is the axis alignment of SCENE.txt, where it has one: it turns walls to the axes.

    Raises ValueError for an unknown split, OSError "PATH: what was expected" for folders and files that are not so.
    """

    classes = tuple(SCANNET)
    mapping: ClassVar[Mapping[int, int]] = {
        **dict.fromkeys(range(LARGEST_RAW_ID + 1), Dataset.ignore),
        **{raw: i for i, raw in enumerate(SCANNET.values())},
    }

    def __init__(
        self, root: files.AnyPath, split: Optional[str] = None, *, sequences: Optional[Sequence[str]] = None
    ) -> None:
        self.root = files.folder(Path(root), "the folder of ScanNet")
        below = SPLITS[known_split("ScanNet", SPLITS, split)] if split else "scans"
        above = self.root / below if (self.root / below).is_dir() else self.root
        there = sorted(path.name for path in above.iterdir() if (path / (path.name + POINTS)).exists())
        if not there:
            raise IoError(f"{above}: expected SCENE/SCENE{POINTS}, found none")
        names = chosen("ScanNet", dict.fromkeys(SPLITS, ()), split, sequences)
        if split is not None:
            names = files.listed(self.root / f"scannetv2_{split}.txt", there, above)
        super().__init__([_scene(above / name, split in ("train", "val")) for name in names or there])

    def _read(self, part: _Scene, i: int) -> Sample:
        paths = {"points": part.folder / (part.name + POINTS)}
        sample = Sample(read_points(paths["points"]), part.name, part.name, paths=paths)
        if part.labelled:
            paths["labels"] = part.folder / (part.name + LABELS)
            found = read_points(paths["labels"]).label
            if found is None or len(found) != len(sample.scan):
                what = "none" if found is None else len(found)
                raise IoError(f"{paths['labels']}: expected {len(sample.scan)} vertices with a label, found {what}")
            sample.scan.label = found
            sample.labels = self._train_ids(found, paths["labels"])
        if (part.folder / f"{part.name}.txt").exists():
            paths["calibration"] = part.folder / f"{part.name}.txt"
            sample.pose = _alignment(paths["calibration"])
        return sample


def _scene(path: Path, labelled: bool) -> _Scene:
    for suffix in (POINTS, LABELS)[: 1 + labelled]:
        if not (path / (path.name + suffix)).exists():
            raise IoError(f"{path / (path.name + suffix)}: is missing")
    return _Scene(path.name, [path.name], path, (path / (path.name + LABELS)).exists())


def _alignment(path: Path) -> Optional[np.ndarray]:
    """float64 [4, 4] of the line "axisAlignment = 16 numbers"; None without one."""
    for i, line in enumerate(files.text(path).splitlines(), 1):
        name, _, values = line.partition("=")
        if name.strip() == "axisAlignment":
            return files.numbers(values.split(), {16}, f"{path}:{i}").reshape(4, 4)
    return None
