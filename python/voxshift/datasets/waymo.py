"""Waymo's perception data in KITTI's layout, as mmdetection3d's converter writes it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

from voxshift._voxshift import IoError
from voxshift.datasets import files
from voxshift.datasets.sample import Boxes, Dataset, Part, Sample, chosen, known_split
from voxshift.io import Scan, read_points

SPLITS = {"train": "0", "val": "1", "test": "2"}  # the first digit of a frame's name
CAMERAS = 5
COLUMNS = 6  # x y z intensity elongation, and the time, or the place in the range image


@dataclass(eq=False)
class _Segment(Part):
    folder: Path
    there: dict[str, str]
    """Folder -> suffix of its files, of what is beside velodyne."""


class Waymo(Dataset[_Segment]):
    """ROOT/training and ROOT/testing, or the same below ROOT/kitti_format, with velodyne/PSSSFFF.bin (P: 0 for training, 1 for
    validation, 2 for testing; SSS: the segment, FFF: the frame in it), and calib, label_all, pose and image_0 to image_4 with
    files of the same names, each where it is there: later versions of the converter put into a pickled list what label_all,
    calib and pose had, which is not read. Sequences are segments, PSSS.

    split: train, val, test; or sequences: names of segments, as "0017"; neither: all that are there.

    Scans have x, y, z, intensity (unbounded; networks take its tanh) and elongation, as fifth column; fields["sixth"] is what
    the converter wrote behind, the time of the frame or the point's place in the range image. They are in the car's frame, and
    so are boxes, float32 [M, 7]; fields: image_boxes and camera int64, the camera that these are of.

    Raises ValueError for an unknown split, OSError "PATH: what was expected" for folders and files that are not so.
    """

    box_classes = ("Car", "Pedestrian", "Cyclist")

    def __init__(
        self, root: files.AnyPath, split: Optional[str] = None, *, sequences: Optional[Sequence[str]] = None
    ) -> None:
        self.root = files.folder(Path(root), "the folder of Waymo in KITTI's layout")
        if split is not None:
            known_split("Waymo", SPLITS, split)
        names = chosen("Waymo", dict.fromkeys(SPLITS, ()), split, sequences)
        base = self.root / "kitti_format" if (self.root / "kitti_format").is_dir() else self.root
        segments = [segment for name in ("training", "testing") if (base / name).is_dir() for segment in _segments(base / name)]
        if not segments:
            raise IoError(f"{base}: expected training/velodyne/*.bin or testing/velodyne/*.bin, found neither")
        if split is not None:
            segments = [segment for segment in segments if segment.name[0] == SPLITS[split]]
            if not segments:
                raise IoError(f"{base}: expected frames of {split}, {SPLITS[split]}*.bin in velodyne, found none")
        elif names:
            by_name = {segment.name: segment for segment in segments}
            for name in names:
                if name not in by_name:
                    raise IoError(f"{base}: expected segment {name}, {name}*.bin in velodyne, found none")
            segments = [by_name[name] for name in names]
        super().__init__(segments)

    def _read(self, part: _Segment, i: int) -> Sample:
        frame = part.frames[i]
        paths = {"points": part.folder / "velodyne" / f"{frame}.bin"}
        sample = Sample(_scan(paths["points"]), frame, part.name, paths=paths)
        for name, suffix in part.there.items():
            paths[{"label_all": "boxes", "calib": "calibration"}.get(name, name)] = part.folder / name / f"{frame}{suffix}"
        if "calibration" in paths:
            sample.calibration = files.calibration(paths["calibration"])
        if "pose" in paths:
            sample.pose = files.rows(paths["pose"], 4)
            if len(sample.pose) != 4:
                raise IoError(f"{paths['pose']}: expected 4 lines of 4 numbers, found {len(sample.pose)}")
        if "boxes" in paths:
            camera = files.square(_line(sample.calibration, "Tr_velo_to_cam_0", paths))
            sample.boxes = self._boxes(paths["boxes"], np.linalg.inv(camera))
        for k in range(CAMERAS):
            if f"image_{k}" in paths and sample.calibration:
                to_camera = files.square(_line(sample.calibration, f"Tr_velo_to_cam_{k}", paths))
                sample.cameras[f"image_{k}"] = _line(sample.calibration, f"P{k}", paths) @ to_camera
        return sample

    def _boxes(self, path: Path, from_camera: np.ndarray) -> Boxes:
        """Lines as KITTI's labels, and the camera. The bottom's centre went through the front camera's transform, the heading
        did not: rotation_y = -heading - pi / 2."""
        lines = [(i, line.split()) for i, line in enumerate(files.text(path).splitlines(), 1) if line.strip()]
        types = [words[0] for _, words in lines]
        rows = [files.numbers(words[1:16], {15}, f"{path}:{i}") for i, words in lines]
        values = np.array(rows).reshape(-1, 15)
        boxes = np.zeros((len(rows), 7))
        for row, (height, width, length, x, y, z, rotation) in zip(boxes, values[:, 7:14]):
            row[:3] = (from_camera @ [x, y, z, 1])[:3]
            row[2] += height / 2
            row[3:6] = length, width, height
            row[6] = (-rotation - np.pi / 2 + np.pi) % (2 * np.pi) - np.pi
        fields: dict[str, np.ndarray] = {"image_boxes": values[:, 3:7].astype(np.float32), "camera": values[:, 14].astype(np.int64)}
        return Boxes(boxes.astype(np.float32), types, self._box_classes(types), fields)


def _scan(path: Path) -> Scan:
    scan = read_points(path, columns=COLUMNS)
    scan.fields["sixth"] = scan.points[:, 5].copy()
    scan.points = np.ascontiguousarray(scan.points[:, :5])
    return scan


def _line(calibration: dict[str, np.ndarray], name: str, paths: dict[str, Path]) -> np.ndarray:
    if name not in calibration:
        raise IoError(f"{paths.get('calibration', paths['points'])}: expected {name} in the calibration, found none")
    return calibration[name]


def _segments(path: Path) -> list[_Segment]:
    """The segments of training or testing."""
    frames = files.scans_of(path / "velodyne")
    by_segment = defaultdict(list)
    for frame in frames:
        if len(frame) != 7 or not frame.isdigit():
            raise IoError(f"{path / 'velodyne' / frame}.bin: expected a name of 7 digits, as 0017123.bin")
        by_segment[frame[:4]].append(frame)
    there = {name: ".txt" for name in ("calib", "label_all", "pose") if (path / name).is_dir()}
    for k in range(CAMERAS):
        name = f"image_{k}"
        if (path / name).is_dir():
            there[name] = ".jpg" if files.stems(path / name, ".jpg") else ".png"
    for name, suffix in there.items():
        files.one_each(path / name, suffix, frames, extra=True)
    return [_Segment(name, found, path, there) for name, found in by_segment.items()]
