"""Labelled scans: simulated ones, folders in SemanticKITTI's layout, and what training does to them."""

import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

import voxshift as vs
from voxshift.train.files import Failure

IGNORED = 255
HELD_OUT = 1 << 32  # seeds of simulated scans that no training uses begin here


def train_ids(raw, classes):
    """uint8 train ids of raw labels: positions in `classes`, 255 for what is none of them. Moving objects count as standing."""
    table = np.full(1 << 16, IGNORED, np.uint8)
    for train_id, info in enumerate(classes):
        table[info.raw_id] = train_id
    for moving, still in {252: 10, 253: 31, 254: 30, 255: 32, 256: 16, 257: 13, 258: 18, 259: 20}.items():
        if table[moving] == IGNORED:
            table[moving] = table[still]
    return table[np.asarray(raw) & 0xFFFF]


class SimulatedScans:
    """Scan `index` is vs.synth_lidar(first + index): points float32 [N, 4], train ids uint8 [N]."""

    def __init__(self, first, classes, vary_sensor=True):
        self.first, self.classes, self.vary_sensor = first, classes, vary_sensor

    def __getitem__(self, index):
        points, raw = vs.synth_lidar(self.first + index, vary_sensor=self.vary_sensor)
        return points, train_ids(raw, self.classes)


class FolderScans:
    """The labelled scans of DIR/velodyne and DIR/labels, or DIR/sequences/*/velodyne and labels, in the order of their names.

    The upper half of a label is the instance and is left out; SemanticKITTI's raw ids that are no class are ignored. Raises
    Failure for a folder without scans, an empty or cut scan, a label file that is missing or not as long as its scan, and
    raw ids that are neither a class nor SemanticKITTI's.
    """

    def __init__(self, folders, classes):
        self.classes = classes
        self.scans = []
        for folder in folders:
            found = sorted(Path(folder).glob("velodyne/*.bin")) + sorted(Path(folder).glob("sequences/*/velodyne/*.bin"))
            if not found:
                raise Failure(f"{folder}: no velodyne/*.bin and no sequences/*/velodyne/*.bin")
            self.scans += found
        for scan in self.scans:
            labels = self.label_file(scan)
            if not labels.exists():
                raise Failure(f"{labels}: missing, the labels of {scan}")
            scan_bytes, label_bytes = scan.stat().st_size, labels.stat().st_size
            points = scan_bytes // 16
            if scan_bytes == 0:
                raise Failure(f"{scan}: an empty scan")
            if scan_bytes % 16:
                raise Failure(f"{scan}: {scan_bytes} bytes, expected 4 float32 per point")
            if label_bytes != 4 * points:
                raise Failure(f"{labels}: {label_bytes / 4:g} labels, but {scan} has {points} points")

    @staticmethod
    def label_file(scan):
        return scan.parent.parent / "labels" / (scan.stem + ".label")

    def __len__(self):
        return len(self.scans)

    def __getitem__(self, index):
        scan = self.scans[index % len(self.scans)]
        points = vs.read_points(scan, columns=4).points
        raw = np.fromfile(self.label_file(scan), np.uint32)
        labels = train_ids(raw, self.classes)
        for raw_id in np.unique(raw[labels == IGNORED] & 0xFFFF):
            if not _of_semantic_kitti(raw_id):
                point = np.flatnonzero(raw & 0xFFFF == raw_id)[0]
                raise Failure(
                    f"{self.label_file(scan)}: raw id {raw_id} of point {point} is neither a class of the model nor one of "
                    "SemanticKITTI's"
                )
        return points, labels


def _of_semantic_kitti(raw_id):
    try:
        vs.train_ids(np.array([raw_id], np.uint32))
    except vs.InvalidArgument:
        return False
    return True


def prepared(points, profile):
    """The voxels that Model.segment makes of points with the model's profile: a voxshift.Voxels with scaled features."""
    columns = np.ascontiguousarray(points[:, : len(profile["scale"])])
    options = {name: profile[name] for name in ("voxel_size", "rounding", "range", "reduce", "origin", "axes")}
    voxels = vs.voxelize(columns, **options)
    return voxels.tensor.with_features(voxels.tensor.feats * np.array(profile["scale"], np.float32)), voxels.inverse


def warn_of_remission(feats, profile):
    """Warns of features [N, 4] whose remission is not the 0 to 1 that models take."""
    if not len(feats):
        return
    lowest, highest = float(feats[:, 3].min()), float(feats[:, 3].max())
    if lowest < 0 or highest > 1:
        warnings.warn(
            f"remission runs from {lowest:g} to {highest:g} after the scale {profile['scale'][3]:g} of the model's profile "
            f"\"{profile['name']}\", expected 0 to 1: scale the scans, or start with --init from a model of their unit",
            stacklevel=2,
        )


def augment(points, labels, random, share, full_remission=1.0):
    """A sector of `share` of the turn, seen by another sensor: turned, mirrored, scaled, shifted, thinned and noisy.

    Most sensors look along the road, so most turns are small: where a road may be is worth knowing. Some are any, for
    sensors mounted another way. The remission is scaled and shifted, and at times replaced by noise: sensors differ in it
    more than in anything else. full_remission: 1 in the unit of the points. What comes out lies where the scan's own does,
    as a sensor saturates.
    """
    azimuth = np.arctan2(points[:, 1], points[:, 0])
    kept = np.isfinite(points).all(axis=1)
    if share < 1:
        kept &= (azimuth - random.uniform(0, 2 * np.pi)) % (2 * np.pi) < 2 * np.pi * share
    kept &= random.random(len(points)) > random.uniform(0, 0.25) * (random.random() < 0.5)
    points, labels = points[kept].copy(), labels[kept]
    sign, scale = random.choice([-1.0, 1.0]), random.uniform(0.95, 1.05)
    turn = random.normal(0, 0.15) + np.pi * random.integers(2)
    if random.random() < 0.25:
        turn = random.uniform(0, 2 * np.pi)
    c, s = np.cos(turn), np.sin(turn)
    rotation = np.array([[c, -s * sign, 0], [s, c * sign, 0], [0, 0, 1]]) * scale
    points[:, :3] = points[:, :3] @ rotation.T
    points[:, :3] += random.normal(0, 1, (len(points), 3)) * random.uniform(0, 0.015)
    points[:, 2] += random.normal(0, 0.06)
    remission = points[:, 3] * random.uniform(0.6, 1.4) + random.normal(0, 0.05) * full_remission
    if random.random() < 0.15:
        noise = np.full(len(points), random.uniform(0.1, 0.5)) + random.normal(0, 0.1, len(points))
        remission = noise * full_remission
    if len(points):
        points[:, 3] = np.clip(remission, points[:, 3].min(), points[:, 3].max())
    return points.astype(np.float32), labels


class Examples(torch.utils.data.Dataset):
    """Example i of a training: an augmented sector of a scan, prepared by the model's profile; a pure function of (seed, i).

    Scans are used `reuse` times each, in groups of 8 whose turns alternate, so that a worker makes each of them once.
    """

    GROUP = 8

    def __init__(self, scans, seed, reuse, share, profile):
        self.scans, self.seed, self.reuse, self.share, self.profile = scans, seed, reuse, share, profile
        self.recent = OrderedDict()

    def __getitem__(self, i):
        group, place = divmod(i, self.GROUP * self.reuse)
        points, labels = self._scan(group * self.GROUP + place % self.GROUP)
        full_remission = 1 / self.profile["scale"][3]
        random = np.random.default_rng([self.seed, i])
        points = vs.prepare_points(points, self.profile)
        points, labels = augment(points, labels, random, self.share, full_remission)
        x, inverse = prepared(points, self.profile)
        kept = inverse >= 0
        _, first = np.unique(inverse[kept], return_index=True)  # a voxel has the label of its first point
        cells = torch.from_numpy(x.coords[:, 1:].copy())
        return cells, torch.from_numpy(x.feats), torch.from_numpy(labels[kept][first])

    def _scan(self, index):
        if index not in self.recent:
            self.recent[index] = self.scans[index]
            if len(self.recent) > self.GROUP:
                self.recent.popitem(last=False)
        return self.recent[index]


def collate(examples):
    """(coords int32 [N, 4] batch first, features float32 [N, 4], labels int64 [N]) in the order of the coordinates."""
    coords = torch.cat([torch.nn.functional.pad(cells, (1, 0), value=b) for b, (cells, _, _) in enumerate(examples)])
    return coords, torch.cat([f for _, f, _ in examples]), torch.cat([labels for _, _, labels in examples]).long()
