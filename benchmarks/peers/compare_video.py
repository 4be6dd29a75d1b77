"""Engines for images beside voxshift's video networks, each side in its own process, in turn: A B A B.

run.py calls `compare_video`; by hand:

    python3 benchmarks/peers/compare_video.py BUILD PEERS_PYTHON [ARCH WIDTH]

BUILD is a build folder with the benchmarks, PEERS_PYTHON the interpreter of an environment with requirements.txt. The
engines run the network without the temporal shift, ours has it. Of the same dtype: their int8 beside our i8, each made
of the same weights by the library's own quantiser. On a CPU with AVX-512 all is done again on AVX2: ours by
VOXSHIFT_CPU, OpenVINO's convolutions and products by ONEDNN_MAX_CPU_ISA. Prints one JSON object. Needs the standard
library only.
"""

import json
import sys
import tempfile
from pathlib import Path

from compare import HERE, checked, joined, run_benchmark, run_json

NETWORKS = [("tsm-mobilenetv2", 0.5), ("tsm-mobilenetv2", 1.0), ("tsm-mobilenetv2", 1.4), ("tsm-resnet50", 1.0)]
OURS = {"f32": "f32", "bf16": "bf16", "int8": "i8"}  # an engine's precision -> our dtype
LIMITED = {"VOXSHIFT_CPU": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}


class VideoComparison:
    def __init__(self, build, python, arch, width, folder, repeats, environment):
        self.programs, self.python, self.folder, self.repeats = Path(build) / "benchmarks", python, folder, repeats
        self.arch, self.width, self.environment = arch, width, environment
        command, plain, self.i8 = Path(build) / "apps" / "voxshift", Path(folder) / "f32.safetensors", Path(folder) / "i8.safetensors"
        checked([self.programs / "peer_frames", arch, width, folder])
        checked([command, "new", arch, "--width", width, "--classes", 27, "-o", plain])
        checked([command, "quantize", plain, "--synthetic", 2, "-o", self.i8])

    def peers(self, what, *arguments):
        return run_json(self.python, HERE / "video_engines.py", what, self.folder, *arguments, environment=self.environment)

    def ours(self, threads, dtype):
        """Instruction set, and the time of a frame."""
        which = f"--benchmark_filter=^{self.arch}/width:{self.width:g}/"
        model = [f"--model={self.i8}"] if dtype == "i8" else [f"--dtype={dtype}", which]
        context, [entry] = run_benchmark(self.programs / "video_bench", f"--threads={threads}", f"--repeats={self.repeats}",
                                         *model, environment=self.environment)
        return context["target"], {"best_ms": entry["push_best_ms"], "median_ms": entry["push_median_ms"]}

    def network(self, threads, rounds):
        """Our time of each dtype, and each engine's with our share of it."""
        ours, theirs = {}, []
        for _ in range(rounds):
            theirs.append(self.peers("time", threads, self.repeats)["timings"])
            for dtype in {OURS[name.split()[1]]: None for name in theirs[0]}:
                target, timing = self.ours(threads, dtype)
                ours.setdefault(dtype, []).append(timing)
        ours = {dtype: joined(rounds) for dtype, rounds in ours.items()}
        rows = {}
        for name in theirs[0]:
            timing, own = joined([round_[name] for round_ in theirs]), ours[OURS[name.split()[1]]]
            rows[name] = {**timing, **{f"share_{which}": own[f"{which}_ms"] / timing[f"{which}_ms"] for which in ("best", "median")}}
        return {"arch": self.arch, "width": self.width, "threads": threads, "target": target, "voxshift": ours, "peers": rows}


def compare_network(build, python, arch, width, quick, threads, environment):
    """Versions and how the logits agree, and a row for each number of threads."""
    repeats = 2 if quick else 3 if arch == "tsm-resnet50" else 9  # one frame of ResNet50 takes as long as ten
    with tempfile.TemporaryDirectory() as folder:
        comparison = VideoComparison(build, python, arch, width, folder, repeats, environment)
        check = comparison.peers("check")
        rows = [comparison.network(count, 1 if quick else 3) for count in threads]
    return check["versions"], {"arch": arch, "width": width, "target": rows[0]["target"], "engines": check["agreement"],
                               "kernels": check["kernels"]}, rows


def compare_video(build, python, quick=False, threads=(1, 2), networks=NETWORKS):
    """Agreement of the logits, then the time of every network on each number of threads."""
    result = {"agreement": [], "networks": []}
    for environment in ({}, LIMITED):
        for arch, width in networks:
            if environment and (width != 1 or result["networks"][0]["target"] != "avx512"):
                continue
            result["versions"], agreement, rows = compare_network(build, python, arch, width, quick, threads, environment)
            result["agreement"].append(agreement)
            result["networks"] += rows
    return result


def main():
    if len(sys.argv) not in (3, 5):
        sys.exit(__doc__)
    networks = [(sys.argv[3], float(sys.argv[4]))] if len(sys.argv) == 5 else NETWORKS
    print(json.dumps(compare_video(sys.argv[1], sys.argv[2], networks=networks), indent=2))


if __name__ == "__main__":
    main()
