#!/usr/bin/env python3
"""Detectors on real scans, part by part, as fractions of FMA peak; and suppression of boxes alone.

    benchmarks/detection.py [DATA] [--threads 1 2] [--runs N] [--peak PROGRAM] [--layers]

DATA: folder with lidar/semantickitti_000000.bin and lidar/nuscenes_sweep.bin (VOXSHIFT_DATA). Networks are those of `voxshift
new` with random weights and their own profiles: SECOND and PointPillars with KITTI's settings on KITTI's scan, CenterPoint
with nuScenes' on nuScenes' sweep. PROGRAM is `peak` of this folder, run before and after; figures are the medians over the
runs.
"""

import argparse
import os
import statistics
import subprocess
import time
import warnings

import numpy as np
import voxshift as vs
from figures import table

NETWORKS = [
    ("SECOND", "second", "kitti-voxels", "semantickitti_000000"),
    ("PointPillars", "pointpillars", "kitti-pillars", "semantickitti_000000"),
    ("CenterPoint, voxels", "centerpoint", "nuscenes-voxels", "nuscenes_sweep"),
    ("CenterPoint, pillars", "centerpoint", "nuscenes-pillars", "nuscenes_sweep"),
]


def points_of(folder, scan):
    """x, y, z, remission of KITTI's or nuScenes' file."""
    columns = 5 if scan.startswith("nuscenes") else 4
    return np.fromfile(f"{folder}/lidar/{scan}.bin", np.float32).reshape(-1, columns)[:, :4].copy()


def peaks(program, threads):
    """Multiply-adds a second, by the number of threads."""
    out = subprocess.run([program, *map(str, threads)], capture_output=True, text=True, check=True).stdout
    return {int(line.split()[1]): float(line.split()[2]) * 1e9 / 2 for line in out.splitlines()[1:]}


def measure(detector, points, runs):
    """Medians of (voxels to heads, points and boxes) in seconds, multiply-adds, boxes; and the last run's layers."""
    detector.detect(points)
    found = []
    for _ in range(runs):
        boxes = len(detector.detect(points))
        report = detector.report
        s = report["seconds"]
        found.append((s["maps"] + s["network"], s["voxelize"] + s["boxes"], report["macs"], boxes))
    return [statistics.median(column) for column in zip(*found)], detector.report["layers"]


def is_flat(layer):
    """Of the 2-D part."""
    return any(part in layer["name"] for part in ("backbone.", "backbone_2d", "neck", "head"))


def networks(options):
    rows = []
    for title, arch, profile, scan in NETWORKS:
        model = vs.Model.new(arch, profile=profile)
        points = points_of(options.data, scan)
        for threads in options.threads:
            before = peaks(options.peak, [threads])[threads]
            (seconds, around, macs, boxes), layers = measure(vs.Detector(model, threads=threads), points, options.runs)
            peak = max(before, peaks(options.peak, [threads])[threads])
            flat = [layer for layer in layers if is_flat(layer)]
            flat_share = sum(layer["macs"] for layer in flat) / sum(layer["seconds"] for layer in flat) / peak
            rows.append([title, str(threads), f"{1e3 * seconds:.0f}", f"{macs / 1e9:.1f}", f"{100 * flat_share:.0f} %",
                         f"{100 * macs / seconds / peak:.0f} %", f"{1e3 * around:.1f}",
                         f"{100 * around / (around + seconds):.1f} %", str(int(boxes))])  # fmt: skip
            if options.layers:
                for layer in layers:
                    share = layer["macs"] / max(layer["seconds"], 1e-9) / peak
                    print(f"{layer['name'][-34:]:34} {layer['kind']:26} {layer['rows']:8} {1e3 * layer['seconds']:8.2f} ms {100 * share:4.0f} %")
    heads = ["network", "threads", "voxels to heads, ms", "GMAC", "2-D part of FMA peak", "voxels to heads of FMA peak",
             "points and boxes, ms", "share of all", "boxes"]  # fmt: skip
    print(table(heads, rows))


def suppression(options):
    """1,000 boxes of cars' size in heaps of 25, as candidates lie around objects."""
    random = np.random.default_rng(1)
    heaps = np.c_[random.uniform(-40, 40, (40, 2)), random.uniform(-2, 0, 40), random.uniform(-3, 3, 40)].repeat(25, 0)
    boxes = np.zeros((1000, 7), np.float32)
    boxes[:, :3] = heaps[:, :3] + random.normal(0, 0.3, (1000, 3))
    boxes[:, 3:6] = [4.2, 1.8, 1.6] + random.normal(0, 0.1, (1000, 3))
    boxes[:, 6] = heaps[:, 3] + random.normal(0, 0.1, 1000)
    scores = random.uniform(0.1, 1, 1000).astype(np.float32)
    rows = []
    for overlap in (0.01, 0.2, 0.7):
        times = []
        for _ in range(200):
            start = time.perf_counter()
            kept = len(vs.nms_bev(boxes, scores, overlap))
            times.append(time.perf_counter() - start)
        rows.append([f"{overlap}", str(kept), f"{1e3 * statistics.median(times):.2f}", f"{1e3 * max(times):.2f}"])
    print(table(["overlap", "boxes of 1,000 left", "median, ms", "longest, ms"], rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", default=os.environ.get("VOXSHIFT_DATA"))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--peak", default="build/cpu/benchmarks/peak")
    parser.add_argument("--layers", action="store_true", help="print every layer, too")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(vs.build_info()["instruction_set"])
    suppression(options)
    networks(options)


if __name__ == "__main__":
    main()
