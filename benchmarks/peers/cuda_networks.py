"""Times MinkUNet 1.0 in f16 on a CUDA device in spconv, and written with PyTorch's gather, matmul and index_add, on the
voxels that voxshift's `peer_input` wrote.

    python cuda_networks.py FOLDER MODEL [REPEATS]

spconv's time includes its maps; the plain network is given its maps for nothing. Prints one JSON object.
"""

import importlib.metadata
import json
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


@torch.no_grad()
def main():
    folder, model, repeats = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 30
    coords = torch.from_numpy(np.fromfile(folder / "coords.i32", np.int32).reshape(-1, 4)).cuda()
    features = torch.from_numpy(np.fromfile(folder / "features.f32", np.float32).reshape(len(coords), -1)).cuda().half()
    logits = torch.from_numpy(np.fromfile(folder / "logits.f32", np.float32).reshape(len(coords), -1))
    version = importlib.metadata.version
    result = {"device": torch.cuda.get_device_name(), "voxels": len(coords), "torch": version("torch")}

    def agreement(output):
        return float((output.float().cpu().argmax(1) == logits.argmax(1)).float().mean())

    plain = plain_network(read_tensors(model), coords.long() + torch.tensor([0, 32, 32, 32], device="cuda"))
    result["gather_matmul_index_add"] = {**timing(lambda: plain(features), repeats), "same_labels": agreement(plain(features))}
    print(json.dumps(result), flush=True)
    try:
        import spconv.pytorch as spconv
        from spconv_minkunet import load_minkunet

        network = load_minkunet(model).cuda().half()
        shape = [int(s) for s in ((coords[:, 1:].max(0).values + 16) // 16 * 16).tolist()]

        def run():
            return network(spconv.SparseConvTensor(features, coords, shape, 1))

        result["spconv"] = {**timing(run, repeats), "same_labels": agreement(run()), "version": version("spconv-cu126")}
    except Exception as error:  # reported in place of a time
        result["spconv"] = {"error": f"{type(error).__name__}: {error}"[:600]}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
