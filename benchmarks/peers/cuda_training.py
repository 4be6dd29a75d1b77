"""A training step of MinkUNet 1.0 on a GPU, a batch of two scans: voxshift.torch beside spconv and spconv-triton.

    cuda_training.py [SCAN] [--tiny] [--device cpu] [--side NAME --model FILE] [--dtype f32|f16|bf16] [--repeats N]

All sides have the same voxels, labels and weights, AdamW with f32 weights, and in f16 and bf16 torch.autocast, f16 with a
GradScaler. Each runs in a process of its own, in turn with the others, and makes its maps anew in every step. The second scan of a batch is the first one
turned by a quarter. Prints one JSON object, again with every side that is done: the last line has all. A loss of the first step that
differs by more than 1 % (f32: 0.1 %) from voxshift's is an error in place of a time. --side runs one, in this process.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

HERE = Path(__file__).resolve().parent
CLASSES = 19
SIDES = ("voxshift", "spconv", "spconv_triton")
DTYPES = {"f32": None, "f16": torch.float16, "bf16": torch.bfloat16}
LOSS_TOLERANCE = {"f32": 1e-3, "f16": 1e-2, "bf16": 1e-2}


def batch(scan, tiny):
    """Coordinates int32 [N, 4], features float32 [N, 4] and labels int64 [N]."""
    import voxshift as vs

    points = np.fromfile(scan, np.float32).reshape(-1, 4) if scan else vs.synth_lidar(1)[0]
    if tiny:
        points = points[:400]
    turned = points[:, [1, 0, 2, 3]] * np.array([-1, 1, 1, 1], np.float32)
    coords, feats = [], []
    for number, its in enumerate((points, np.ascontiguousarray(turned))):
        voxels = vs.voxelize(its).tensor
        coords.append(voxels.coords.copy())
        coords[-1][:, 0] = number
        feats.append(voxels.feats)
    coords, feats = np.concatenate(coords), torch.from_numpy(np.concatenate(feats))
    return coords, feats, torch.randint(0, CLASSES, (len(feats),), generator=torch.Generator().manual_seed(0))


def voxshift_side(model, coords, feats, device):
    import voxshift as vs
    import voxshift.torch as vst

    network = vst.Network(vs.Model.load(model)).to(device)
    there = torch.from_numpy(coords).to(device)
    return network, lambda: network(vst.SparseTensor(feats, there))


def spconv_side(package):
    def side(model, coords, feats, device):
        os.environ["VOXSHIFT_SPCONV"] = package
        from spconv_minkunet import load_minkunet, spconv

        lowest = coords[:, 1:].min(0) // 16 * 16  # extents from 0 on, and the cells of all strides as they were
        shifted = torch.from_numpy(coords - np.concatenate([[0], lowest]).astype(np.int32)).to(device)
        shape = [int(s) for s in (shifted[:, 1:].max(0).values + 16) // 16 * 16]
        network = load_minkunet(model).to(device)
        return network, lambda: network(spconv.SparseConvTensor(feats, shifted, shape, 2))

    return side


MAKERS = {"voxshift": voxshift_side, "spconv": spconv_side("spconv.pytorch"), "spconv_triton": spconv_side("spconv_triton.pytorch")}


class Device:
    """What a step waits for, and the memory that the process holds of it: no side gives any back."""

    def __init__(self, name):
        self.name, self.cuda = name, name.startswith("cuda")
        if self.cuda:
            torch.zeros(1, device=name)
        self.free = self.free_bytes()

    def free_bytes(self):
        return torch.cuda.mem_get_info()[0] if self.cuda else 0

    def wait(self):
        if self.cuda:
            torch.cuda.synchronize()

    def peak_bytes(self):
        return self.free - self.free_bytes()


def train(maker, device, dtype, arguments):
    """Times of forward, backward and optimizer, the first loss, and peak memory."""
    coords, feats, labels = batch(arguments.scan, arguments.tiny)
    feats, labels = feats.to(device.name), labels.to(device.name)
    device.free = device.free_bytes()
    network, forward = maker(arguments.model, coords, feats, device.name)
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler("cuda") if dtype == torch.float16 and device.cuda else None
    seconds, first = {"forward": [], "backward": [], "optimizer": []}, None
    for _ in range(arguments.repeats + 3):
        marks = [time.perf_counter()]

        def mark(marks=marks):
            device.wait()
            marks.append(time.perf_counter())

        with torch.autocast(device.name.split(":")[0], dtype=dtype or torch.bfloat16, enabled=dtype is not None):
            loss = cross_entropy(forward().float(), labels)
        mark()
        optimizer.zero_grad(set_to_none=True)
        (scaler.scale(loss) if scaler else loss).backward()
        mark()
        if scaler:
            scaler.step(optimizer)
            scaler.update()
        else:
            optimizer.step()
        mark()
        first = loss.item() if first is None else first
        for name, start, end in zip(seconds, marks, marks[1:]):
            seconds[name].append(1e3 * (end - start))
    kept = {name: times[3:] for name, times in seconds.items()}  # the first ones warm up
    kept["step"] = [sum(parts) for parts in zip(*kept.values())]
    return {"voxels": len(coords), "loss": first, "peak_mb": device.peak_bytes() / 1e6,
            **{f"{name}_ms": float(np.median(times)) for name, times in kept.items()}}


def in_process(arguments, side, dtype):
    """What a process of a side prints, or its last words as an error."""
    command = [sys.executable, __file__, *([arguments.scan] if arguments.scan else []), "--side", side, "--dtype", dtype,
               "--device", arguments.device, "--repeats", str(arguments.repeats), "--model", arguments.model]
    command += ["--tiny"] if arguments.tiny else []
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    return {"error": (done.stderr.strip().splitlines() or ["no words"])[-1][:600]}


def compare(arguments):
    import voxshift as vs

    result = {"network": "MinkUNet 1.0", "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as folder:
        arguments.model = str(Path(folder) / "minkunet.safetensors")
        vs.Model.new("minkunet", seed=1).save(arguments.model)
        for dtype in ("f16", "f32"):  # that with a goal first: there may be no time for the other
            expected = None
            for side in SIDES:
                found = in_process(arguments, side, dtype)
                expected = found.get("loss") if expected is None else expected
                if "loss" in found and not abs(found["loss"] - expected) <= LOSS_TOLERANCE[dtype] * expected:
                    found = {"error": f"the first loss is {found['loss']}, expected {expected}"}
                result.setdefault(dtype, {})[side] = found
                print(json.dumps(result), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", nargs="?")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--dtype", choices=list(DTYPES), default="f16")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--model")
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(train(MAKERS[arguments.side], Device(arguments.device), DTYPES[arguments.dtype], arguments)))
    else:
        compare(arguments)


if __name__ == "__main__":
    main()
