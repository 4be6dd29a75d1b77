"""The models that are shipped: what their cards claim, on a few held-out scans and clips, and what the package promises."""

from pathlib import Path

import numpy as np
import pytest
import voxshift as vs

MODELS = Path(vs.__file__).parent / "models"
HELD_OUT = 1 << 32  # seeds that no training uses begin here


def test_every_model_is_small_and_has_a_card():
    models = sorted(MODELS.glob("*.safetensors"))
    assert [path.stem for path in models] == ["centerpoint-lidar", "minkunet-lidar", "tsm-mobilenetv2-motions"]
    for path in models:
        assert path.stat().st_size <= 4e6, path.name
        card = path.with_suffix(".md").read_text()
        for heading in (path.stem, "## Metrics", "## Limits"):
            assert heading in card, (path.name, heading)
        assert vs.Model.pretrained(path.stem).parameters()


def test_another_name_is_an_error():
    with pytest.raises(ValueError, match="expected minkunet-lidar or tsm-mobilenetv2-motions, found \"resnet\""):
        vs.Model.pretrained("resnet")


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


def cars_found(detector, points, boxes):
    """How many of the cars' boxes overlap a found car by half, seen from above; and how many cars were found."""
    result = detector.detect(points)
    cars = result.boxes[result.classes == 0]
    overlap = vs.boxes_iou_bev(boxes, cars)
    return int((overlap.max(1, initial=0) > 0.5).sum()), len(cars)


def test_detector_finds_simulated_cars():
    detector = vs.Detector(vs.Model.pretrained("centerpoint-lidar"))
    wanted = right = found = 0
    for seed in range(HELD_OUT + 100, HELD_OUT + 106):
        points, _, objects = vs.synth_lidar(seed, boxes=True)
        is_car = np.isin(objects["types"], ["Car", "Van"]) & (np.hypot(*objects["boxes"][:, :2].T) < 40)
        visible = objects["boxes"][is_car & (objects["points"] >= 20)]
        hits, _ = cars_found(detector, points, visible)
        _, count = cars_found(detector, points, objects["boxes"])
        wanted, right, found = wanted + len(visible), right + hits, found + count
    assert wanted >= 20
    assert right / wanted > 0.85, (right, wanted)
    assert found < 2 * wanted, (found, wanted)


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
