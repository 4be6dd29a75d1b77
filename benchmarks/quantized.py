#!/usr/bin/env python3
"""What the shipped models lose and gain in narrow numbers: writes the tables of docs/quantize.md by the page's commands.

    benchmarks/quantized.py BUILD [--scans N] [--clips N] [--calibrate N] [--threads N]

BUILD is a build folder with the command. Seeds of the scans and clips that are scored are none that training or
calibration used. Where VOXSHIFT_DATA is set, the real scans there are labelled, too. Needs the standard library only.
"""

import argparse
import array
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "peers"))

from compare import checked  # noqa: E402
from figures import NONE, ms, percent, table  # noqa: E402
from tables import insert  # noqa: E402

PAGE = HERE.parent / "docs" / "quantize.md"
SHIPPED = HERE.parent / "networks" / "pretrained"
HELD_OUT, CALIBRATION = 7_310_000, 7_300_000  # first seeds
SETTLED = 8  # frames of a clip until the shift has seen enough of it
# Row of the table -> options of `quantize` (none: the model as it is), --dtype of what runs it.
VARIANTS = {
    "f32": (None, "f32"),
    "`--dtype bf16`": (None, "bf16"),
    "`--dtype f16`": (None, "f16"),
    "`quantize`": ([], "i8"),
    "`quantize --max-loss 0.5`": (["--max-loss", "0.5"], "i8"),
}


class Quantized:
    """A model and its variants, in a folder."""

    def __init__(self, command, name, folder, options):
        self.command, self.folder, self.options = command, Path(folder), options
        self.shipped = SHIPPED / f"{name}.safetensors"

    def run(self, *arguments):
        return checked([self.command, *arguments])

    def model(self, row, calibration):
        """File of a variant, quantised with what the options of `calibration` name."""
        given, _ = VARIANTS[row]
        if given is None:
            return self.shipped
        path = self.folder / f"{list(VARIANTS).index(row)}.safetensors"
        self.run("quantize", self.shipped, *calibration, *given, "-o", path)
        return path


def same_labels(a, b):
    """Share of the points of .label files of one name that have one label in both folders."""
    same = seen = 0
    for path in sorted(Path(a).glob("*.label")):
        one, other = (array.array("I", (Path(folder) / path.name).read_bytes()) for folder in (a, b))
        same += sum(x == y for x, y in zip(one, other))
        seen += len(one)
    return same / seen


def real_scans():
    folder = os.environ.get("VOXSHIFT_DATA")
    return sorted((Path(folder) / "lidar").glob("*.bin")) if folder else []


def lidar_rows(command, options):
    """mIoU on simulated scans, labels that are f32's on real ones, milliseconds of the network, megabytes of the file."""
    rows, plain = [], None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work = Quantized(command, "minkunet-lidar", folder, options)
        work.run("synth", "lidar", "--seed", CALIBRATION, "--count", options.calibrate, "--vary-sensor", "-o", folder / "calibration")
        work.run("synth", "lidar", "--seed", HELD_OUT, "--count", options.scans, "-o", folder / "held")
        for row, (_, dtype) in VARIANTS.items():
            model, out = work.model(row, ["--data", folder / "calibration" / "velodyne"]), folder / f"out{len(rows)}"
            segment = ["--model", model, "--dtype", dtype, "--threads", options.threads, "--write", "label"]
            work.run("segment", folder / "held" / "velodyne", *segment, "--out", out / "held", "--stats", folder / "stats.json")
            times = [scan["seconds"]["network"] for scan in json.loads((folder / "stats.json").read_text())]
            score = json.loads(work.run("eval", "--pred", out / "held", "--gt", folder / "held" / "labels", "--json"))
            real = []
            for scan in real_scans():
                work.run("segment", scan, *segment, "--out", out / scan.stem)
                real.append(percent(same_labels(out / scan.stem, (plain or out) / scan.stem)))
            plain = plain or out
            rows.append([row, percent(score["miou"]), percent(same_labels(out / "held", plain / "held")), " / ".join(real) or NONE,
                         ms(1e3 * statistics.median(times)), f"{model.stat().st_size / 1e6:.1f}"])
    return rows


def frames_right(work, model, dtype, threads, clips):
    """Share of the frames from the ninth on that are labelled right, and the median milliseconds of a frame."""
    right = seen = 0
    times = []
    for clip, label in clips:
        lines = work.run("recognize", clip, "--model", model, "--dtype", dtype, "--threads", threads, "--json", "-").splitlines()
        frames = [json.loads(line) for line in lines][SETTLED:]
        right += sum(frame["label"] == label for frame in frames)
        seen += len(frames)
        times += [frame["ms"] for frame in frames]
    return right / seen, statistics.median(times)


def video_rows(command, options):
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work = Quantized(command, "tsm-mobilenetv2-motions", folder, options)
        work.run("synth", "video", "--seed", CALIBRATION, "--count", options.calibrate, "-o", folder / "calibration")
        work.run("synth", "video", "--seed", HELD_OUT, "--count", options.clips, "-o", folder / "held")
        lines = (folder / "held" / "labels.csv").read_text().splitlines()[1:]
        clips = [(folder / "held" / line.split(",")[0], line.split(",", 2)[2]) for line in lines]
        for row, (_, dtype) in VARIANTS.items():
            model = work.model(row, ["--data", *sorted((folder / "calibration").glob("*.mkv"))])
            right, frame = frames_right(work, model, dtype, options.threads, clips)
            rows.append([row, percent(right), ms(frame), f"{model.stat().st_size / 1e6:.1f}"])
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path)
    parser.add_argument("--scans", type=int, default=24, help="(default %(default)s)")
    parser.add_argument("--clips", type=int, default=270, help="(default %(default)s)")
    parser.add_argument("--calibrate", type=int, default=8, help="scans or clips to calibrate with (default %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="(default %(default)s)")
    options = parser.parse_args()
    command = options.build.resolve() / "apps" / "voxshift"
    lidar = table(["minkunet-lidar", "mIoU", "labels as f32's", "the same on the real scans", "network, ms", "file, MB"],
                  lidar_rows(command, options))
    video = table(["tsm-mobilenetv2-motions", "frames right", "a frame, ms", "file, MB"], video_rows(command, options))
    target = checked([command, "--version"]).splitlines()[0]
    insert(PAGE, f"{options.scans} simulated scans, none of which the model was trained or calibrated with, {options.threads} threads; "
                 f"{target}:\n\n{lidar}\n\n{options.clips} simulated clips, frames from the ninth on:\n\n{video}")


if __name__ == "__main__":
    main()
