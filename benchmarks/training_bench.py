#!/usr/bin/env python3
"""One training step of MinkUNet 0.5 on a scan: forward, cross-entropy, backward, AdamW.

    training_bench.py check [SCAN]                       loss and gradients of voxshift against plain PyTorch's
    training_bench.py voxshift THREADS REPEATS [SCAN]    steps in voxshift.torch and C++ inference, in turn
    training_bench.py torch THREADS REPEATS [SCAN]       steps in plain PyTorch (peers/minkunet_torch.py)
    training_bench.py overlap THREADS STEPS [DEVICE]     steps of `voxshift.train lidar` with and without a thread that prepares
                                                         batches, in turn, with data made by it (workers 0) or by a process (1)

Needs voxshift and PyTorch. SCAN: float32 rows of x, y, z, remission, else a simulated one. Prints one JSON object; times
are milliseconds. Coordinates and kernel maps are made anew within voxshift's times, and given to plain PyTorch.
"""

import json
import resource
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import torch
import voxshift as vs
import voxshift.torch as vst
from torch.nn.functional import cross_entropy
from voxshift.train import loop
from voxshift.train.__main__ import main as train_program
from voxshift.train.loop import adamw

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))
from minkunet_torch import MinkUNet, pairs_by_offset

WIDTH, CLASSES = 0.5, 19
LOSS_TOLERANCE = 1e-5  # relative
GRADIENT_TOLERANCE = 1e-2  # L2 of all weights' gradients; rounding flips ReLUs, so two orders of sums differ by some 1e-3


class Case:
    """Voxels, labels and weights, the same in every process."""

    def __init__(self, scan):
        points = np.fromfile(scan, np.float32).reshape(-1, 4) if scan else vs.synth_lidar(1)[0]
        voxels = vs.voxelize(points).tensor
        self.coords, self.feats = voxels.coords, torch.from_numpy(voxels.feats)
        self.labels = torch.randint(0, CLASSES, (len(self.feats),), generator=torch.Generator().manual_seed(0))

    def network(self):
        return vst.MinkUNet(width=WIDTH, classes=CLASSES)

    def sparse_tensor(self):
        return vst.SparseTensor(self.feats, self.coords)

    def plain_network(self):
        level = vs.SparseTensor(self.coords, self.feats.numpy()[:, :1].copy())
        rows, around, down = [], [], []
        for i in range(5):
            rows.append(level.size)
            around.append(pairs_by_offset(vs.kernel_map(level), 27, level.size))
            if i < 4:
                down.append(pairs_by_offset(vs.kernel_map(level, 2, stride=2), 8, level.size))
                level = vs.max_pool(level, 2, stride=2)
        return MinkUNet(dict(self.network().state_dict()), rows, around, down)


class Clock:
    """Seconds by stage and round; the first round warms up."""

    def __init__(self):
        self.seconds = {}
        self.last = time.perf_counter()

    def start(self):
        self.last = time.perf_counter()

    def stop(self, stage):
        now = time.perf_counter()
        self.seconds.setdefault(stage, []).append(now - self.last)
        self.last = now

    def sum(self, whole, parts):
        self.seconds[whole] = [sum(times) for times in zip(*(self.seconds[part] for part in parts))]

    def timings(self):
        return {stage: {"best_ms": min(times[1:]) * 1e3, "median_ms": float(np.median(times[1:])) * 1e3}
                for stage, times in self.seconds.items()}


STAGES = ["forward", "backward", "optimizer"]


def step(clock, forward, labels, optimizer):
    clock.start()
    loss = cross_entropy(forward(), labels)
    clock.stop("forward")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    clock.stop("backward")
    optimizer.step()
    clock.stop("optimizer")


def result(clock):
    clock.sum("step", STAGES)
    return {"timings": clock.timings(), "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def time_voxshift(case, threads, repeats):
    """torch's own operators stay on one thread, as in voxshift.train."""
    torch.set_num_threads(1)
    vs.set_num_threads(threads)
    vs.set_memory_cache(4 << 30)
    network = case.network().train()
    model = vs.Model.new("minkunet", width=WIDTH, classes=CLASSES, threads=threads)
    optimizer = adamw(network.parameters(), lr=1e-3)
    clock = Clock()
    for _ in range(repeats + 1):
        clock.start()
        model.forward(vs.SparseTensor(case.coords, case.feats.numpy()))
        clock.stop("inference")
        step(clock, lambda: network(case.sparse_tensor()), case.labels, optimizer)
    return {"voxels": len(case.feats), "macs": model.report["macs"], **result(clock)}


def time_torch(case, threads, repeats):
    torch.set_num_threads(threads)
    network = case.plain_network()
    optimizer = adamw(network.parameters.values(), lr=1e-3)
    clock = Clock()
    for _ in range(repeats + 1):
        step(clock, lambda: network(case.feats), case.labels, optimizer)
    return result(clock)


def overlap(threads, steps, device="cpu", rounds=3):
    """Milliseconds a step, by workers and --prefetch; the first two steps of a run are left out."""
    ends = []

    class Timed(loop._Run):
        def _step(self, *given):
            super()._step(*given)
            ends.append(time.perf_counter())

    loop._Run = Timed
    found = {}
    options = ["lidar", "--device", device, "--threads", str(threads), "--steps", str(steps), "--val-scans", "1"]
    for _ in range(rounds):
        for workers, prefetch in ((0, 0), (0, 2), (1, 0), (1, 2)):
            ends.clear()
            with tempfile.TemporaryDirectory() as out, redirect_stdout(sys.stderr):
                given = [*options, "--workers", str(workers), "--prefetch", str(prefetch), "--out", out]
                if train_program(given):
                    sys.exit("the training failed")
            found.setdefault(f"workers {workers}, prefetch {prefetch}", []).append((ends[-1] - ends[1]) / (steps - 2) * 1e3)
    return {"device": device, "step_ms": {name: {"best": min(times), "all": times} for name, times in found.items()}}


def check(case):
    """Ends the program where loss or a gradient differs by more than the tolerance."""
    network, plain = case.network().train(), case.plain_network()
    losses = [cross_entropy(network(case.sparse_tensor()), case.labels), cross_entropy(plain(case.feats), case.labels)]
    for loss in losses:
        loss.backward()
    ours, theirs = (loss.item() for loss in losses)
    gradients = {name: (weight.grad, plain.parameters[name].grad) for name, weight in network.named_parameters()}
    a, b = (torch.cat([pair[side].reshape(-1) for pair in gradients.values()]) for side in (0, 1))
    found = {"loss": ours, "plain_loss": theirs, "loss_different": abs(ours - theirs) / theirs,
             "gradient_different": float((a - b).norm() / b.norm())}
    if not (found["loss_different"] <= LOSS_TOLERANCE and found["gradient_different"] <= GRADIENT_TOLERANCE):
        sys.exit(f"voxshift and plain PyTorch differ: {found}")
    return found


def main():
    arguments = sys.argv[1:]
    if not arguments:
        sys.exit(__doc__)
    what, *rest = arguments
    counts = {"check": 0, "voxshift": 2, "torch": 2, "overlap": 2}
    if what not in counts or not counts[what] <= len(rest) <= counts[what] + 1:
        sys.exit(__doc__)
    numbers, scan = list(map(int, rest[: counts[what]])), rest[counts[what] :]
    if what == "overlap":
        print(json.dumps({"torch": torch.__version__, **overlap(*numbers, *scan)}))
        return
    case = Case(scan[0] if scan else None)
    found = {"check": check, "voxshift": time_voxshift, "torch": time_torch}[what](case, *numbers)
    print(json.dumps({"torch": torch.__version__, **found}))


if __name__ == "__main__":
    main()
