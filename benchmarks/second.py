#!/usr/bin/env python3
"""SECOND at KITTI's range on a real scan, part by part, as fractions of FMA peak.

    benchmarks/second.py SCAN.bin [--threads 1 2] [--runs N] [--peak PROGRAM]

Layers as in OpenPCDet's second.yaml (VoxelBackBone8x, HeightCompression, BaseBEVBackbone, AnchorHeadSingle) with random
weights: 0.05 x 0.05 x 0.1 m in [0, 70.4] x [-40, 40] x [-3, 1] m. PROGRAM is `peak` of this folder, run before and after;
figures are the medians over the runs.
"""

import argparse
import statistics
import subprocess

import numpy as np

import voxshift as vs
from figures import table

SHAPE = (41, 1600, 1408)  # z, y, x; OpenPCDet adds one layer to the 40
CELL, LOWEST = np.array([0.1, 0.05, 0.05]), np.array([-3, -40, 0])


class Writer:
    """Nodes with random weights; every convolution has a batch norm and a ReLU behind it."""

    def __init__(self):
        self.random = np.random.default_rng(1)
        self.nodes, self.parameters, self.channels = [], {}, {"input": 4}

    def node(self, name, op, inputs, channels, tensors=(), **attributes):
        roles = {role: f"{name}.{role}" for role, _ in tensors}
        self.parameters.update({roles[role]: values.astype(np.float32) for role, values in tensors})
        self.nodes.append({"name": name, "op": op, "inputs": inputs, "parameters": roles, **attributes})
        self.channels[name] = channels
        return name

    def weight(self, *shape, fan):
        return [("weight", self.random.uniform(-1, 1, shape) * (3 / fan) ** 0.5)]

    def norm_relu(self, name, x):
        c = self.channels[x]
        tensors = [("weight", np.ones(c)), ("bias", np.zeros(c)), ("running_mean", np.zeros(c)), ("running_var", np.ones(c))]
        return self.node(name + ".relu", "relu", [self.node(name + ".norm", "batch_norm", [x], c, tensors, eps=1e-3)], c)

    def conv(self, name, x, out, size=(3, 3, 3), stride=1, padding=1):
        c, taps = self.channels[x], int(np.prod(size))
        bounded = {} if stride == 1 else {"semantics": "bounded", "padding": padding}
        weight = self.weight(taps, c, out, fan=taps * c / 3)
        return self.norm_relu(name, self.node(name, "conv", [x], out, weight, kernel_size=list(size), stride=stride, **bounded))

    def conv2d(self, name, x, out, stride=1):
        c = self.channels[x]
        return self.norm_relu(name, self.node(name, "conv2d", [x], out, self.weight(out, c, 3, 3, fan=9 * c), stride=stride, padding=1))

    def up(self, name, x, out, k):
        c = self.channels[x]
        return self.norm_relu(name, self.node(name, "conv_transpose2d", [x], out, self.weight(c, out, k, k, fan=c)))

    def head(self, name, x, out):
        c = self.channels[x]
        return self.node(name, "conv2d", [x], out, self.weight(out, c, 1, 1, fan=c) + [("bias", np.zeros(out))])


def second():
    w = Writer()
    x = w.conv("conv1", w.conv("conv_input", "input", 16), 16)
    for level, out, padding in ((2, 32, 1), (3, 64, 1), (4, 64, [0, 1, 1])):
        x = w.conv(f"conv{level}.0", x, out, stride=2, padding=padding)
        x = w.conv(f"conv{level}.2", w.conv(f"conv{level}.1", x, out), out)
    x = w.conv("conv_out", x, 128, size=(3, 1, 1), stride=[2, 1, 1], padding=0)
    x = w.node("bev", "bird_eye_view", [x], 256, shape=[2, 200, 176], axis=0)
    maps = []
    for block, (out, stride) in enumerate(((128, 1), (256, 2)), 1):
        for layer in range(6):
            x = w.conv2d(f"block{block}.{layer}", x, out, stride if layer == 0 else 1)
        maps.append(w.up(f"up{block}", x, 256, stride))
    x = w.node("neck", "cat", maps, 512)
    outputs = [w.head("cls", x, 18), w.head("box", x, 42), w.head("dir", x, 12)]
    graph = {"input": "voxels", "dims": 3, "in_channels": 4, "nodes": w.nodes, "outputs": outputs}
    return graph, w.parameters


def voxels(path):
    """Mean of the points of each voxel, as VFE takes it."""
    points = np.fromfile(path, np.float32).reshape(-1, 4)
    cells = np.floor((points[:, 2::-1] - LOWEST) / CELL).astype(np.int64)
    inside = np.all((cells >= 0) & (cells < (40, *SHAPE[1:])), 1)
    coords = np.insert(cells[inside], 0, 0, 1).astype(np.int32)
    return vs.SparseTensor(coords, points[inside], shape=SHAPE, reduce="mean")


def peaks(program, threads):
    """Multiply-adds a second, by the number of threads."""
    out = subprocess.run([program, *map(str, threads)], capture_output=True, text=True, check=True).stdout
    return {int(line.split()[1]): float(line.split()[2]) * 1e9 / 2 for line in out.splitlines()[1:]}


def is_flat(layer):
    return layer["name"].startswith(("block", "up", "cls", "box", "dir"))


def measure(graph, parameters, x, threads, runs):
    """[(multiply-adds of the 2-D part, its seconds, all of them, seconds from voxels to outputs, of maps)]"""
    model = vs.Model.from_graph(graph, parameters, None, 0, threads=threads)
    model.run(x)
    found = []
    for _ in range(runs):
        model.run(x)
        report = model.report
        flat = [layer for layer in report["layers"] if is_flat(layer)]
        seconds = report["seconds"]
        found.append(
            (
                sum(layer["macs"] for layer in flat),
                sum(layer["seconds"] for layer in flat),
                report["macs"],
                seconds["maps"] + seconds["network"],
                seconds["maps"],
            )
        )
    return [statistics.median(column) for column in zip(*found)], model.report["layers"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peak", default="build/cpu/benchmarks/peak")
    parser.add_argument("--layers", action="store_true", help="print every layer, too")
    options = parser.parse_args()
    graph, parameters = second()
    x = voxels(options.scan)
    before = peaks(options.peak, options.threads)
    rows = []
    for threads in options.threads:
        (flat, flat_seconds, macs, seconds, maps), layers = measure(graph, parameters, x, threads, options.runs)
        after = peaks(options.peak, [threads])[threads]
        peak = max(before[threads], after)
        rows.append(
            [str(threads), f"{1e3 * seconds:.0f}", f"{1e3 * maps:.0f}", f"{1e3 * flat_seconds:.0f}", f"{macs / 1e9:.1f}"]
            + [f"{100 * flat / flat_seconds / peak:.0f} %", f"{100 * macs / seconds / peak:.0f} %"]
        )
        if options.layers:
            for layer in layers:
                share = layer["macs"] / max(layer["seconds"], 1e-9) / peak
                print(f"{layer['name']:12} {layer['kind']:28} {layer['rows']:8} {1e3 * layer['seconds']:8.1f} ms {100 * share:4.0f} %")
    print(f"{x.size} voxels")
    heads = ["threads", "voxels to outputs, ms", "maps, ms", "2-D part, ms", "GMAC", "2-D part of FMA peak", "all of FMA peak"]
    print(table(heads, rows))


if __name__ == "__main__":
    main()
