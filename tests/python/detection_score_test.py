"""Scores of detections: nuScenes' against nuscenes-devkit, KITTI's against its evaluator's rules in plain loops."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import voxshift as vs

LEVELS = {"easy": (50, 0, 30), "moderate": (15, 1, 50), "hard": (5, 2, 70)}  # points, occlusion, metres


def random_scans(random, classes, scans=6, truths=40, spread=25.0, shift=0.4):
    """Predictions and truths [N, 9]: each object is found up to two times, some ways off, or not; others are invented."""
    found, there = [], []
    for _ in range(scans):
        boxes = np.column_stack([random.uniform(-spread, spread, (truths, 2)), random.uniform(-2, 0, truths),
                                 random.uniform(3, 5, truths), random.uniform(1.5, 2.5, truths),
                                 random.uniform(1.4, 2, truths), random.uniform(-7, 7, truths),
                                 random.uniform(-5, 5, (truths, 2))]).astype(np.float32)
        names = random.choice(classes, truths)
        there.append({"boxes": boxes, "classes": names, "points": random.integers(0, 80, truths)})
        rows = random.integers(0, truths, 2 * truths)
        guesses = boxes[rows] + random.normal(0, 1, (2 * truths, 9)) * [shift, shift, 0.1, 0.2, 0.1, 0.1, 0.1, 1, 1]
        guesses[::9, :2] = random.uniform(-2 * spread, 2 * spread, guesses[::9, :2].shape)
        kinds = np.where(random.random(2 * truths) < 0.9, names[rows], random.choice(classes, 2 * truths))
        found.append({"boxes": guesses.astype(np.float32), "classes": kinds,
                      "scores": (random.integers(1, 40, 2 * truths) / 40).astype(np.float32)})  # with equal ones
    return found, there


# KITTI

def kitti_match(overlaps, truth_ignored, found_ignored, scores, least, threshold=None):
    """(scores of hits, false alarms) of one scan: each truth in turn takes a detection."""
    used = [threshold is not None and score < threshold for score in scores]
    hits = []
    for t, ignored in enumerate(truth_ignored):
        free = [d for d in range(len(scores)) if not used[d] and overlaps[d, t] > least]
        if not free:
            continue
        if threshold is None:
            best = max(free, key=lambda d: (scores[d], -d))
        else:
            counted = [d for d in free if not found_ignored[d]]
            best = max(counted, key=lambda d: (overlaps[d, t], -d)) if counted else free[0]
        used[best] = True
        if not ignored and not found_ignored[best]:
            hits.append(scores[best])
    alarms = sum(not used[d] and not found_ignored[d] for d in range(len(scores)))
    return hits, alarms


def kitti_ap(scans, least):
    """AP at 40 recalls, as evaluate_object.cpp: scans of (overlaps, truth_ignored, found_ignored, scores)."""
    truths = sum(sum(not ignored for ignored in scan[1]) for scan in scans)
    if truths == 0:
        return truths, math.nan
    hits = sorted((score for scan in scans for score in kitti_match(*scan, least)[0]), reverse=True)
    thresholds, recall = [], 0.0
    for i, score in enumerate(hits):
        left, right = (i + 1) / truths, (i + 2) / truths if i < len(hits) - 1 else (i + 1) / truths
        if right - recall < recall - left and i < len(hits) - 1:
            continue
        thresholds.append(score)
        recall += 1 / 40
    precision = np.zeros(41)
    for i, threshold in enumerate(thresholds):
        matched = [kitti_match(*scan, least, threshold) for scan in scans]
        right, wrong = sum(len(hits) for hits, _ in matched), sum(alarms for _, alarms in matched)
        precision[i] = right / (right + wrong) if right + wrong else 0
    return truths, np.maximum.accumulate(precision[::-1])[::-1][1:].mean()


def kitti_scans(found, there, name, neighbour, level, overlap_of, farthest=math.inf):
    points, occlusion, metres = LEVELS[level]
    limit = min(metres, farthest)
    for prediction, truth in zip(found, there):
        mine = np.flatnonzero(prediction["classes"] == name)
        theirs = np.flatnonzero(np.isin(truth["classes"], [name, neighbour]))
        a, b = prediction["boxes"][mine].astype(float), truth["boxes"][theirs].astype(float)
        too_hard = truth["points"][theirs] < points if "points" in truth else truth["occlusion"][theirs] > occlusion
        ignored = too_hard | (np.hypot(b[:, 0], b[:, 1]) > limit) | (truth["classes"][theirs] == neighbour)
        overlaps = np.array([[overlap_of(p, q) for q in b] for p in a]).reshape(len(a), len(b))
        yield overlaps, ignored, np.hypot(a[:, 0], a[:, 1]) > limit, prediction["scores"][mine].tolist()


def polygon(box):
    shapely = pytest.importorskip("shapely.geometry")
    x, y, length, width, yaw = box[[0, 1, 3, 4, 6]]
    corners = [(u * length / 2, v * width / 2) for u, v in ((1, 1), (-1, 1), (-1, -1), (1, -1))]
    c, s = np.cos(yaw), np.sin(yaw)
    return shapely.Polygon([(x + u * c - v * s, y + u * s + v * c) for u, v in corners])


def overlap_bev(a, b):
    if np.hypot(*(a - b)[:2]) > 8:
        return 0.0
    common = polygon(a).intersection(polygon(b)).area
    return common / (a[3] * a[4] + b[3] * b[4] - common)


def overlap_3d(a, b):
    if np.hypot(*(a - b)[:2]) > 8:
        return 0.0
    height = min(a[2] + a[5] / 2, b[2] + b[5] / 2) - max(a[2] - a[5] / 2, b[2] - b[5] / 2)
    common = polygon(a).intersection(polygon(b)).area * max(0, height)
    return common / (a[3:6].prod() + b[3:6].prod() - common)


@pytest.mark.parametrize("farthest", [None, 20])
def test_kitti_against_its_rules(random, farthest):
    found, there = random_scans(random, ["Car", "Van", "Pedestrian", "Person_sitting", "Cyclist", "Tram"], 12, 60, shift=0.15)
    there[0] = {**there[0], "points": np.full(60, 60)}
    ours = vs.evaluate_detections(found, there, max_distance=farthest)
    assert ours["protocol"] == "kitti" and list(ours["classes"]) == ["Car", "Pedestrian", "Cyclist", "Van"]
    values = []
    for name, neighbour, least in (("Car", "Van", 0.7), ("Pedestrian", "Person_sitting", 0.5), ("Cyclist", "", 0.5),
                                   ("Van", "", 0.7)):
        assert ours["classes"][name]["overlap"] == least
        for kind, overlap_of in (("bev", overlap_bev), ("3d", overlap_3d)):
            for level in LEVELS:
                scans = list(kitti_scans(found, there, name, neighbour, level, overlap_of, farthest or math.inf))
                truths, ap = kitti_ap(scans, least)
                assert ours["classes"][name]["truths"][level] == truths
                assert ours["classes"][name][kind][level] == pytest.approx(ap, abs=1e-12), (name, kind, level)
                values.append(ap)
    assert 0 < min(values) < max(values) < 0.9 and len(set(values)) > 15


def test_kitti_levels_by_occlusion(random):
    found, there = random_scans(random, ["Car"])
    by_points = vs.evaluate_detections(found, there)
    for truth in there:
        points = truth.pop("points")
        truth["occlusion"] = np.select([points >= 50, points >= 15, points >= 5], [0, 1, 2], 3)
    assert vs.evaluate_detections(found, there) == by_points
    for truth in there:
        del truth["occlusion"]  # all are seen
    hard = vs.evaluate_detections(found, there)["classes"]["Car"]
    assert hard["truths"]["hard"] == 240 and hard["truths"]["easy"] > by_points["classes"]["Car"]["truths"]["easy"]


# nuScenes

NAMES = ["car", "truck", "bus", "trailer", "construction_vehicle", "pedestrian", "motorcycle", "bicycle",
         "traffic_cone", "barrier"]
ERRORS = {"translation": "trans_err", "scale": "scale_err", "orientation": "orient_err", "velocity": "vel_err"}


def devkit_boxes(scans, ranges):
    """EvalBoxes of what is in a class' range, and of truths what has a point."""
    common = pytest.importorskip("nuscenes.eval.common.data_classes")
    detection = pytest.importorskip("nuscenes.eval.detection.data_classes")
    boxes = common.EvalBoxes()
    for index, scan in enumerate(scans):
        listed = []
        for row, name in enumerate(scan["classes"]):
            x, y, z, length, width, height, yaw, vx, vy = scan["boxes"][row].astype(float)
            if math.hypot(x, y) >= ranges[name] or ("points" in scan and scan["points"][row] == 0):
                continue
            listed.append(detection.DetectionBox(
                sample_token=str(index), translation=(x, y, z), size=(width, length, height),
                rotation=(math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)), velocity=(vx, vy), detection_name=str(name),
                detection_score=float(scan["scores"][row]) if "scores" in scan else -1.0))
        boxes.add_boxes(str(index), listed)
    return boxes


def devkit_scores(found, there):
    """nuscenes-devkit's figures: {class: ({distance: AP}, {error})}, mean AP, mean errors, NDS without attributes."""
    algo = pytest.importorskip("nuscenes.eval.detection.algo")
    config = pytest.importorskip("nuscenes.eval.detection.config").config_factory("detection_cvpr_2019")
    classes = pytest.importorskip("nuscenes.eval.detection.data_classes")
    truths, predictions = (devkit_boxes(scans, config.class_range) for scans in (there, found))
    metrics = classes.DetectionMetrics(config)
    for name in config.class_names:
        curves = {d: algo.accumulate(truths, predictions, name, config.dist_fcn_callable, d) for d in config.dist_ths}
        for distance, curve in curves.items():
            metrics.add_label_ap(name, distance, algo.calc_ap(curve, config.min_recall, config.min_precision))
        for error in ("trans_err", "scale_err", "orient_err", "vel_err", "attr_err"):
            known = error not in {"traffic_cone": ("orient_err", "vel_err"), "barrier": ("vel_err",)}.get(name, ())
            metrics.add_label_tp(name, error, algo.calc_tp(curves[config.dist_th_tp], config.min_recall, error)
                                 if known and error != "attr_err" else math.nan)
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning, match="empty slice"):  # attributes, which nobody knows
        errors = {ours: metrics.tp_errors[theirs] for ours, theirs in ERRORS.items()}
    by_class = {name: ({d: metrics.get_label_ap(name, d) for d in config.dist_ths},
                       {ours: metrics.get_label_tp(name, theirs) for ours, theirs in ERRORS.items()}) for name in NAMES}
    nds = (5 * metrics.mean_ap + sum(max(0.0, 1 - error) for error in errors.values())) / 9
    return by_class, metrics.mean_ap, errors, nds


@pytest.mark.parametrize(("scans", "truths", "shift"), [(3, 300, 0.4), (6, 200, 1.2), (2, 60, 0.1)])
def test_nuscenes_against_the_devkit(random, scans, truths, shift):
    pytest.importorskip("nuscenes", reason="nuscenes-devkit is not installed")
    found, there = random_scans(random, NAMES, scans, truths, spread=40.0, shift=shift)
    there[0]["boxes"][::7, 7:] = np.nan  # velocities of truths that nobody knows
    by_class, mean_ap, errors, nds = devkit_scores(found, there)
    ours = vs.evaluate_detections(found, there, protocol="nuscenes")
    assert list(ours["classes"]) == NAMES and ours["protocol"] == "nuscenes"
    for name, (ap, tp) in by_class.items():
        assert ours["classes"][name]["ap"] == pytest.approx(ap, abs=1e-12)
        assert ours["classes"][name]["mean_ap"] == pytest.approx(np.mean(list(ap.values())), abs=1e-12)
        assert ours["classes"][name]["errors"] == pytest.approx(tp, abs=1e-6, nan_ok=True)
    assert ours["mean_ap"] == pytest.approx(mean_ap, abs=1e-12)
    assert ours["errors"] == pytest.approx(errors, abs=1e-6)
    assert ours["nds"] == pytest.approx(nds, abs=1e-6)
    assert 0.05 < ours["mean_ap"] < 0.95


def test_nuscenes_without_velocities(random):
    found, there = random_scans(random, NAMES, 2, 100)
    with_them = vs.evaluate_detections(found, there, "nuscenes")
    found[1]["boxes"] = found[1]["boxes"][:, :7]
    without = vs.evaluate_detections(found, there, "nuscenes")
    assert math.isnan(without["errors"].pop("velocity")) and with_them["errors"].pop("velocity") > 0
    assert without["errors"] == with_them["errors"]
    assert without["nds"] == pytest.approx(
        (5 * without["mean_ap"] + sum(max(0, 1 - error) for error in without["errors"].values())) / 8)


# What is taken

def test_classes_by_number(random):
    names = ["Car", "Pedestrian", "Cyclist"]
    found, there = random_scans(random, names)
    by_name = vs.evaluate_detections(found, there)
    for scan in found:
        scan["classes"] = np.array([names.index(name) for name in scan["classes"]])
    there[0]["classes"] = [names.index(name) for name in there[0]["classes"]]
    assert vs.evaluate_detections(found, there, class_names=names) == by_name


def test_objects_with_these_attributes(random):
    """As Detections."""
    found, there = random_scans(random, ["Car", "Pedestrian"])
    expected = vs.evaluate_detections(found, there)
    assert vs.evaluate_detections([SimpleNamespace(**scan) for scan in found], there) == expected


def test_objects_of_a_simulated_scan():
    objects = vs.synth_lidar(5, boxes=True)[2]
    found = {"boxes": objects["boxes"], "classes": objects["types"], "scores": np.ones(len(objects["boxes"]))}
    scored = vs.evaluate_detections([found], [objects], "nuscenes")
    assert scored["mean_ap"] == pytest.approx(1) and scored["errors"]["translation"] == pytest.approx(0, abs=1e-6)
    assert sum(one["truths"] for one in scored["classes"].values()) > 5


def test_dtypes_and_scans_without_boxes(random):
    found, there = random_scans(random, ["Car"])
    empty = {"boxes": np.zeros((0, 7), np.float32), "classes": [], "scores": np.zeros(0, np.float32)}
    expected = vs.evaluate_detections(found + [empty], there + [empty], "nuscenes")
    assert expected["errors"]["velocity"] > 0
    for scan in found + there:
        scan["boxes"] = np.asfortranarray(scan["boxes"].astype(np.float64))
        scan["classes"] = list(scan["classes"])
    for scan in there:
        scan["points"] = scan["points"].astype(np.int32)
    assert vs.evaluate_detections(found, there, "nuscenes") == expected
    assert vs.evaluate_detections([], []) == {"protocol": "kitti", "classes": {}}


BOX = {"boxes": np.ones((1, 7), np.float32), "classes": ["Car"]}


@pytest.mark.parametrize(("prediction", "truth", "options", "message"), [
    ({}, {}, {"protocol": "waymo"}, 'one of kitti, nuscenes, found "waymo"'),
    ({}, {}, {"max_distance": 0}, "max_distance > 0, found 0"),
    ({}, {}, {"max_distance": math.nan}, "max_distance > 0"),
    ({"scores": [math.nan]}, {}, {}, "finite score of every prediction, which has none at 0 of scan 0"),
    ({"scores": [1, 2]}, {}, {}, r"predictions of scan 0: expects scores \[1\], found \[2\]"),
    ({"scores": ["high"]}, {}, {}, "expects numbers as scores"),
    ({"scores": None}, {}, {}, "expects numbers as scores"),
    ({"boxes": np.ones((1, 8))}, {}, {}, r"boxes \[N, 7\], or \[N, 9\] with velocities, found \[1, 8\]"),
    ({"boxes": "none"}, {}, {}, r"boxes \[N, 7\]"),
    ({"classes": ["Car", "Car"]}, {}, {}, r"expects classes \[1\], found 2"),
    ({"classes": [0.5]}, {}, {}, "names, or places in class_names"),
    ({"classes": [2]}, {}, {"class_names": ["Car"]}, "of the 1 in class_names, found 2"),
    ({"classes": [-1]}, {}, {"class_names": ["Car"]}, "found -1"),
    ({"classes": [2**80]}, {}, {"class_names": ["Car"]}, "of the 1 in class_names"),
    ({}, {"points": [1, 2]}, {}, r"truths of scan 0: expects points \[1\], found \[2\]"),
    ({}, {"points": [0.5]}, {}, "expects numbers as points"),
    ({}, {"occlusion": ["0"]}, {}, "expects numbers as occlusion"),
])
def test_refused(prediction, truth, options, message):
    with pytest.raises(ValueError, match=message):
        vs.evaluate_detections([{**BOX, "scores": [0.5], **prediction}], [{**BOX, **truth}], **options)


def test_missing_parts_are_refused():
    with pytest.raises(ValueError, match="of the same scans, found 1 and 0"):
        vs.evaluate_detections([BOX], [])
    with pytest.raises(ValueError, match="predictions of scan 0: expects a dict with the key 'scores'"):
        vs.evaluate_detections([BOX], [BOX])
    with pytest.raises(ValueError, match="predictions of scan 1: expects a dict with the key 'boxes'"):
        vs.evaluate_detections([{**BOX, "scores": [1]}, None], [BOX, BOX])
    with pytest.raises(ValueError, match="truths of scan 0: expects a dict with the key 'classes'"):
        vs.evaluate_detections([{**BOX, "scores": [1]}], [{"boxes": BOX["boxes"]}])
