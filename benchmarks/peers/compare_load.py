"""voxshift and engines for images beside other programs: idle, beside as many busy processes as cores, beside niced compilers.

run.py calls `compare_load`; by hand:

    python3 benchmarks/peers/compare_load.py BUILD PEERS_PYTHON [SCAN]

Each side runs in its own process, in turn: A B A B. Prints one JSON object. Needs the standard library only.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from compare import HERE, checked, run_benchmark, run_json

BUSY = [sys.executable, "-c", "while True: pass"]
COMPILERS = ["nice", "-n", "15", "sh", "-c",
             "while :; do echo '#include <regex>' | ${CXX:-c++} -O2 -std=c++20 -x c++ -c -o /dev/null -; done"]
LOADS = {"idle": None, "busy": BUSY, "compilers": COMPILERS}


@contextlib.contextmanager
def neighbours(command):
    """As many processes as this one may use cores, in this one's session: Linux shares processors between sessions first, and
    niceness counts within one only."""
    count = len(os.sched_getaffinity(0)) if command else 0
    processes = [subprocess.Popen(command, preexec_fn=os.setpgrp, stderr=subprocess.DEVNULL) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def ours(build, scan, model, repeats, threads):
    """Instruction set, and {what: {mean_ms, median_ms, p99_ms}} of one number of threads."""
    context, entries = run_benchmark(Path(build) / "benchmarks" / "load_bench", *([str(scan)] if scan else []),
                               f"--model={model}", f"--repeats={repeats}", f"--threads={threads}")
    found = {}
    for entry in entries:
        name = entry["name"].split("/")[0]
        for counter, value in entry.items():
            what, _, figure = counter.partition("_")
            if figure in ("mean_ms", "median_ms", "p99_ms"):
                found.setdefault(name if what == "call" else what, {})[figure] = value
    return context["target"], found


def mean_of(rounds):
    """Rounds of {what: {figure: value}} as the mean of each figure; of percentiles, too."""
    return {what: {figure: sum(r[what][figure] for r in rounds) / len(rounds) for figure in rounds[0][what]}
            for what in rounds[0]}


def compare_load(build, python, scan, quick=False, threads=(1, 2)):
    """Rows {load, threads, what, mean_ms, median_ms, p99_ms}; `what` is a work of ours or an engine."""
    rounds, repeats = (1, 2) if quick else (2, 3)
    rows, versions = [], {}
    with tempfile.TemporaryDirectory() as folder:
        checked([Path(build) / "benchmarks" / "peer_frames", "tsm-mobilenetv2", 1, folder])
        model = Path(folder) / "minkunet.safetensors"
        checked([Path(build) / "apps" / "voxshift", "new", "minkunet", "--width", "0.5", "-o", model])
        for count in threads:
            found = {load: [] for load in LOADS}
            for _ in range(rounds):
                for load, command in LOADS.items():
                    with neighbours(command):
                        target, result = ours(build, scan, model, repeats, count)
                        if python:
                            peers = run_json(python, HERE / "video_engines.py", "load", folder, count, 40 * repeats)
                            versions, result = peers["versions"], result | peers["timings"]
                        found[load].append(result)
            rows += [{"load": load, "threads": count, "what": what, **figures}
                     for load, results in found.items() for what, figures in mean_of(results).items()]
    return {"target": target, "versions": versions, "rows": rows}


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    print(json.dumps(compare_load(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None), indent=2))


if __name__ == "__main__":
    main()
