"""KITTI's object detection: scans with the boxes of what its camera sees."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from voxshift._voxshift import IoError, read_kitti_labels
from voxshift.datasets import files
from voxshift.datasets.sample import Boxes, Dataset, Part, Sample, known_split
from voxshift.io import read_points

SPLITS = {"train": "training", "val": "training", "trainval": "training", "test": "testing", "training": "training",
          "testing": "testing"}  # fmt: skip
CAMERAS = {"image_2": "P2", "image_3": "P3"}


@dataclass(eq=False)
class _Folder(Part):
    path: Path
    labelled: bool
    calibrated: bool
    images: tuple[str, ...] = ()


class Kitti(Dataset[_Folder]):
    """KITTI's object folders: ROOT/training and ROOT/testing with velodyne/*.bin, label_2/*.txt, calib/*.txt and image_2/*.png. A
    ROOT that has velodyne is itself such a folder, as `voxshift synth lidar --boxes` writes it.

    split: training or testing, all of a folder; train, val, trainval or test, the frames that ROOT/ImageSets/SPLIT.txt lists,
    a name a line, as OpenPCDet and mmdetection3d have it. Frames stand for themselves: the folder is the one sequence.

    Boxes are float32 [M, 7] in the LiDAR's frame, as those of voxshift.read_kitti_labels; DontCare has none. fields:
    image_boxes, truncation, occlusion. box_classes are the three that the benchmark scores; other types have the class -1.

    Raises ValueError for an unknown split, OSError "PATH: what was expected" for folders and files that are not so.
    """

    box_classes = ("Car", "Pedestrian", "Cyclist")

    def __init__(self, root: files.AnyPath, split: Optional[str] = None) -> None:
        self.root = files.folder(Path(root), "the folder of KITTI")
        path = self.root
        if split is not None:
            path = self.root / SPLITS[known_split("Kitti", SPLITS, split)]
        elif not (path / "velodyne").is_dir():
            raise IoError(f"{path}: expected velodyne/*.bin, or training or testing and a split; found no velodyne")
        frames = files.scans_of(path / "velodyne")
        if split in ("train", "val", "trainval", "test"):
            frames = files.listed(self.root / "ImageSets" / f"{split}.txt", frames, path / "velodyne")
        super().__init__([_folder(path, frames, split is not None)])

    def _read(self, part: _Folder, i: int) -> Sample:
        frame = part.frames[i]
        paths = {"points": part.path / "velodyne" / f"{frame}.bin"}
        sample = Sample(read_points(paths["points"], columns=4), frame, part.name, paths=paths)
        if part.calibrated:
            paths["calibration"] = part.path / "calib" / f"{frame}.txt"
            sample.calibration = files.calibration(paths["calibration"])
        if part.labelled:
            paths["boxes"] = part.path / "label_2" / f"{frame}.txt"
            found = read_kitti_labels(paths["boxes"], paths["calibration"])
            fields = {"image_boxes": found["image_boxes"], "truncation": found["truncation"], "occlusion": found["occlusion"]}
            sample.boxes = Boxes(found["boxes"], found["types"], self._box_classes(found["types"]), fields)
        for name in part.images:
            paths[name] = part.path / name / f"{frame}.png"
            has = sample.calibration
            for line in (CAMERAS[name], "R0_rect", "Tr_velo_to_cam"):
                if line not in has:
                    raise IoError(f"{paths['calibration']}: expected {line}, by which {name} sees the scan")
            sample.cameras[name] = has[CAMERAS[name]] @ files.square(has["R0_rect"]) @ files.square(has["Tr_velo_to_cam"])
        return sample


def _folder(path: Path, frames: list[str], complete: bool) -> _Folder:
    """complete: of the data set itself, so that calib and, in training, label_2 must be there."""
    found = _Folder(path.name, frames, path, (path / "label_2").is_dir(), (path / "calib").is_dir())
    found.labelled |= complete and path.name == "training"
    found.calibrated |= complete or found.labelled
    for name, there in (("label_2", found.labelled), ("calib", found.calibrated)):
        if there:
            files.one_each(path / name, ".txt", frames, extra=True)
    found.images = tuple(name for name in CAMERAS if found.calibrated and (path / name).is_dir())
    for name in found.images:
        files.one_each(path / name, ".png", frames, extra=True)
    return found
