"""Times MinkUNet 1.0 in f16 on a CUDA device in spconv, in spconv-triton, and written with PyTorch's gather, matmul and
index_add, on the voxels that voxshift's `peer_input` wrote.

    python cuda_networks.py FOLDER MODEL [REPEATS]

The times of both spconvs include their maps; the plain network is given its maps for nothing. Prints one JSON object, again with
every peer that is done: the last line has all.
"""

import importlib
import importlib.metadata
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from minkunet_torch import MinkUNet
from model_file import read_tensors


def timing(call, repeats):
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - start))
    return {"best_ms": min(times), "median_ms": float(np.median(times))}


def keys_of(coords):
    return (coords[:, 1] * 8192 + coords[:, 2]) * 8192 + coords[:, 3]


def pairs_between(fine, coarse, stride, offsets):
    """Per offset the (fine row, coarse row) with fine = coarse * stride + offset."""
    keys = keys_of(fine)
    pairs = []
    for offset in offsets:
        sought = keys_of(coarse * torch.tensor([1, stride, stride, stride], device=coarse.device)
                         + torch.tensor([0, *offset], device=coarse.device))
        place = torch.searchsorted(keys, sought).clamp_(max=len(keys) - 1)
        found = keys[place] == sought
        pairs.append((place[found], torch.nonzero(found)[:, 0]))
    return pairs


def plain_network(tensors, coords):
    cube = [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)]
    corner = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
    levels = [coords]
    for _ in range(4):
        coarser = levels[-1].clone()
        coarser[:, 1:] = torch.div(coarser[:, 1:], 2, rounding_mode="floor")
        levels.append(torch.unique(coarser, dim=0))
    around = [pairs_between(level, level, 1, cube) for level in levels]
    for pairs in around:
        pairs[13] = None
    down = [pairs_between(fine, coarse, 2, corner) for fine, coarse in zip(levels, levels[1:])]
    half = {name: torch.from_numpy(value.copy()).cuda().half() for name, value in tensors.items()}
    return MinkUNet(half, [len(level) for level in levels], around, down, training=False)


PEERS = {"spconv": "spconv.pytorch", "spconv_triton": "spconv_triton.pytorch"}


def version_of(name):
    """Of the package that is installed: spconv's name says for which CUDA."""
    installed = [d for d in importlib.metadata.distributions() if (d.metadata["Name"] or "").replace("-", "_").startswith(name)
                 and (d.metadata["Name"] or "").replace("-", "_").startswith("spconv_triton") == (name == "spconv_triton")]
    return installed[0].version if installed else "unknown"


def spconv_network(package, model):
    """The package and its MinkUNet in f16."""
    os.environ["VOXSHIFT_SPCONV"] = package
    sys.modules.pop("spconv_minkunet", None)
    module = importlib.import_module("spconv_minkunet")
    return module.spconv, module.load_minkunet(model).cuda().half()


@torch.no_grad()
def main():
    folder, model, repeats = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 30
    coords = torch.from_numpy(np.fromfile(folder / "coords.i32", np.int32).reshape(-1, 4)).cuda()
    features = torch.from_numpy(np.fromfile(folder / "features.f32", np.float32).reshape(len(coords), -1)).cuda().half()
    logits = torch.from_numpy(np.fromfile(folder / "logits.f32", np.float32).reshape(len(coords), -1))
    result = {"device": torch.cuda.get_device_name(), "voxels": len(coords), "torch": torch.__version__.split("+")[0]}

    def agreement(output):
        return float((output.float().cpu().argmax(1) == logits.argmax(1)).float().mean())

    plain = plain_network(read_tensors(model), coords.long() + torch.tensor([0, 32, 32, 32], device="cuda"))
    result["gather_matmul_index_add"] = {**timing(lambda: plain(features), repeats), "same_labels": agreement(plain(features))}
    print(json.dumps(result), flush=True)
    shape = [int(s) for s in ((coords[:, 1:].max(0).values + 16) // 16 * 16).tolist()]
    for name, package in PEERS.items():
        try:
            spconv, network = spconv_network(package, model)

            def run(spconv=spconv, network=network):
                return network(spconv.SparseConvTensor(features, coords, shape, 1))

            start = time.perf_counter()
            same = agreement(run())
            first = time.perf_counter() - start
            result[name] = {**timing(run, repeats), "first_s": first, "same_labels": same, "version": version_of(name)}
        except Exception as error:  # reported in place of a time
            result[name] = {"error": f"{type(error).__name__}: {error}"[:600]}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
