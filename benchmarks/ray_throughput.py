#!/usr/bin/env python3
"""How much of the throughput of plain `voxshift segment` processes actors on Ray keep: one run, the same scans, as many workers.

    benchmarks/ray_throughput.py [--scans 200] [--workers N] [--cpus 1] [--rounds 2] [--command PROGRAM] [--json FILE]

Both label all scans in every round, one after the other, and begin in turn. Time goes from the first label file to the last, by
the files' own times: neither start nor model counts, actors are warm. Labels are compared, bit by bit. Needs voxshift[ray].
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import voxshift as vs
from voxshift.batch.listing import list_scans
from voxshift.batch.on_ray import Workers, connect, label_on_ray
from voxshift.batch.storage import Storage

DIFFERENT = 8  # simulated scans; the others are links to them


def make_scans(folder, count):
    folder.mkdir()
    for i in range(count):
        path = folder / f"{i:06}.bin"
        if i < DIFFERENT:
            vs.synth_lidar(1000 + i)[0].tofile(path)
        else:
            path.hardlink_to(folder / f"{i % DIFFERENT:06}.bin")


def throughput(folder):
    """Scans per second after the first label, and how many labels there are."""
    times = sorted(path.stat().st_mtime_ns for path in folder.rglob("*.label"))
    return (len(times) - 1) / ((times[-1] - times[0]) / 1e9), len(times)


def by_processes(options, scans, out):
    """Each process has a shard."""
    processes = [
        subprocess.Popen([options.command, "segment", scans, "--out", out, "--write", "label", "--threads", str(options.cpus),
                          "--shard", f"{i + 1}/{options.workers}"], stdout=subprocess.DEVNULL)
        for i in range(options.workers)
    ]  # fmt: skip
    statuses = [process.wait() for process in processes]
    if any(statuses):
        sys.exit("ray_throughput.py: a process has failed")


def by_actors(options, scans, out):
    import ray

    ray.data.DataContext.get_current().wait_for_min_actors_s = 600  # all begin at once
    listed = list_scans(Storage(), [str(scans)], str(out))
    for table in label_on_ray(listed, {"out": str(out)}, Workers(options.workers, options.cpus)):
        errors = [error for error in table["error"].to_pylist() if error]
        if errors:
            sys.exit(f"ray_throughput.py: {errors[0]}")


def same_labels(a, b):
    files = sorted(a.glob("*.label"))
    return bool(files) and all(path.read_bytes() == (b / path.name).read_bytes() for path in files)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    processors = len(os.sched_getaffinity(0))
    parser.add_argument("--scans", type=int, default=200)
    parser.add_argument("--cpus", type=int, default=1, help="of a worker")
    parser.add_argument("--workers", type=int, help="default as many as there are processors for")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--command", default="voxshift")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.workers = options.workers or max(1, processors // options.cpus)
    folder = Path(tempfile.mkdtemp(prefix="vs"))
    os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(prefix="vs", dir="/tmp")
    os.environ.setdefault("RAY_worker_niceness", "0")  # as the processes
    try:
        make_scans(folder / "scans", options.scans)
        print(f"{options.scans} scans, {options.workers} workers of {options.cpus} processors; {connect(None)}")
        found = {"processes": [], "actors": []}
        for step in range(2 * options.rounds):
            ways = (("processes", by_processes), ("actors", by_actors))
            kind, run = ways[(step + step // 2) % 2]
            out = folder / f"{kind}{step}"
            start = time.perf_counter()
            run(options, folder / "scans", out)
            rate, labels = throughput(out)
            assert labels == options.scans
            found[kind].append((rate, out))
            print(f"{kind:<10} {rate:7.3f} scans/s   ({time.perf_counter() - start:.1f} s with all that comes before and after)")
        same = all(same_labels(a, b) for (_, a), (_, b) in zip(found["processes"], found["actors"]))
        best = {kind: max(rate for rate, _ in runs) for kind, runs in found.items()}
        ratio = best["actors"] / best["processes"]
        print(f"actors reach {ratio:.3f} of the processes' throughput; labels are {'the same' if same else 'DIFFERENT'}")
        if options.json:
            rates = {kind: [rate for rate, _ in runs] for kind, runs in found.items()}
            options.json.write_text(json.dumps({"scans": options.scans, "workers": options.workers, "cpus": options.cpus,
                                                "scans_per_second": rates, "ratio": ratio, "same_labels": same}) + "\n")  # fmt: skip
        return 0 if same else 1
    finally:
        import ray

        ray.shutdown()
        shutil.rmtree(folder)
        shutil.rmtree(os.environ["RAY_TMPDIR"], ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
