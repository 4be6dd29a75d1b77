"""The models that are shipped: what their cards claim, on a few held-out scans and clips, and what the package promises."""

import os
from pathlib import Path

import numpy as np
import pytest
import voxshift as vs

MODELS = Path(vs.__file__).parent / "models"
HELD_OUT = 1 << 32  # seeds that no training uses begin here


def test_every_model_is_small_and_has_a_card():
    models = sorted(MODELS.glob("*.safetensors"))
    names = ["centerpoint-lidar", "minkunet-lidar", "tsm-mobilenetv2-motions"]
    assert sorted(path.stem for path in models) == sorted(name + suffix for name in names for suffix in ("", "-i8"))
    for path in models:
        assert path.stat().st_size <= 4e6, path.name
        card = path.with_name(path.stem.removesuffix("-i8") + ".md").read_text()
        for heading in (path.stem, "## Metrics", "## Limits"):
            assert heading in card, (path.name, heading)
        assert vs.Model.pretrained(path.stem).dtype == ("i8" if path.stem.endswith("-i8") else "f32")


@pytest.mark.parametrize("name", ["centerpoint-lidar", "minkunet-lidar", "tsm-mobilenetv2-motions"])
def test_every_model_comes_in_i8(name):
    whole, i8 = vs.Model.pretrained(name), vs.Model.pretrained(name, dtype="i8")
    assert i8.dtype == vs.Model.pretrained(name + "-i8").dtype == "i8"
    assert i8.detection == whole.detection and i8.profile == whole.profile
    if name.startswith("tsm"):
        assert i8.skip_thresholds == whole.skip_thresholds is not None
    assert [c.name for c in i8.classes] == [c.name for c in whole.classes]
    assert (MODELS / f"{name}-i8.safetensors").stat().st_size < 0.6 * (MODELS / f"{name}.safetensors").stat().st_size


def test_another_name_is_an_error():
    with pytest.raises(ValueError, match="found \"resnet\"") as error:
        vs.Model.pretrained("resnet")
    assert all(path.stem.removesuffix("-i8") in str(error.value) for path in MODELS.glob("*.safetensors"))


def test_the_lidar_model_in_i8_gives_the_labels_of_f32():
    points = vs.synth_lidar(HELD_OUT + 104)[0]
    labels = [vs.Model.pretrained("minkunet-lidar", dtype=dtype).segment(points) for dtype in ("auto", "i8")]
    assert np.mean(labels[0] == labels[1]) > 0.985


def test_lidar_model_labels_simulated_scans():
    model = vs.Model.pretrained("minkunet-lidar")
    raw_ids = np.array([c.raw_id for c in model.classes])
    seen = right = 0
    intersection, union = np.zeros(len(raw_ids)), np.zeros(len(raw_ids))
    for seed in range(HELD_OUT + 100, HELD_OUT + 103):
        points, labels = vs.synth_lidar(seed)
        predicted = raw_ids[np.minimum(model.segment(points), len(raw_ids) - 1)]
        known = np.isin(labels, raw_ids)
        seen, right = seen + known.sum(), right + (predicted == labels)[known].sum()
        for i, raw in enumerate(raw_ids):
            is_there, is_found = labels[known] == raw, predicted[known] == raw
            intersection[i] += (is_there & is_found).sum()
            union[i] += (is_there | is_found).sum()
    iou = {c.name: a / b for c, a, b in zip(model.classes, intersection, union) if b}
    assert right / seen > 0.8
    for name in ("road", "building", "vegetation", "car"):
        assert iou[name] > 0.6, (name, iou[name])


def test_detector_finds_simulated_cars():
    detector = vs.Detector(vs.Model.pretrained("centerpoint-lidar"))
    wanted = right = sure = true = 0
    for seed in range(HELD_OUT + 100, HELD_OUT + 106):
        points, _, objects = vs.synth_lidar(seed, boxes=True)
        boxes, is_car = objects["boxes"], np.isin(objects["types"], ["Car", "Van"])
        result = detector.detect(points)
        cars = result.boxes[result.classes == 0]
        overlap = vs.boxes_iou_bev(boxes[is_car], cars)
        is_plain = ((np.hypot(*boxes[:, :2].T) < 30) & (objects["points"] >= 50))[is_car]  # `easy` of the card
        wanted, right = wanted + is_plain.sum(), right + (overlap.max(1, initial=0) > 0.5)[is_plain].sum()
        is_sure = result.scores[result.classes == 0] > 0.5
        sure, true = sure + is_sure.sum(), true + (overlap.max(0, initial=0) > 0.3)[is_sure].sum()
    assert wanted >= 20 and right / wanted > 0.85, (right, wanted)
    assert true / sure > 0.85, (true, sure)


@pytest.mark.skipif("VOXSHIFT_DATA" not in os.environ, reason="needs the real scan")
def test_detector_finds_cars_of_a_real_scan():
    """Four parked cars, whose sides, bonnets and windows are plain to see in the points."""
    scan = Path(os.environ["VOXSHIFT_DATA"]) / "lidar" / "semantickitti_000000.bin"
    result = vs.Detector(vs.Model.pretrained("centerpoint-lidar")).detect(vs.read_points(scan, columns=4).points)
    cars = result.boxes[(result.classes == 0) & (result.scores > 0.4)]
    for place in ((18.1, -13.4), (20.0, 11.1), (17.8, -19.9), (22.0, -5.7)):
        distance = np.hypot(*(cars[:, :2] - place).T)
        assert distance.min() < 1, (place, cars)
        car = cars[distance.argmin()]
        assert abs(np.sin(car[6])) > 0.95 and 3.5 < car[3] < 5, car  # they stand across the street
    assert len(cars) <= 12


def test_video_model_tells_motions_apart():
    model = vs.Model.pretrained("tsm-mobilenetv2-motions")
    names = vs.synth_video_classes()
    assert [c.name for c in model.classes] == names
    size = model.profile["frames"]["height"]
    wrong = []
    for label in range(len(names)):
        frames, _ = vs.synth_video(HELD_OUT + 1000 + label, height=size, width=size, label=label)
        stream = vs.Recognizer(model)
        scores = sum(stream.push(frame).scores for frame in frames)
        if int(np.argmax(scores)) != label:
            wrong.append(names[label])
    assert len(wrong) <= 1, wrong
