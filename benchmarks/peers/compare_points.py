"""Point operators of other libraries beside voxshift: the same points, each side in its own process, A B A B.

run.py calls `compare_points`; by hand:

    python3 benchmarks/peers/compare_points.py BUILD PEERS_PYTHON [SCAN]

BUILD is a build folder with the benchmarks, PEERS_PYTHON the interpreter of an environment with requirements.txt.
Prints one JSON object. Needs the standard library only.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from compare import HERE, checked, joined, run_benchmark, run_json

# Operator of points_bench.py -> our program and its benchmark.
OURS = {
    "voxelize": ("coordinates_bench", "voxelize_mean"),
    "knn_16": ("neighbors_bench", "knn_16/scan"),
    "fixed_radius": ("neighbors_bench", "fixed_radius/scan"),
    "hybrid_32": ("neighbors_bench", "hybrid_32/scan"),
    "furthest_4096": ("neighbors_bench", "furthest_4096/scan"),
}


def ratios(ours, theirs):
    return {"ratio_best": theirs["best_ms"] / ours["best_ms"], "ratio_median": theirs["median_ms"] / ours["median_ms"]}


class PointComparison:
    def __init__(self, build, python, scan, folder, repeats):
        self.programs, self.python, self.folder = Path(build) / "benchmarks", python, folder
        self.scan, self.repeats, self.threads = [str(scan)] if scan else [], repeats, os.cpu_count()
        checked([self.programs / "peer_input", *self.scan, f"--out={folder}"])

    def peers(self, what, *arguments):
        return run_json(self.python, HERE / "points_bench.py", what, self.folder, *arguments)

    def ours(self, operator):
        program, name = OURS[operator]
        _, [entry] = run_benchmark(self.programs / program, *self.scan, f"--threads={self.threads}",
                                   f"--repeats={self.repeats}", f"--benchmark_filter=^{name}/threads")
        return {"best_ms": entry["op_best_ms"], "median_ms": entry["op_median_ms"]}

    def operator(self, operator, rounds):
        """Our time, and of each peer its time, how many times faster we are, and results that differ."""
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(self.ours(operator))
            theirs.append(self.peers("time", operator, self.repeats)["timings"])
        ours = joined(ours)
        peers = {name: joined([round_[name] for round_ in theirs]) for name in theirs[0]}
        return {"operator": operator, "threads": self.threads, "voxshift": ours,
                "peers": {name: {**timing, **ratios(ours, timing)} for name, timing in peers.items()}}


def compare_points(build, python, scan, quick=False):
    """Each operator beside its peers; the ones that take seconds are run once, and not at all when quick."""
    rounds, repeats = (1, 2) if quick else (3, 7)
    with tempfile.TemporaryDirectory() as folder:
        comparison = PointComparison(build, python, scan, folder, repeats)
        check = comparison.peers("check")
        rows = [comparison.operator(operator, rounds) for operator in OURS]
        if not quick:
            slow = comparison.peers("slow", "furthest_4096")["timings"]
            [furthest] = [row for row in rows if row["operator"] == "furthest_4096"]
            furthest["peers"] |= {name: {**timing, **ratios(furthest["voxshift"], timing)}
                                  for name, timing in slow.items()}
        return {"versions": check["versions"], "different": check["different"], "operators": rows}


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    scan = sys.argv[3] if len(sys.argv) > 3 else None
    print(json.dumps(compare_points(sys.argv[1], sys.argv[2], scan), indent=2))


if __name__ == "__main__":
    main()
