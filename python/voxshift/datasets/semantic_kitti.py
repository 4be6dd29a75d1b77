"""SemanticKITTI: the scans of KITTI's odometry with a label for every point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import numpy as np

from voxshift._voxshift import IoError
from voxshift.datasets import files
from voxshift.datasets.classes import SEMANTIC_KITTI, mapping_of
from voxshift.datasets.sample import Dataset, Part, Sample, chosen
from voxshift.datasets.sweeps import Sweep, checked, joined
from voxshift.io import Scan, read_points

SPLITS = {
    "train": ["00", "01", "02", "03", "04", "05", "06", "07", "09", "10"],
    "val": ["08"],
    "test": [f"{i:02d}" for i in range(11, 22)],
}
IMAGES = {"image_0": "P0", "image_1": "P1", "image_2": "P2", "image_3": "P3"}


@dataclass(eq=False)
class _Sequence(Part):
    folder: Path
    labelled: bool
    calibration: dict[str, np.ndarray] = field(default_factory=dict)
    poses: Optional[np.ndarray] = None
    times: Optional[np.ndarray] = None
    images: tuple[str, ...] = ()


class SemanticKitti(Dataset[_Sequence]):
    """SemanticKITTI's folders: ROOT/sequences/NN (or ROOT/dataset/sequences/NN) with velodyne/*.bin, labels/*.label,
    poses.txt, calib.txt and times.txt; image_0 to image_3 of KITTI where they are. A ROOT that has velodyne is itself the
    one sequence, as `voxshift synth lidar` writes it.

    split: train (00 to 07, 09, 10), val (08), test (11 to 21); or sequences: their names; neither: all that are there.
    Sequences of train and val must have labels, others may. poses.txt is of the left camera; a sample's pose is that of the
    scanner, in the frame of the sequence's first scan: Tr^-1 pose Tr. scan.label has the file's words, raw id in the lower
    16 bits; fields["instance"] uint32 the upper ones.

    sweeps: how many scans are joined, the last ones up to the sample's, in its frame; points are then [N, 5] with the
    seconds since each was taken. min_distance: points nearer than this to the scanner, in x and y, are left out, of all
    sweeps.

    Raises ValueError for an unknown split, OSError "PATH: what was expected" for folders and files that are not so.
    """

    classes = SEMANTIC_KITTI
    mapping = mapping_of("semantickitti")

    def __init__(
        self,
        root: files.AnyPath,
        split: Optional[str] = None,
        *,
        sequences: Optional[Sequence[str]] = None,
        sweeps: int = 1,
        min_distance: float = 0.0,
    ) -> None:
        self.root = files.folder(Path(root), "the folder of SemanticKITTI")
        self.sweeps, self.min_distance = checked("SemanticKitti", sweeps, min_distance)
        names = chosen("SemanticKitti", SPLITS, split, sequences)
        labelled = split in ("train", "val")
        super().__init__([self._sequence(path, labelled) for path in _folders(self.root, names)])

    def _sequence(self, path: Path, labelled: bool) -> _Sequence:
        frames = files.scans_of(path / "velodyne")
        found = _Sequence(path.name, frames, path, labelled or (path / "labels").is_dir())
        if found.labelled:
            files.one_each(path / "labels", ".label", frames)
        if (path / "calib.txt").exists():
            found.calibration = files.calibration(path / "calib.txt")
        if (path / "times.txt").exists():
            found.times = _of_frames(path / "times.txt", 1, frames)[:, 0]
        if (path / "poses.txt").exists():
            found.poses = _poses(path, found.calibration, frames)
        if self.sweeps > 1:
            for name, there in (("poses.txt", found.poses), ("times.txt", found.times)):
                if there is None:
                    raise IoError(f"{path / name}: is missing, by which {self.sweeps} sweeps are joined")
        found.images = tuple(name for name in IMAGES if "Tr" in found.calibration and (path / name).is_dir())
        for name in found.images:
            files.one_each(path / name, ".png", frames, extra=True)
        return found

    def _scan(self, part: _Sequence, i: int) -> tuple[Scan, Optional[np.ndarray]]:
        scan = read_points(part.folder / "velodyne" / f"{part.frames[i]}.bin", columns=4)
        if not part.labelled:
            return scan, None
        path = part.folder / "labels" / f"{part.frames[i]}.label"
        scan.label = files.words_of(path, "<u4", len(scan)).astype(np.uint32)
        scan.fields["instance"] = scan.label >> 16
        return scan, self._train_ids(scan.label & 0xFFFF, path)

    def _joined(self, part: _Sequence, i: int) -> tuple[Scan, Optional[np.ndarray]]:
        assert part.poses is not None and part.times is not None
        found = []
        for at in range(i, max(i - self.sweeps, -1), -1):
            scan, labels = self._scan(part, at)
            found.append(Sweep(scan, part.poses[at], float(part.times[i] - part.times[at]), labels))
        return joined(found, self.min_distance, self.ignore)

    def _read(self, part: _Sequence, i: int) -> Sample:
        frame = part.frames[i]
        scan, labels = self._joined(part, i) if self.sweeps > 1 else self._scan(part, i)
        sample = Sample(scan, frame, part.name, labels, calibration=dict(part.calibration))
        sample.paths["points"] = part.folder / "velodyne" / f"{frame}.bin"
        if part.labelled:
            sample.paths["labels"] = part.folder / "labels" / f"{frame}.label"
        if part.calibration:
            sample.paths["calibration"] = part.folder / "calib.txt"
        if part.poses is not None:
            sample.pose = part.poses[i].copy()
        if part.times is not None:
            sample.timestamp = float(part.times[i])
        for name in part.images:
            sample.paths[name] = part.folder / name / f"{frame}.png"
            sample.cameras[name] = part.calibration[IMAGES[name]] @ files.square(part.calibration["Tr"])
        return sample


def _folders(root: Path, names: Optional[list[str]]) -> list[Path]:
    """The folders of the sequences, all that are there where no names are given."""
    if (root / "velodyne").is_dir():
        if names is not None:
            raise IoError(f"{root}: expected sequences/{names[0]}, found velodyne: a sequence by itself, which has no splits")
        return [root]
    above = next((root / path for path in ("sequences", "dataset/sequences") if (root / path).is_dir()), None)
    if above is None:
        raise IoError(f"{root}: expected sequences/NN/velodyne/*.bin or velodyne/*.bin, found neither")
    if names is None:
        names = sorted(path.name for path in above.iterdir() if (path / "velodyne").is_dir())
        if not names:
            raise IoError(f"{above}: expected NN/velodyne/*.bin, found none")
    return [files.folder(above / name, f"sequence {name}") for name in names]


def _of_frames(path: Path, columns: int, frames: Sequence[str]) -> np.ndarray:
    """float64 [frames, columns] of a file with a line per scan."""
    found = files.rows(path, columns)
    if len(found) != len(frames):
        raise IoError(f"{path}: expected {len(frames)} lines, one per scan of velodyne, found {len(found)}")
    return found


def _poses(path: Path, calibration: dict[str, np.ndarray], frames: Sequence[str]) -> np.ndarray:
    """float64 [frames, 4, 4] of the scanner."""
    if "Tr" not in calibration:
        raise IoError(f"{path / 'calib.txt'}: expected Tr, from the scanner to the camera whose poses poses.txt has")
    camera = np.array([files.square(row.reshape(3, 4)) for row in _of_frames(path / "poses.txt", 12, frames)])
    transform = files.square(calibration["Tr"])
    return np.linalg.inv(transform) @ camera @ transform
