"""Scans with boxes: simulated ones, folders in KITTI's layout, and what training does to them."""

from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import voxshift as vs
from voxshift.train.files import Failure

SAME_AS = {"van": "car", "bicyclist": "cyclist", "person": "pedestrian", "person_sitting": "pedestrian"}
IMAGE = (1242, 375)  # pixels of KITTI's camera


class Scene(NamedTuple):
    """points float32 [N, 4]; boxes float32 [M, 7]; classes int64 [M]; owner int32 [N], the box a point is in, -1 for none."""

    points: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    owner: np.ndarray

    def counts(self):
        """int64 [M]: points of each box."""
        return np.bincount(self.owner[self.owner >= 0], minlength=len(self.boxes))


def class_of(types, names):
    """int64 [M]: positions in names of KITTI's types, -1 for those that are none. A van is a car where there are no vans."""
    places = {name.lower(): i for i, name in enumerate(names)}
    lower = [type_.lower() for type_ in types]
    return np.array([places.get(t, places.get(SAME_AS.get(t), -1)) for t in lower], np.int64)


def owners(points, boxes):
    """int32 [N]: the first box that holds each point, -1 for none."""
    found = np.full(len(points), -1, np.int32)
    for i in reversed(range(len(boxes))):
        found[inside(points, boxes[i], 0.1)] = i  # noise puts some points beside it
    return found


def _near(points, place, reach):
    return (np.abs(points[:, 0] - place[0]) < reach) & (np.abs(points[:, 1] - place[1]) < reach)


def inside(points, box, margin=0.0):
    """bool [N]: the points in the box, its sides longer by the margin."""
    near = np.flatnonzero(_near(points, box[:2], np.hypot(box[3], box[4]) / 2 + margin))
    d = points[near, :3] - box[:3]
    c, s = np.cos(box[6]), np.sin(box[6])
    along, across = d[:, 0] * c + d[:, 1] * s, d[:, 1] * c - d[:, 0] * s
    half = (np.array(box[3:6]) + margin) / 2
    result = np.zeros(len(points), bool)
    result[near] = (np.abs(along) < half[0]) & (np.abs(across) < half[1]) & (np.abs(d[:, 2]) < half[2])
    return result


class SimulatedScenes:
    """Scene `index` is vs.synth_lidar(first + index), with the boxes of the classes' names."""

    def __init__(self, first, names, fixed_sensor=0.0):
        self.first, self.names, self.fixed_sensor = first, names, fixed_sensor

    def __getitem__(self, index):
        varies = np.random.default_rng([self.first, index]).random() >= self.fixed_sensor
        points, _, objects = vs.synth_lidar(self.first + index, vary_sensor=varies, boxes=True)
        classes = class_of(objects["types"], self.names)
        kept = np.flatnonzero(classes >= 0)
        new = np.full(len(classes) + 1, -1, np.int32)
        new[kept] = np.arange(len(kept))
        return Scene(points, objects["boxes"][kept], classes[kept], new[objects["object"]])


class FolderScenes:
    """The scans DIR/velodyne/*.bin with DIR/label_2/*.txt and DIR/calib/*.txt, in the order of their names.

    camera_only: points outside of the camera's image are left out, as KITTI has labels in it alone. Raises Failure for a
    folder without scans, and for a scan without label or calibration.
    """

    def __init__(self, folders, names, camera_only):
        self.names, self.camera_only = names, camera_only
        self.scans = []
        for folder in folders:
            found = sorted(Path(folder).glob("velodyne/*.bin"))
            if not found:
                raise Failure(f"{folder}: no velodyne/*.bin")
            self.scans += found
        for scan in self.scans:
            for of_scan in self._files(scan):
                if not of_scan.exists():
                    raise Failure(f"{of_scan}: missing, it belongs to {scan}")

    @staticmethod
    def _files(scan):
        return [scan.parent.parent / folder / (scan.stem + ".txt") for folder in ("label_2", "calib")]

    def __len__(self):
        return len(self.scans)

    def __getitem__(self, index):
        scan = self.scans[index % len(self.scans)]
        label, calibration = self._files(scan)
        points = vs.read_points(scan, columns=4).points
        labels = vs.read_kitti_labels(label, calibration)
        if self.camera_only:
            points = points[_in_image(points, vs.read_kitti_calibration(calibration))]
        classes = class_of(labels["types"], self.names)
        boxes, classes = labels["boxes"][classes >= 0], classes[classes >= 0]
        return Scene(points, boxes, classes, owners(points, boxes))


def _in_image(points, calibration):
    camera = calibration["R0_rect"] @ calibration["Tr_velo_to_cam"] @ np.c_[points[:, :3], np.ones(len(points))].T
    u, v, depth = calibration["P2"] @ np.r_[camera, np.ones((1, len(points)))]
    is_ahead = depth > 0.1
    depth = np.where(is_ahead, depth, 1)
    return is_ahead & (u >= 0) & (v >= 0) & (u < IMAGE[0] * depth) & (v < IMAGE[1] * depth)


def turned(points, angle):
    """A copy with x, y turned about the sensor by the angle."""
    points = points.copy()
    c, s = np.cos(angle), np.sin(angle)
    points[:, :2] = points[:, :2] @ np.array([[c, s], [-s, c]], points.dtype)
    return points


def _ground(points, place, radius=4.0):
    """Height of the ground near the place, None where there are too few points."""
    near = _near(points, place, radius)
    return np.quantile(points[near, 2], 0.1) if near.sum() >= 8 else None


def _angle_to(place, random, around, reach):
    """An angle that turns the place to within reach of `around`, any where that is None; None where a few tries find none."""
    angles = random.uniform(0, 2 * np.pi, 24)
    if around is None:
        return angles[0]
    c, s = np.cos(angles), np.sin(angles)
    d = np.stack([place[0] * c - place[1] * s, place[0] * s + place[1] * c]) - np.reshape(around, (2, 1))
    near = np.flatnonzero(np.hypot(*d) < reach)
    return angles[near[0]] if len(near) else None


def paste(scene, donors, random, wanted, around=None, reach=0.0, least_points=5):
    """The scene with objects of the donors, as SECOND samples them: at the same range, turned about the sensor by any angle, on
    the ground, where no box is. wanted: how many of each class are tried. around, reach: a circle, metres, that they come to
    lie in. Points of the scene inside a pasted box are gone.
    """
    points, boxes, classes, owner = scene
    added = [[], [], []]
    counts = [donor.counts() for donor in donors]
    for class_, tries in enumerate(wanted):
        all_ = [(d, m) for d, n in enumerate(counts) for m in np.flatnonzero((n >= least_points) & (donors[d].classes == class_))]
        for pick in random.permutation(len(all_)):
            if tries == 0:
                break
            d, m = all_[pick]
            angle = _angle_to(donors[d].boxes[m], random, around, reach)
            if angle is None:
                continue
            tries -= 1
            box = turned(donors[d].boxes[m][None], angle)[0]
            box[6] = np.mod(box[6] + angle + np.pi, 2 * np.pi) - np.pi
            ground = _ground(points, box[:2])
            if ground is None or abs(shift := ground - (box[2] - box[5] / 2)) > 1.5:
                continue
            box[2] += shift
            wide = box[None].copy()
            wide[:, 3:5] += 0.4
            if len(boxes) and vs.boxes_iou_bev(wide, boxes).max() > 0:
                continue
            kept = ~inside(points, box, 0.1)
            points, owner = points[kept], owner[kept]
            moved = turned(donors[d].points[donors[d].owner == m], angle)
            moved[:, 2] += shift
            added[0].append(moved)
            added[1].append(np.full(len(moved), len(boxes), np.int32))
            boxes, classes = np.concatenate([boxes, box[None]]), np.append(classes, class_)
    if added[0]:
        points, owner = np.concatenate([points, *added[0]]), np.concatenate([owner, *added[1]])
    return Scene(points, boxes, classes, owner)


def augment(scene, random, full_remission=1.0):
    """The scene turned, mirrored, scaled, shifted in height, thinned and noisy, seen by a sensor with another remission."""
    points, boxes, classes, owner = scene
    kept = np.isfinite(points.sum(1))
    if random.random() < 0.5:
        kept &= random.random(len(points)) > random.uniform(0, 0.5)
    points, owner = points[kept], owner[kept]
    angle, scale = random.uniform(0, 2 * np.pi), random.uniform(0.95, 1.05)
    points, boxes = turned(points, angle), turned(boxes, angle)
    boxes[:, 6] += angle
    if random.random() < 0.5:
        points[:, 1] *= -1
        boxes[:, 1] *= -1
        boxes[:, 6] *= -1
    points[:, :3] *= scale
    boxes[:, :6] *= scale
    height = random.normal(0, 0.1)
    points[:, 2] += height
    boxes[:, 2] += height
    points[:, :3] += random.normal(0, 1, (len(points), 3)) * random.uniform(0, 0.02)
    remission = points[:, 3] * random.uniform(0.5, 1.5) + random.normal(0, 0.05) * full_remission
    kind = random.random()
    if kind < 0.3:
        remission = np.zeros(len(points))
    elif kind < 0.5:
        remission = (np.full(len(points), random.uniform(0, 0.5)) + random.normal(0, 0.1, len(points))) * full_remission
    points[:, 3] = np.clip(remission, 0, full_remission)
    return Scene(points, boxes, classes, owner)


def window_center(scene, random, lowest, highest, side):
    """x, y of a square of this side that holds a box or, now and then, any place of the range. Metres; lowest, highest: x, y."""
    low, high = np.array(lowest) + side / 2, np.array(highest) - side / 2
    within = np.flatnonzero(((scene.boxes[:, :2] > lowest) & (scene.boxes[:, :2] < highest)).all(1))
    if not len(within) or random.random() < 0.1:
        return random.uniform(low, high)
    return np.clip(scene.boxes[random.choice(within), :2] + random.uniform(-side / 3, side / 3, 2), low, high)


def moved(scene, center):
    """The scene with its origin at x, y of the center."""
    points, boxes, classes, owner = scene
    points, boxes = points.copy(), boxes.copy()
    points[:, :2] -= center.astype(np.float32)
    boxes[:, :2] -= center.astype(np.float32)
    return Scene(points, boxes, classes, owner)


class Examples(torch.utils.data.Dataset):
    """Example i of a training: (points, boxes, classes) of an augmented scene; a pure function of (seed, i).

    Scenes are used `reuse` times each, in groups whose turns alternate, so that a worker makes each of them once; objects that
    are pasted come from the same group. ranges: lowest and highest x y z of the network's points. side: metres of a window, 0
    for the whole range. wanted: how many objects of each class are pasted at most. pasted: in this many examples, the first.
    """

    GROUP = 12

    def __init__(self, scenes, seed, reuse, profile, whole, side, wanted, pasted=None, least_points=4):
        self.scenes, self.seed, self.reuse, self.profile = scenes, seed, reuse, profile
        self.whole, self.side, self.least_points = whole, side, least_points
        self.wanted, self.pasted = wanted, pasted
        self.recent = OrderedDict()

    def __getitem__(self, i):
        group, place = divmod(i, self.GROUP * self.reuse)
        members = [self._scene(group * self.GROUP + k) for k in range(self.GROUP)]
        random = np.random.default_rng([self.seed, i])
        scene = members[place % self.GROUP]
        wanted = random.integers(0, np.array(self.wanted) + 1)
        if self.pasted is not None and i >= self.pasted:
            wanted = np.zeros_like(wanted)
        full_remission = 1 / (self.profile["scale"][3] or 1)
        lowest, highest = (np.array(corner, np.float32) for corner in self.whole)
        if not self.side:
            scene = augment(paste(scene, members, random, wanted), random, full_remission)
        else:
            center = window_center(scene, random, lowest[:2], highest[:2], self.side)
            scene = paste(scene, members, random, wanted, center, 0.6 * self.side)
            mark = np.array([[*center, 0, 1, 1, 1, 0]], np.float32)  # goes where the scene goes
            scene = augment(scene._replace(boxes=np.concatenate([scene.boxes, mark])), random, full_remission)
            scene = moved(scene._replace(boxes=scene.boxes[:-1]), scene.boxes[-1, :2])
            lowest[:2], highest[:2] = -self.side / 2, self.side / 2
        points, boxes, classes, _ = scene
        kept = np.logical_and.reduce([(points[:, a] >= lowest[a]) & (points[:, a] < highest[a]) for a in range(3)])
        enough = Scene(points[kept], boxes, classes, scene.owner[kept]).counts() >= self.least_points
        scaled = points[kept] * np.array(self.profile["scale"], np.float32)
        return torch.from_numpy(scaled.astype(np.float32)), boxes[enough], classes[enough]

    def _scene(self, index):
        if index not in self.recent:
            scene = self.scenes[index]
            self.recent[index] = scene
            if len(self.recent) > self.GROUP:
                self.recent.popitem(last=False)
        return self.recent[index]


def collate(examples):
    """(points float32 [N, 4], row_splits int64 [B + 1], boxes, classes of each scan)."""
    splits = np.cumsum([0] + [len(points) for points, _, _ in examples])
    return torch.cat([e[0] for e in examples]), splits, [e[1] for e in examples], [e[2] for e in examples]
