#!/usr/bin/env python3
"""What the shipped models reach on held-out data: writes the tables of their cards.

    benchmarks/pretrained.py [--shorten] [--quantize] [--only lidar|detector|video] [--scans N] [--clips N] [--single-frame MODEL]

--shorten first rounds the weights of the f32 models to bf16's 7 bits of mantissa (float16 has 10): the files deflate to
five sixths, which makes the wheel 0.6 MB smaller. --quantize makes the i8 models anew first. Needs voxshift and PyTorch. The seeds
are none of those that training, its evaluation or calibration used. Where VOXSHIFT_DATA is set, the real scans there are labelled, too.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import voxshift as vs
from figures import percent, table
from tables import insert
from voxshift.train import boxes, detect, lidar, scans

CARDS = Path(__file__).resolve().parent.parent / "networks" / "pretrained"
FIRST = scans.HELD_OUT + 10_000
GROUND = ("road", "parking", "sidewalk", "terrain")
# What the i8 models are made with: vs.quantize, or `voxshift quantize MODEL --synthetic N --keep ..`.
# The products that cost most and take least time stay in float32.
DECODER = ["up3.0.net.0", "up3.1.0.downsample.0", "up4.0.net.0", "up4.1.0.downsample.0", "classifier.0"]
MAPS = [f"pts_bbox_head.task_heads.0.{name}.1" for name in ("reg", "height", "dim", "rot", "heatmap")]
RECIPES = {"lidar": {"synthetic": 8, "keep": DECODER}, "detector": {"synthetic": 16, "keep": MAPS}, "video": {"synthetic": 16}}
NAMES = {"lidar": "minkunet-lidar", "detector": "centerpoint-lidar", "video": "tsm-mobilenetv2-motions"}


class Shipped:
    """Stands in for the network that the evaluation of training takes."""

    def __init__(self, model):
        self.model = model

    def to_model(self):
        return self.model


def ground_of_real_scan(model, path):
    """Share of points nearer than 40 m where the model and a threshold of height agree on what is ground: within 0.2 m of
    the lowest point of its square metre."""
    points = np.fromfile(path, np.float32).reshape(-1, 4)
    predicted = model.segment(points)
    names = np.array([c.name for c in model.classes] + ["none"])
    is_ground = np.isin(names[np.minimum(predicted, len(model.classes))], GROUND)
    square = np.floor(points[:, :2]).astype(np.int64) @ [1 << 20, 1]
    _, which = np.unique(square, return_inverse=True)
    lowest = np.full(which.max() + 1, np.inf, np.float32)
    np.minimum.at(lowest, which, points[:, 2])
    is_low = points[:, 2] < lowest[which] + 0.2
    near = np.hypot(points[:, 0], points[:, 1]) < 40
    return float((is_ground == is_low)[near].mean())


def shorten(which):
    """Rounds the weights of the f32 model to 7 bits of mantissa, ties to even."""
    path = CARDS / f"{NAMES[which]}.safetensors"
    model = vs.Model.load(path)
    bits = {name: values.view(np.uint32) for name, values in model.parameters().items()}
    short = {name: ((b + 0x7FFF + (b >> 16 & 1)) & ~np.uint32(0xFFFF)).view(np.float32) for name, b in bits.items()}
    model.with_parameters(short).save(path, half=True)


def quantize(which):
    """Writes the i8 model beside the f32 one."""
    name = NAMES[which]
    model, report = vs.quantize(vs.Model.pretrained(name), **RECIPES[which])
    model.save(CARDS / f"{name}-i8.safetensors", half=True)
    print(f"{name}-i8: outputs at {report['snr']:.1f} dB, {report['loss']:.2f} points lost on the data")


def real_scans():
    """(name, points) of the real scans at hand."""
    for name in ("semantickitti_000000", "nuscenes_sweep"):
        path = Path(os.environ.get("VOXSHIFT_DATA", "")) / "lidar" / f"{name}.bin"
        if os.environ.get("VOXSHIFT_DATA") and path.exists():
            yield name, np.ascontiguousarray(vs.read_points(path).points[:, :4])


def lidar_in_i8(model, i8, held, found, size):
    """What the i8 model loses against f32: a text and a table."""
    of_i8 = lidar.evaluation(held, len(held), model.classes)(Shipped(i8))
    rows = [["mIoU", percent(found["miou"]), percent(of_i8["miou"])],
            ["points right", percent(found["accuracy"]), percent(of_i8["accuracy"])]]
    for name, points in real_scans():
        same = float(np.mean(model.segment(points) == i8.segment(points)))
        rows.append([f"labels of f32, real scan {name}", "", percent(same)])
    return ["`minkunet-lidar-i8`, on the same scans" + (" and on the real ones at hand:" if len(rows) > 2 else ":"),
            table(["", "f32", "i8"], [*rows, ["file, MB", *size]])]


def sizes(name):
    return [f"{(CARDS / f'{name}{suffix}.safetensors').stat().st_size / 1e6:.2f}" for suffix in ("", "-i8")]


def lidar_card(count):
    model = vs.Model.pretrained("minkunet-lidar")
    names = [c.name for c in model.classes]
    source = scans.SimulatedScans(FIRST, model.classes, vary_sensor=False)
    held = [source[i] for i in range(count)]
    found = lidar.evaluation(held, count, model.classes)(Shipped(model))
    is_ground = np.array([name in GROUND for name in names] + [False])
    right = seen = 0
    for points, labels in held:
        known = labels != scans.IGNORED
        predicted = np.minimum(model.segment(points), len(names))
        right += (is_ground[predicted] == is_ground[np.minimum(labels, len(names))])[known].sum()
        seen += known.sum()
    whole = [["mIoU over the classes below", percent(found["miou"])], ["points right", percent(found["accuracy"])],
             ["ground (road, sidewalk, parking, terrain) against the rest, points right", percent(right / seen)]]
    text = [f"On {count} held-out simulated scans of KITTI's sensor:", table(["", ""], whole),
            table(["class", "IoU"], [[name, percent(found[name])] for name in names if name in found])]
    if os.environ.get("VOXSHIFT_DATA"):
        scan = Path(os.environ["VOXSHIFT_DATA"]) / "lidar" / "semantickitti_000000.bin"
        text.append(f"The real scans at hand have no labels. On SemanticKITTI's scan 000000 what is ground and what is not agrees "
                    f"with a threshold of height for {percent(ground_of_real_scan(model, scan))} of the points nearer than 40 m.")
    text += lidar_in_i8(model, vs.Model.pretrained("minkunet-lidar-i8"), held, found, sizes("minkunet-lidar"))
    insert(CARDS / "minkunet-lidar.md", "\n\n".join(text))


def detector_card(count):
    models = [vs.Model.pretrained(f"centerpoint-lidar{suffix}") for suffix in ("", "-i8")]
    names = [c.name for c in models[0].classes]
    detectors = [vs.Detector(detect.with_scores_from(model, 0.1)) for model in models]
    rows = []
    for sensor, fixed in (("KITTI's", 1.0), ("varying", 0.0)):
        source = boxes.SimulatedScenes(FIRST, names, fixed_sensor=fixed)
        held = [source[i] for i in range(count)]
        truths = [{"boxes": s.boxes, "classes": [names[c] for c in s.classes], "points": s.counts()} for s in held]
        scores = []
        for detector in detectors:
            found = [detector.detect(scene.points) for scene in held]
            scores.append(vs.evaluate_detections(found, truths, max_distance=40, class_names=names)["classes"])
        for name in names:
            of_name = [s[name.capitalize()]["bev"] for s in scores]
            cells = [percent(levels[level]) for levels in of_name for level in ("easy", "moderate", "hard")]
            rows.append([sensor, name, *cells])
    text = [f"On {count} held-out simulated scans of each kind of sensor: average precision (40 recalls) of boxes seen from above, "
            "IoU 0.7 for cars and trucks and 0.5 for the others, of what is within 40 m, with scores from 0.1 on. Easy: 50 points and more, within 30 m; "
            "moderate: 15 and more; hard: 5 and more (`docs/evaluation.md`).",
            table(["sensor", "class", "easy", "moderate", "hard", "i8: easy", "moderate", "hard"], rows),
            "`centerpoint-lidar-i8` is the same network in i8: {1} MB in place of {0}.".format(*sizes("centerpoint-lidar"))]
    insert(CARDS / "centerpoint-lidar.md", "\n\n".join(text))


def video_results(model, skip, clips):
    """Share of clips right by the sum of their scores, of frames right from the 9th on, and mean MAC fraction."""
    size = model.profile["frames"]["height"]
    stream = vs.Recognizer(model, skip=skip)
    right, frames_right, macs = [], [], []
    for i in range(clips):
        frames, label = vs.synth_video(FIRST + i, height=size, width=size)
        stream.reset()
        results = [stream.push(frame) for frame in frames]
        right.append(int(np.argmax(sum(r.scores for r in results))) == label)
        frames_right += [r.label == label for r in results[8:]]
        macs += [r.cost.mac_fraction for r in results]
    return [percent(np.mean(right)), percent(np.mean(frames_right)), f"{np.mean(macs):.2f}"]


def video_card(clips, single_frame):
    model = vs.Model.pretrained("tsm-mobilenetv2-motions")
    rows = [[f"`{skip}`", *video_results(model, skip, clips)] for skip in ("off", "auto")]
    i8 = vs.Model.pretrained("tsm-mobilenetv2-motions-i8")
    rows += [[f"`{skip}`, i8", *video_results(i8, skip, clips)] for skip in ("off", "auto")]
    if single_frame:
        rows.append(["`off`, network without the shift", *video_results(vs.Model.load(single_frame), "off", clips)])
    text = [f"On {clips} held-out clips of 32 frames, static camera, noise of 2 grey levels, streaming:",
            table(["`--skip`", "clips right", "frames right, from the 9th on", "multiply-adds, of dense"], rows),
            "`tsm-mobilenetv2-motions-i8` is the same network in i8: {1} MB in place of {0}.".format(*sizes("tsm-mobilenetv2-motions"))]
    insert(CARDS / "tsm-mobilenetv2-motions.md", "\n\n".join(text))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=24, help="(default %(default)s)")
    parser.add_argument("--clips", type=int, default=810, help="(default %(default)s)")
    parser.add_argument("--only", choices=["lidar", "detector", "video"], help="the card of this model alone")
    parser.add_argument("--single-frame", metavar="MODEL", help="of `voxshift.train video --no-shift`, to compare with")
    parser.add_argument("--shorten", action="store_true", help="round the weights of the f32 models to 7 bits of mantissa")
    parser.add_argument("--quantize", action="store_true", help="make the i8 models anew")
    options = parser.parse_args()
    for which in NAMES:
        if options.only in (None, which):
            if options.shorten:
                shorten(which)
            if options.quantize:
                quantize(which)
    if options.only in (None, "lidar"):
        lidar_card(options.scans)
    if options.only in (None, "detector"):
        detector_card(4 * options.scans)
    if options.only in (None, "video"):
        video_card(options.clips, options.single_frame)


if __name__ == "__main__":
    main()
