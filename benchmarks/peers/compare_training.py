"""A training step in plain PyTorch beside voxshift's: the same voxels, labels and weights, each side in its own process,
in turn: A B A B.

run.py calls `compare_training`; by hand:

    python3 benchmarks/peers/compare_training.py BUILD PEERS_PYTHON [SCAN]

BUILD is a build folder with voxshift's package for PEERS_PYTHON, an interpreter with numpy and torch. Prints one JSON
object. Needs the standard library only.
"""

import json
import os
import sys
from pathlib import Path

from compare import HERE, checked, joined

PROGRAM = HERE.parent / "training_bench.py"


class TrainingComparison:
    def __init__(self, build, python, scan):
        self.python, self.scan = python, [scan] if scan else []
        self.environment = {**os.environ, "PYTHONPATH": str(Path(build).resolve() / "python_bindings")}

    def run(self, what, *arguments):
        """The last line that training_bench.py prints, as JSON."""
        printed = checked([self.python, PROGRAM, what, *arguments, *self.scan], env=self.environment)
        return json.loads(printed.splitlines()[-1])

    def step(self, threads, rounds, repeats):
        """Times by stage of both, our step as a multiple of inference, and how many times faster it is than plain."""
        ours, plain = [], []
        for _ in range(rounds):
            ours.append(self.run("voxshift", threads, repeats))
            plain.append(self.run("torch", threads, repeats))
        stages = {name: {stage: joined([r["timings"][stage] for r in results]) for stage in results[0]["timings"]}
                  for name, results in (("voxshift", ours), ("torch", plain))}

        def ratios(name, slow, fast):
            return {f"{name}_{which}": slow[f"{which}_ms"] / fast[f"{which}_ms"] for which in ("median", "best")}

        return {"threads": threads, "voxels": ours[0]["voxels"], "macs": ours[0]["macs"], **stages,
                **ratios("of_inference", stages["voxshift"]["step"], stages["voxshift"]["inference"]),
                **ratios("faster", stages["torch"]["step"], stages["voxshift"]["step"]),
                **{f"{name}_peak_rss_bytes": max(r["peak_rss_bytes"] for r in results)
                   for name, results in (("voxshift", ours), ("torch", plain))}}


def compare_training(build, python, scan, quick=False, threads=2):
    """Agreement of loss and gradients, which ends the program where there is none, then the times."""
    comparison = TrainingComparison(build, python, scan)
    check = comparison.run("check")
    rounds, repeats = (1, 1) if quick else (3, 5)
    return {"check": check, "network": "MinkUNet 0.5", "steps": [comparison.step(threads, rounds, repeats)]}


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    print(json.dumps(compare_training(*sys.argv[1:3], sys.argv[3] if len(sys.argv) > 3 else None), indent=2))


if __name__ == "__main__":
    main()
