#!/usr/bin/env python3
"""How much longer `voxshift segment` takes from process to labels than a session that has run before.

    benchmarks/cold_start.py [--build FOLDER] [--scan SCAN] [--model FILE] [--threads N] [--pairs N] [--json FILE]

In turns, N times: the command as a whole process, from fork to exit, which writes a .label file; and in this process, where
a model and its session are warm, the same scan (read, labels, file written) and the model opened once more. Prints medians, the
ratio of the medians, which is to be at most 1.15, and the median of the pairs' own ratios. FOLDER, build/cpu unless given,
has the command and the Python module.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 1.15


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=ROOT / "build/cpu")
    parser.add_argument("--scan", type=Path, help="default: one of the built-in simulator")
    parser.add_argument("--model", type=Path, default=ROOT / "networks/pretrained/minkunet-lidar.safetensors")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--pairs", type=int, default=11)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(options, scan, folder):
    """Seconds of each turn: {"cold": [..], "warm": [..], "read": [..]}."""
    sys.path.insert(0, str(options.build / "python_bindings"))
    import numpy as np
    import voxshift as vs

    command = [options.build / "apps/voxshift", "segment", scan, "--model", options.model, "--threads",
               str(options.threads), "--write", "label", "--out", folder]
    model = vs.Model.load(options.model, threads=options.threads)
    raw_ids = np.zeros(256, np.uint32)
    raw_ids[:len(model.classes)] = [known.raw_id for known in model.classes]

    def warm():
        raw_ids[model.segment(vs.read_points(scan).points)].tofile(folder / "warm.label")

    turns = {"cold": lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL),
             "warm": warm, "read": lambda: vs.Model.load(options.model, threads=options.threads)}
    for work in turns.values():
        work()
    taken = {name: [] for name in turns}
    for _ in range(options.pairs):
        for name, work in turns.items():
            taken[name].append(seconds(work))
    return taken


def main():
    options = arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scan = options.scan
        if scan is None:
            subprocess.run([options.build / "apps/voxshift", "synth", "lidar", "--seed", "8", "-o", folder], check=True,
                           stdout=subprocess.DEVNULL)
            scan = folder / "velodyne/000000.bin"
        taken = measure(options, scan, folder)
    medians = {name: statistics.median(values) for name, values in taken.items()}
    ratio = medians["cold"] / (medians["warm"] + medians["read"])
    pairs = statistics.median(cold / (warm + read) for cold, warm, read in zip(*taken.values()))
    for name, value in medians.items():
        print(f"{name:5} {1e3 * value:7.1f} ms")
    print(f"cold / (warm + read): {ratio:.2f} of {options.pairs} pairs on {options.threads} threads, median of their "
          f"ratios {pairs:.2f}; to be at most {LIMIT}")
    if options.json:
        options.json.write_text(json.dumps({"ratio": ratio, "ratio_of_pairs": pairs, "seconds": taken}, indent=1) + "\n")


if __name__ == "__main__":
    main()
