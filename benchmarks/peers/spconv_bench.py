"""Times spconv on the voxels that voxshift's `peer_input` wrote, in this process alone.

    python spconv_bench.py network FOLDER MODEL THREADS REPEATS    scan to logits, maps included, and peak memory
    python spconv_bench.py layers FOLDER WIDTHS THREADS REPEATS    3^3 submanifold layers, map cached; WIDTHS 32,64
    python spconv_bench.py check FOLDER MODEL                      its logits against voxshift's

Prints one JSON object.
"""

import importlib.metadata
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import spconv.pytorch as spconv
import torch
from spconv_minkunet import load_minkunet

TOLERANCE = 1e-4


class Voxels:
    def __init__(self, folder):
        coords = np.fromfile(Path(folder) / "coords.i32", np.int32).reshape(-1, 4)
        assert coords.min() >= 0, "spconv takes no negative coordinates"
        self.coords = torch.from_numpy(coords)
        features = np.fromfile(Path(folder) / "features.f32", np.float32)
        self.features = torch.from_numpy(features.reshape(len(coords), -1))
        self.shape = ((coords[:, 1:].max(0) + 16) // 16 * 16).tolist()  # whole cells at stride 16

    def tensor(self, features):
        return spconv.SparseConvTensor(features, self.coords, self.shape, 1)


def timing(call, repeats):
    call()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return {"best_ms": min(seconds) * 1e3, "median_ms": float(np.median(seconds)) * 1e3}


def network(voxels, model, threads, repeats):
    torch.set_num_threads(threads)
    net = load_minkunet(model)
    result = timing(lambda: net(voxels.tensor(voxels.features)), repeats)
    return {**result, "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def layers(voxels, widths, threads, repeats):
    torch.set_num_threads(threads)
    results = {}
    for width in widths:
        layer = spconv.SubMConv3d(width, width, 3, bias=False, indice_key="level0")
        x = voxels.tensor(torch.rand(len(voxels.coords), width) * 2 - 1)
        x.indice_dict = layer(x).indice_dict
        results[str(width)] = timing(lambda: layer(x), repeats)
    return results


def check(voxels, folder, model):
    """spconv's logits against ours, differences relative to the largest logit.

    Comparable on one thread only: spconv's CPU convolution adds into rows from several threads without order.
    """
    net = load_minkunet(model)
    rows = len(voxels.coords)
    expected = np.fromfile(Path(folder) / "logits.f32", np.float32).reshape(rows, -1)

    def differences(threads):
        torch.set_num_threads(threads)
        logits = net(voxels.tensor(voxels.features)).numpy()
        return np.abs(logits - expected).max(1) / np.abs(expected).max()

    one, two = differences(1), differences(2)
    return {"rows": rows, "tolerance": TOLERANCE, "largest_difference_1_thread": float(one.max()),
            "rows_wrong_1_thread": int((one > TOLERANCE).sum()),
            "rows_wrong_2_threads": int((two > TOLERANCE).sum())}


@torch.no_grad()
def main():
    what, folder, *rest = sys.argv[1:]
    voxels = Voxels(folder)
    if what == "network":
        result = network(voxels, rest[0], int(rest[1]), int(rest[2]))
    elif what == "layers":
        result = layers(voxels, map(int, rest[0].split(",")), int(rest[1]), int(rest[2]))
    elif what == "check":
        result = check(voxels, folder, rest[0])
    else:
        sys.exit(__doc__)
    version = importlib.metadata.version
    print(json.dumps({"library": f"spconv {version('spconv')}, torch {version('torch')}", **result}))


if __name__ == "__main__":
    main()
