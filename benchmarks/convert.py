#!/usr/bin/env python3
"""Reading a checkpoint without torch beside copying the file: time, and memory beside the file's size.

    PYTHONPATH=build/cpu/python_bindings benchmarks/convert.py [--command build/cpu/apps/voxshift] [--megabytes 200] [--json FILE]

Writes a checkpoint of that size, as torch.save does, in float32 and float16 and in both of its forms; torch is needed for
that only. Each figure is of a process of its own, the best of several that take turns with the copies.
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

READ = """
import sys, time
import voxshift as vs
begin = time.perf_counter()
state = vs.read_checkpoint(sys.argv[1])["state_dict"]
print(time.perf_counter() - begin, sum(array.nbytes for array in state.values()))
"""
BASE = """
import voxshift
print(0, 0)
"""
WRITE = """
import sys, torch
path, megabytes, dtype, form = sys.argv[1], int(sys.argv[2]), getattr(torch, sys.argv[3]), sys.argv[4]
count, width = megabytes * 10**6 // (torch.empty(0, dtype=dtype).element_size() * 27 * 128 * 128), 128
weights = {f"module.layer{i}.kernel": torch.randn(27, width, width).to(dtype) for i in range(count)}
torch.save({"state_dict": weights, "epoch": 1}, path, _use_new_zipfile_serialization=form == "zip")
"""


def child(code, *arguments):
    """(what it prints as numbers, most memory in bytes) of Python code in a process of its own."""
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    if status != 0:
        sys.exit(f"convert.py: a measured process failed with status {status}")
    return [float(number) for number in printed.split()], usage.ru_maxrss * 1024


def copy_seconds(path, target):
    begin = time.perf_counter()
    shutil.copyfile(path, target)
    seconds = time.perf_counter() - begin
    target.unlink()
    return seconds


def timed(command):
    """(wall seconds, most memory in bytes) of a command."""
    before = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    if status != 0:
        sys.exit(f"convert.py: {command[0]} failed with status {status}")
    return time.perf_counter() - before, usage.ru_maxrss * 1024


def measure(folder, megabytes, dtype, form, command, rounds):
    path = folder / f"{dtype}-{form}.pth"
    subprocess.run([sys.executable, "-c", WRITE, path, str(megabytes), dtype, form], check=True)
    size = path.stat().st_size
    copies, reads, memory, lists = [], [], [], []
    _, base = child(BASE)
    for _ in range(rounds):
        copies.append(copy_seconds(path, folder / "copy"))
        (seconds, held), most = child(READ, path)
        reads.append(seconds)
        memory.append(most - base)
        if command:
            lists.append(timed([command, "info", path])[0])
    path.unlink()
    assert 0.99 < held / size <= 1.0, "all of the tensors' bytes"
    result = {"dtype": dtype, "form": form, "bytes": size, "copy_s": min(copies), "read_s": min(reads),
              "read_of_copy": min(reads) / min(copies), "memory_of_bytes": min(memory) / size}
    if command:
        result["info_s"] = min(lists)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", type=Path, help="the command voxshift, to measure `info` too")
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = []
    print(f"{'checkpoint':22} {'copy':>8} {'read':>8} {'of copy':>8} {'memory':>8} {'info':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for dtype in ("float32", "float16"):
            for form in ("zip", "legacy"):
                one = measure(Path(folder), options.megabytes, dtype, form, options.command, options.rounds)
                results.append(one)
                info = f"{one['info_s'] * 1e3:6.0f}ms" if "info_s" in one else ""
                print(f"{dtype + ' ' + form:22} {one['copy_s'] * 1e3:6.0f}ms {one['read_s'] * 1e3:6.0f}ms {one['read_of_copy']:8.2f} "
                      f"{one['memory_of_bytes']:8.2f} {info:>8}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
