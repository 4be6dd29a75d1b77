"""The same model code on spconv and on voxshift.torch.spconv, each side in its own process, in turn: A B A B.

    python3 benchmarks/peers/spconv_drop_in.py BUILD PEERS_PYTHON [SCAN]

BUILD is a build folder with voxshift's package for PEERS_PYTHON, an interpreter with spconv and torch. SCAN: float32 rows of
x, y, z, remission, else a simulated one. First the logits of both are compared, which ends the program where they differ;
then MinkUNet 1.0 of spconv_minkunet.py is timed in inference on one thread (spconv's CPU path gives wrong numbers on more),
and a training step of MinkUNet 0.5 on two threads beside plain PyTorch (minkunet_torch.py). Prints one JSON object.

    python3 benchmarks/peers/spconv_drop_in.py side check|forward|step spconv|voxshift|torch [SCAN]    one process of these
"""

import json
import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLASSES, TOLERANCE = 19, 1e-4  # of the largest logit
REPEATS, ROUNDS = 3, 3


def minkunet(library, width):
    """The network of spconv_minkunet.py over this library, with the weights that it initialises by itself."""
    import importlib.util
    import types

    import torch

    package = types.ModuleType("spconv")
    package.pytorch = library
    sys.modules.update({"spconv": package, "spconv.pytorch": library})  # `import spconv.pytorch as spconv` finds it
    spec = importlib.util.spec_from_file_location("minkunet_of", HERE / "spconv_minkunet.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.CHANNELS = [int(width * channels) for channels in module.CHANNELS]
    torch.manual_seed(0)
    return module.MinkUNet(CLASSES)


def library_of(name):
    if name == "voxshift":
        from voxshift.torch import spconv as library
    else:
        import spconv.pytorch as library
    return library


class Scan:
    """Voxels, and labels of no meaning."""

    def __init__(self, path):
        import numpy as np
        import torch
        import voxshift as vs

        points = np.fromfile(path, np.float32).reshape(-1, 4) if path else vs.synth_lidar(1)[0]
        voxels = vs.voxelize(points).tensor
        self.coords, self.feats = torch.from_numpy(voxels.coords.copy()), torch.from_numpy(voxels.feats)
        self.coords[:, 1:] -= self.coords[:, 1:].min(0).values
        self.shape = ((self.coords[:, 1:].max(0).values + 16) // 16 * 16).tolist()  # whole cells at stride 16
        self.labels = torch.randint(0, CLASSES, (len(self.feats),), generator=torch.Generator().manual_seed(0))

    def tensor(self, library):
        return library.SparseConvTensor(self.feats, self.coords, self.shape, 1)


def set_threads(threads, torch_threads):
    import torch
    import voxshift as vs

    torch.set_num_threads(torch_threads)
    vs.set_num_threads(threads)
    vs.set_memory_cache(4 << 30)


def timed(call, repeats):
    """Milliseconds after one call that warms up: the best and the median."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    seconds = sorted(seconds[1:])
    return {"best_ms": seconds[0] * 1e3, "median_ms": seconds[len(seconds) // 2] * 1e3}


def check(scan):
    import torch

    set_threads(1, 1)
    logits = []
    for name in ("spconv", "voxshift"):
        library = library_of(name)
        with torch.no_grad():
            logits.append(minkunet(library, 1).eval()(scan.tensor(library)))
    difference = float((logits[0] - logits[1]).abs().max() / logits[0].abs().max())
    if not difference <= TOLERANCE:
        sys.exit(f"spconv's and voxshift's logits differ by {difference:.1e} of the largest")
    return {"voxels": len(scan.feats), "largest_difference": difference}


def forward(name, scan):
    import torch

    set_threads(1, 1)
    library = library_of(name)
    network = minkunet(library, 1).eval()
    with torch.no_grad():
        return timed(lambda: network(scan.tensor(library)), REPEATS)


def plain_network(network, scan):
    """minkunet_torch.py's network with the weights of ours and maps made beforehand."""
    import voxshift as vs
    from minkunet_torch import MinkUNet, pairs_by_offset

    tensors = {}
    for name, tensor in network.state_dict().items():
        if tensor.dim() == 5:
            one_tap = tensor.shape[1] == 1
            kernel = tensor.reshape(tensor.shape[-1], -1) if one_tap else tensor.flatten(1, -2).permute(1, 2, 0)
            tensors[name.replace(".weight", ".kernel")] = kernel.contiguous()
        elif "num_batches" not in name:
            tensors[name] = tensor
    level = vs.SparseTensor(scan.coords, scan.feats.numpy()[:, :1].copy())
    rows, around, down = [], [], []
    for i in range(5):
        rows.append(level.size)
        around.append(pairs_by_offset(vs.kernel_map(level), 27, level.size))
        if i < 4:
            down.append(pairs_by_offset(vs.kernel_map(level, 2, stride=2), 8, level.size))
            level = vs.max_pool(level, 2, stride=2)
    return MinkUNet(tensors, rows, around, down)


def step(name, scan):
    """Forward, cross-entropy, backward and AdamW of MinkUNet 0.5, maps within voxshift's time alone."""
    import torch
    from torch.nn.functional import cross_entropy

    set_threads(2, 1 if name == "voxshift" else 2)
    library = library_of("voxshift")
    network = minkunet(library, 0.5).train()
    run, parameters = (lambda: network(scan.tensor(library))), list(network.parameters())
    if name == "torch":
        plain = plain_network(network, scan)
        run, parameters = (lambda: plain(scan.feats)), list(plain.parameters.values())
    optimizer = torch.optim.AdamW(parameters, lr=1e-3)
    losses = []

    def one():
        loss = cross_entropy(run(), scan.labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    return {**timed(one, REPEATS), "first_loss": losses[0]}


def side(what, name, path=None):
    scan = Scan(path)
    if what == "check":
        return check(scan)
    return {"forward": forward, "step": step}[what](name, scan)


def compared(run, what, slow, fast):
    """Both in turn, and how many times faster the second is."""
    rounds = [(run(what, slow), run(what, fast)) for _ in range(ROUNDS)]
    found = {}
    for name, results in zip((slow, fast), zip(*rounds)):
        medians = sorted(result["median_ms"] for result in results)
        found[name] = {**results[0], "best_ms": min(r["best_ms"] for r in results), "median_ms": medians[ROUNDS // 2]}
    return {**found, **{f"faster_{which}": found[slow][f"{which}_ms"] / found[fast][f"{which}_ms"]
                        for which in ("best", "median")}}


def main():
    arguments = sys.argv[1:]
    if arguments[:1] == ["side"] and len(arguments) in (3, 4):
        return print(json.dumps(side(*arguments[1:])))
    if len(arguments) not in (2, 3):
        sys.exit(__doc__)
    from compare import checked

    build, python, *scan = arguments
    environment = {**os.environ, "PYTHONPATH": str(Path(build).resolve() / "python_bindings")}

    def run(*what):
        printed = checked([python, Path(__file__), "side", *what, *scan], env=environment)
        return json.loads(printed.splitlines()[-1])

    print(json.dumps({"check": run("check", "both"), "forward": compared(run, "forward", "spconv", "voxshift"),
                      "step": compared(run, "step", "torch", "voxshift")}, indent=2))


if __name__ == "__main__":
    main()
