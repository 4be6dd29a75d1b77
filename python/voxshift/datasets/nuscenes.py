"""nuScenes: scans of a whole turn, ten sweeps a second and two samples, with boxes, cameras and, by lidarseg, labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

from voxshift._voxshift import InvalidArgument, IoError
from voxshift.datasets import files
from voxshift.datasets.classes import NUSCENES, NUSCENES_CATEGORIES, NUSCENES_DETECTION, mapping_of
from voxshift.datasets.nuscenes_tables import LIDAR, Annotations, Row, Shot, Tables, annotations_of, rotation, samples_of, shot
from voxshift.datasets.sample import Boxes, Dataset, Part, Sample, known_split
from voxshift.datasets.sweeps import Sweep, checked, joined
from voxshift.io import Scan, read_points

VERSIONS = {"train": "v1.0-trainval", "val": "v1.0-trainval", "test": "v1.0-test", "mini_train": "v1.0-mini",
            "mini_val": "v1.0-mini"}  # fmt: skip
# The scenes of the two validation sets, first and last of each run; the other scenes of these versions are for training.
VALIDATION = {
    "v1.0-mini": [(103, 103), (916, 916)],
    "v1.0-trainval": [
        (3, 3), (12, 18), (35, 36), (38, 39), (92, 110), (221, 221), (268, 278), (329, 332), (344, 346), (519, 524),
        (552, 565), (625, 627), (629, 630), (632, 638), (770, 771), (775, 775), (777, 778), (780, 784), (794, 800),
        (802, 802), (904, 917), (919, 931), (962, 963), (966, 969), (971, 972), (1059, 1073),
    ],
}  # fmt: skip


def in_split(scene: str, split: str) -> bool:
    """Whether a scene of the split's version, as "scene-0103", is of the split."""
    runs = VALIDATION.get(VERSIONS[split], [])
    number = scene.rpartition("-")[2]
    is_validation = number.isdigit() and any(first <= int(number) <= last for first, last in runs)
    return is_validation == split.endswith("val")


@dataclass(eq=False)
class _Frame:
    """A sample. sweeps: the scan's own shot, then those before it."""

    sweeps: list[Shot]
    cameras: dict[str, Shot]
    annotations: Annotations
    labels: Optional[str]


@dataclass(eq=False)
class _Scene(Part):
    samples: list[_Frame]


class NuScenes(Dataset[_Scene]):
    """nuScenes' folders: ROOT/v1.0-*/*.json, and the files that the tables name: samples, sweeps, lidarseg. Sequences are scenes,
    frames samples.

    split: train, val (v1.0-trainval), test (v1.0-test), mini_train, mini_val (v1.0-mini); or sequences: names of scenes;
    neither: all scenes. version: the folder of the tables, where the split does not say it and there are several.

    Scans have x, y, z, intensity 0 to 255, and ring, in the LiDAR's frame; the pose takes them to the map's. Boxes are
    [M, 9]; their types are categories, as "vehicle.car", box_classes those of the detection task; fields: points int64,
    LiDAR points in each, and instance, the token of the object. cameras: the images of the sample by channel, as they were
    when each was taken. scan.label and labels are there where the version has lidarseg.json.

    sweeps: how many are joined, the last ones up to the sample's, in its frame; points are then [N, 5] with the seconds
    since each was taken, and labels of the other sweeps are 255. min_distance: points nearer than this to the LiDAR in x
    and y are left out, of all sweeps; nuscenes-devkit's from_file_multisweep has 1.

    Raises ValueError for an unknown split, OSError "FILE: what was expected" for missing tables, rows and files.
    """

    classes = NUSCENES
    mapping = mapping_of("nuscenes")
    box_classes = NUSCENES_DETECTION

    def __init__(
        self,
        root: files.AnyPath,
        split: Optional[str] = None,
        *,
        sequences: Optional[Sequence[str]] = None,
        version: Optional[str] = None,
        sweeps: int = 1,
        min_distance: float = 0.0,
    ) -> None:
        self.root = files.folder(Path(root), "the folder of nuScenes")
        self.sweeps, self.min_distance = checked("NuScenes", sweeps, min_distance)
        if split is not None:
            known_split("NuScenes", VERSIONS, split)
        if split is not None and sequences is not None:
            raise InvalidArgument("[NuScenes] expects split or sequences, found both")
        self.version = version or (VERSIONS[split] if split else _only_version(self.root))
        tables = Tables(files.folder(self.root / self.version, f"the tables of {self.version}"))
        scenes = [scene for scene in tables.rows("scene") if split is None or in_split(scene["name"], split)]
        if sequences is not None:
            scenes = _named(scenes, sequences, tables.folder)
        if not scenes:
            raise IoError(f"{tables.folder / 'scene.json'}: expected scenes{f' of {split}' if split else ''}, found none")
        super().__init__(_scenes(tables, scenes, self.sweeps))

    def _scan(self, taken: Shot) -> Scan:
        scan = read_points(self.root / taken.file, columns=5)
        scan.ring = scan.points[:, 4].astype(np.int32)
        scan.points = np.ascontiguousarray(scan.points[:, :4])
        return scan

    def _labels(self, scan: Scan, path: Path) -> np.ndarray:
        scan.label = files.words_of(path, "u1", len(scan)).astype(np.uint32)
        return self._train_ids(scan.label, path)

    def _read(self, part: _Scene, i: int) -> Sample:
        frame = part.samples[i]
        key = frame.sweeps[0]
        paths = {"points": self.root / key.file}
        scan, labels = self._scan(key), None
        if frame.labels:
            paths["labels"] = self.root / frame.labels
            labels = self._labels(scan, paths["labels"])
        if self.sweeps > 1:
            found = [Sweep(scan, key.pose, 0.0, labels)]
            found += [Sweep(self._scan(one), one.pose, 1e-6 * (key.timestamp - one.timestamp)) for one in frame.sweeps[1:]]
            scan, labels = joined(found, self.min_distance, self.ignore)
        sample = Sample(scan, part.frames[i], part.name, labels, self._boxes(frame), key.pose, 1e-6 * key.timestamp, paths=paths)
        sample.calibration = {"lidar_to_ego": key.sensor.copy(), "ego_to_world": key.ego.copy()}
        for channel, camera in frame.cameras.items():
            assert camera.intrinsic is not None
            sample.paths[channel] = self.root / camera.file
            sample.calibration[channel] = camera.intrinsic.copy()
            sample.cameras[channel] = camera.intrinsic @ (np.linalg.inv(camera.pose) @ key.pose)[:3]
        return sample

    def _boxes(self, frame: _Frame) -> Boxes:
        """In the frame of the LiDAR."""
        found, inverse = frame.annotations, np.linalg.inv(frame.sweeps[0].pose)
        boxes = np.zeros((len(found.categories), 9))
        for i in range(len(boxes)):
            ahead = inverse[:3, :3] @ rotation(found.rotations[i])[:, 0]
            boxes[i, :3] = inverse[:3, :3] @ found.centres[i] + inverse[:3, 3]
            boxes[i, 3:6] = found.sizes[i, [1, 0, 2]]
            boxes[i, 6] = np.arctan2(ahead[1], ahead[0])
            boxes[i, 7:] = (inverse[:3, :3] @ found.velocities[i])[:2]
        fields = {"points": found.points.copy(), "instance": np.array(found.instances, np.str_)}
        classes = self._box_classes(found.categories, NUSCENES_CATEGORIES)
        return Boxes(boxes.astype(np.float32), list(found.categories), classes, fields)


def _only_version(root: Path) -> str:
    there = sorted(path.parent.name for path in root.glob("*/scene.json"))
    if len(there) != 1:
        found = ", ".join(there) or "none"
        raise IoError(f"{root}: expected one folder of tables, v1.0-*/scene.json, or split or version; found {found}")
    return there[0]


def _named(scenes: Sequence[Row], names: Sequence[str], folder: Path) -> list[Row]:
    if isinstance(names, str) or not names:
        raise InvalidArgument(f"[NuScenes] expects sequences as a list of names, found {names!r}")
    by_name = {scene["name"]: scene for scene in scenes}
    for name in names:
        if name not in by_name:
            raise IoError(f"{folder / 'scene.json'}: expected scene {name}, which it does not have")
    return [by_name[name] for name in names]


def _scenes(tables: Tables, scenes: Sequence[Row], sweeps: int) -> list[_Scene]:
    """The scenes with all that a sample needs, and nothing more of the tables."""
    tokens = {scene["name"]: samples_of(tables, scene) for scene in scenes}
    wanted = {token for found in tokens.values() for token in found}
    channels = {row["token"]: tables.get("sensor", row["sensor_token"], "calibrated_sensor")
                for row in tables.by_token("calibrated_sensor").values()}  # fmt: skip

    def is_used(row: Row) -> bool:
        tables.get("calibrated_sensor", row["calibrated_sensor_token"], "sample_data")
        return row["is_key_frame"] or channels[row["calibrated_sensor_token"]]["channel"] == LIDAR

    lidar: dict[str, Row] = {}
    cameras: dict[str, dict[str, Shot]] = defaultdict(dict)
    for row in tables.by_token("sample_data", is_used).values():
        if not row["is_key_frame"] or row["sample_token"] not in wanted:
            continue
        sensor = channels[row["calibrated_sensor_token"]]
        if sensor["channel"] == LIDAR:
            lidar[row["sample_token"]] = row
        elif sensor["modality"] == "camera":
            cameras[row["sample_token"]][sensor["channel"]] = shot(tables, row)
    annotated: dict[str, list[Row]] = defaultdict(list)
    for row in tables.by_token("sample_annotation").values():
        annotated[row["sample_token"]].append(row)
    labels = {}
    if (tables.folder / "lidarseg.json").exists():
        labels = {row["sample_data_token"]: row["filename"] for row in tables.rows("lidarseg")}

    def frame(token: str) -> _Frame:
        if token not in lidar:
            raise IoError(f"{tables.folder / 'sample_data'}.json: expected a key frame of {LIDAR} for sample {token}")
        row = lidar[token]
        chain = [row]
        while len(chain) < sweeps and chain[-1]["prev"]:
            chain.append(tables.get("sample_data", chain[-1]["prev"], "sample_data"))
        taken = [shot(tables, one) for one in chain]
        return _Frame(taken, cameras[token], annotations_of(tables, annotated[token]), labels.get(row["token"]))

    return [_Scene(name, found, [frame(token) for token in found]) for name, found in tokens.items()]
