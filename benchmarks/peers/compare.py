"""spconv beside voxshift: the same voxels and weights, each library in its own process, in turn: A B A B.

run.py calls `compare`; by hand:

    python3 benchmarks/peers/compare.py BUILD PEERS_PYTHON [SCAN]

BUILD is a build folder with the benchmarks, PEERS_PYTHON the interpreter of an environment with requirements.txt.
Prints one JSON object. Needs the standard library only.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
WIDTHS = [32, 64, 96, 128, 256]


def checked(command, **options):
    """Standard output of a command; ends this program with what it said on standard error when it fails."""
    done = subprocess.run([str(part) for part in command], text=True, capture_output=True, **options)
    if done.returncode != 0:
        sys.exit(f"{done.stderr}\nfailed: {' '.join(map(str, command))}")
    return done.stdout


def counters_of(entry):
    theirs = {"name", "run_name", "run_type", "family_index", "per_family_instance_index", "repetitions",
              "repetition_index", "threads", "iterations", "real_time", "cpu_time", "time_unit"}
    return {name: value for name, value in entry.items() if name not in theirs}


def run_benchmark(program, *arguments, environment=None):
    """Context of a Google Benchmark program, and name and counters of its entries."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        command = [program, *arguments, f"--benchmark_out={out.name}", "--benchmark_out_format=json"]
        checked(command, env={**os.environ, **(environment or {})})
        document = json.load(out)
    return document["context"], [{"name": e["name"].split("/iterations:")[0], **counters_of(e)}
                                 for e in document["benchmarks"]]


def run_json(*command, environment=None):
    """The last line that a program prints, as JSON."""
    return json.loads(checked(command, env={**os.environ, **(environment or {})}).splitlines()[-1])


def joined(rounds):
    """Fastest of all rounds and median of their medians, milliseconds."""
    return {"best_ms": min(r["best_ms"] for r in rounds),
            "median_ms": statistics.median(r["median_ms"] for r in rounds)}


def side_by_side(ours, theirs):
    ours, theirs = joined(ours), joined(theirs)
    return {"voxshift": ours, "spconv": theirs,
            "ratio_best": theirs["best_ms"] / ours["best_ms"],
            "ratio_median": theirs["median_ms"] / ours["median_ms"]}


class Comparison:
    def __init__(self, build, python, scan, model, folder, repeats):
        self.programs, self.python, self.model, self.folder = Path(build) / "benchmarks", python, model, folder
        self.scan, self.repeats = [str(scan)] if scan else [], repeats
        checked([self.programs / "peer_input", *self.scan, f"--model={model}", f"--out={folder}"])

    def spconv(self, what, *arguments):
        return run_json(self.python, HERE / "spconv_bench.py", what, self.folder, *arguments)

    def our_network(self, threads):
        _, [entry] = run_benchmark(
            self.programs / "network_bench", *self.scan, f"--model={self.model}", f"--threads={threads}",
            f"--repeats={self.repeats}", "--benchmark_filter=^forward/")
        return {"best_ms": entry["forward_best_ms"], "median_ms": entry["forward_median_ms"]}

    def our_layers(self, widths, threads):
        shapes = "|".join(f"{width}->{width}" for width in widths)
        _, entries = run_benchmark(self.programs / "layers_bench", *self.scan, f"--threads={threads}",
                                   f"--repeats={self.repeats}", f"--benchmark_filter=^layer/stride:1/({shapes})/")
        return {str(int(e["in"])): {"best_ms": e["layer_best_ms"], "median_ms": e["layer_median_ms"]} for e in entries}

    def network(self, threads, rounds):
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(self.our_network(threads))
            theirs.append(self.spconv("network", self.model, threads, self.repeats))
        memory = max(r["peak_rss_bytes"] for r in theirs)
        return {"threads": threads, **side_by_side(ours, theirs), "spconv_peak_rss_bytes": memory}

    def layers(self, widths, threads, rounds):
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(self.our_layers(widths, threads))
            theirs.append(self.spconv("layers", ",".join(map(str, widths)), threads, self.repeats))
        return [{"width": width, "threads": threads,
                 **side_by_side([r[str(width)] for r in ours], [r[str(width)] for r in theirs])} for width in widths]


def compare(build, python, scan, model, quick=False, threads=(1, 2)):
    """Agreement of the logits, then the network and single layers on each number of threads."""
    rounds, repeats, widths = (1, 1, [32]) if quick else (3, 5, WIDTHS)
    with tempfile.TemporaryDirectory() as folder:
        comparison = Comparison(build, python, scan, model, folder, repeats)
        check = comparison.spconv("check", model)
        return {"library": check["library"], "check": check,
                "network": [comparison.network(count, rounds) for count in threads],
                "layers": [row for count in threads for row in comparison.layers(widths, count, rounds)]}


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    build, python = Path(sys.argv[1]), sys.argv[2]
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "minkunet.safetensors"
        checked([build / "apps" / "voxshift", "new", "minkunet", "-o", model])
        print(json.dumps(compare(build, python, sys.argv[3] if len(sys.argv) > 3 else None, model), indent=2))


if __name__ == "__main__":
    main()
