"""Engines for images beside voxshift's video networks, each side in its own process, in turn: A B A B.

run.py calls `compare_video`; by hand:

    python3 benchmarks/peers/compare_video.py BUILD PEERS_PYTHON

BUILD is a build folder with the benchmarks, PEERS_PYTHON the interpreter of an environment with requirements.txt. The
engines run the network without the temporal shift, ours has it. Prints one JSON object. Needs the standard library
only.
"""

import json
import sys
import tempfile
from pathlib import Path

from compare import HERE, checked, joined, run_benchmark, run_json

NETWORKS = [("tsm-mobilenetv2", 0.5), ("tsm-mobilenetv2", 1.0), ("tsm-mobilenetv2", 1.4), ("tsm-resnet50", 1.0)]


class VideoComparison:
    def __init__(self, build, python, arch, width, folder, repeats):
        self.programs, self.python, self.folder, self.repeats = Path(build) / "benchmarks", python, folder, repeats
        self.arch, self.width = arch, width
        checked([self.programs / "peer_frames", arch, width, folder])

    def peers(self, what, *arguments):
        return run_json(self.python, HERE / "video_engines.py", what, self.folder, *arguments)

    def ours(self, threads):
        _, [entry] = run_benchmark(
            self.programs / "video_bench", f"--threads={threads}", f"--repeats={self.repeats}",
            f"--benchmark_filter=^{self.arch}/width:{self.width:g}/")
        return {"best_ms": entry["push_best_ms"], "median_ms": entry["push_median_ms"]}

    def network(self, threads, rounds):
        """Our time, and each engine's with our share of it."""
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(self.ours(threads))
            theirs.append(self.peers("time", threads, self.repeats)["timings"])
        ours = joined(ours)
        peers = {name: joined([round_[name] for round_ in theirs]) for name in theirs[0]}
        return {"arch": self.arch, "width": self.width, "threads": threads, "voxshift": ours,
                "peers": {name: {**timing, "share_best": ours["best_ms"] / timing["best_ms"],
                                 "share_median": ours["median_ms"] / timing["median_ms"]}
                          for name, timing in peers.items()}}


def compare_video(build, python, quick=False, threads=(1, 2)):
    """Agreement of the logits, then the time of every network on each number of threads."""
    rounds = 1 if quick else 3
    result = {"different": {}, "networks": []}
    for arch, width in NETWORKS:
        repeats = 2 if quick else 3 if arch == "tsm-resnet50" else 9  # one frame of ResNet50 takes as long as ten
        with tempfile.TemporaryDirectory() as folder:
            comparison = VideoComparison(build, python, arch, width, folder, repeats)
            check = comparison.peers("check")
            result["versions"] = check["versions"]
            result["different"][f"{arch} {width:g}"] = check["different"]
            result["networks"] += [comparison.network(count, rounds) for count in threads]
    return result


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(json.dumps(compare_video(sys.argv[1], sys.argv[2]), indent=2))


if __name__ == "__main__":
    main()
