#!/usr/bin/env python3
"""Measures everything, writes results/cpu.json and the tables of docs/benchmarks.md and README.md.

    benchmarks/run.py [SCAN] [--peers-python PYTHON] [--build-time] [--arm] [--quick]
    benchmarks/run.py --only video [--peers-python PYTHON] [--quick]
    benchmarks/run.py --only skip [--quick]
    benchmarks/run.py --only narrow [SCAN] [--quick]
    benchmarks/run.py --only load [SCAN] [--peers-python PYTHON] [--quick]
    benchmarks/run.py --only training --peers-python PYTHON [SCAN] [--quick]
    benchmarks/run.py --render

Needs the standard library, and Google Benchmark (libbenchmark-dev) for the build. Leave the machine alone meanwhile.
"""

import argparse
import datetime
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE / "peers"))

import tables  # noqa: E402
from compare import checked, compare, run_benchmark  # noqa: E402
from compare_load import compare_load  # noqa: E402
from compare_points import compare_points  # noqa: E402
from compare_training import compare_training  # noqa: E402
from compare_video import compare_video  # noqa: E402
from narrow import measure_narrow  # noqa: E402

RESULTS = HERE / "results" / "cpu.json"
NARROW = {"avx512_vnni", "avx512_bf16", "avx_vnni", "asimddp", "i8mm", "bf16", "asimdhp"}
STAGES = ["read", "voxelize", "maps", "network", "write", "total"]


def say(what):
    print(f"[{time.strftime('%H:%M:%S')}] {what}", file=sys.stderr, flush=True)


def build_in(folder, *options, environment=None):
    """Configures and builds; seconds that it took."""
    start = time.perf_counter()
    checked(["cmake", "-S", ROOT, "-B", folder, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DVOXSHIFT_TESTS=OFF",
             *options], env=environment)
    checked(["cmake", "--build", folder, "--parallel", "2"], env=environment)
    return time.perf_counter() - start


def package_for(python):
    """CMake's options for the Python package beside the programs."""
    folder = checked([python, "-m", "pybind11", "--cmakedir"]).strip()
    return ["-DVOXSHIFT_PYTHON=ON", f"-DPython_EXECUTABLE={Path(python).absolute()}", f"-Dpybind11_DIR={folder}"]


def clean_build_seconds():
    """Library and command from nothing, two jobs, no compiler cache."""
    environment = {k: v for k, v in os.environ.items() if k != "CMAKE_CXX_COMPILER_LAUNCHER"}
    with tempfile.TemporaryDirectory() as folder:
        return build_in(folder, environment=environment)


def commit():
    """Short hash of the sources measured, "-changed" where they are not that commit's."""
    if not (ROOT / ".git").exists():
        return "no commit"
    git = ["git", "-C", ROOT]
    changed = checked([*git, "status", "--porcelain", "--untracked-files=no", "--", ROOT, ":!benchmarks/results",
                       ":!docs", ":!README.md"])
    return checked([*git, "rev-parse", "--short", "HEAD"]).strip() + ("-changed" if changed else "")


def measured():
    """Which sources, and when."""
    return {"commit": commit(), "date": f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}"}


def narrow_instructions(information):
    """Those for narrow numbers, of the text of /proc/cpuinfo."""
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", information, re.MULTILINE)
    return sorted(NARROW & set(flags[1].split() if flags else []))


def machine(context):
    information = Path("/proc/cpuinfo").read_text()
    cpu = re.findall(r"^(?:model name|CPU part)\s*:\s*(.*)$", information, re.MULTILINE)
    return {"cpu": cpu[0] if cpu else "unknown", "cores": os.cpu_count(), "target": context["target"],
            "narrow": narrow_instructions(information),
            "compiler": "GCC " + context["compiler"], "voxshift": context["voxshift"], **measured(),
            "scan": context["scan"]}


def limits(build):
    rows = [line.split() for line in checked([build / "benchmarks" / "peak"]).splitlines()[1:]]
    return [{"target": row[0], "threads": int(row[1]), "fma_gflops": float(row[2]), "copy_gbytes": float(row[3])}
            for row in rows]


def entries(build, program, scan, *arguments, environment=None):
    say(f"{program} {' '.join(arguments)} {environment or ''}")
    return run_benchmark(build / "benchmarks" / program, *([str(scan)] if scan else []), *arguments,
                         environment=environment)


def segment_command(build, scan, model, scans):
    """What `voxshift segment` says of itself: medians over all scans but the first, peak memory of the process."""
    with tempfile.TemporaryDirectory() as name:
        folder, command = Path(name), build / "apps" / "voxshift"
        if scan is None:
            checked([command, "synth", "lidar", "--seed", "1", "-o", folder / "scan"])
            scan = next((folder / "scan").rglob("*.bin"))
        names = [folder / f"{i}.bin" for i in range(scans)]
        for link in names:
            link.symlink_to(Path(scan).resolve())
        checked([command, "segment", *names, "--model", model, "--threads", "2", "--write", "label", "--out",
                 folder / "out", "--stats", folder / "stats.json"])
        stats = json.loads((folder / "stats.json").read_text())
    steady = stats[1:] or stats
    seconds = {stage: sorted(s["seconds"][stage] for s in steady)[len(steady) // 2] for stage in STAGES}
    return {"threads": 2, "scans": scans, "milliseconds": {k: v * 1e3 for k, v in seconds.items()},
            "first_total_ms": stats[0]["seconds"]["total"] * 1e3, "peak_rss_bytes": stats[-1]["peak_rss_bytes"]}


def arm_prediction():
    text, rows = checked([ROOT / "scripts" / "arm_throughput.sh"]), []
    for line in text.splitlines():
        if title := re.match(r"(\w.*): \S+ of kernels_cpu/\S+$", line):
            loop = title[1]
        elif found := re.match(r"\s*(\d+)\s+\d+\s+[\d.]+\s+([\d.]+)%\s+(\d+)$", line):
            rows.append({"loop": loop, "tile_rows": int(found[1]), "of_peak": float(found[2]) / 100,
                         "stack_accesses": int(found[3])})
    return rows


def measure_video(options):
    build, repeats = options.build, f"--repeats={2 if options.quick else 9}"
    context, networks = entries(build, "video_bench", None, repeats, "--benchmark_filter=^tsm-")
    video = {"target": context["target"], **measured(), "networks": networks}
    if context["target"] == "avx512":
        _, video["networks_avx2"] = entries(build, "video_bench", None, repeats, "--threads=1",
                                            "--benchmark_filter=^tsm-mobilenetv2/width:1/",
                                            environment={"VOXSHIFT_CPU": "avx2"})
    _, video["masked"] = entries(build, "video_bench", None, repeats, "--benchmark_filter=^(masked|skipped)/")
    results = {"video": video, **measure_skip(options)}
    if options.peers_python:
        say("engines for images beside voxshift")
        results["video_peers"] = {**measured(), **compare_video(build, options.peers_python, options.quick)}
    return results


def measure_skip(options):
    if not (options.build / "benchmarks" / "video_skip_bench").exists():  # built where there is OpenCV
        return {}
    _, clips = entries(options.build, "video_skip_bench", None, f"--repeats={4 if options.quick else 16}")
    return {"video_skip": {**measured(), "clips": clips}}


def measure_narrow_networks(options):
    say("networks in narrow numbers")
    return {"narrow": {**measured(), **measure_narrow(options.build, options.scan, options.quick)}}


def measure_load(options):
    say("beside other programs")
    return {"load": {**measured(), **compare_load(options.build, options.peers_python, options.scan, options.quick)}}


def measure_training(options):
    say("a training step beside plain PyTorch")
    return {"training": {**measured(), **compare_training(options.build, options.peers_python, options.scan, options.quick)}}


def measure(options):
    build, scan, repeats = options.build, options.scan, 2 if options.quick else 9
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "minkunet.safetensors"
        checked([build / "apps" / "voxshift", "new", "minkunet", "-o", model])
        results = {"limits": limits(build)}
        network = [f"--model={model}", f"--repeats={repeats}"]
        context, results["network"] = entries(build, "network_bench", scan, *network)
        results["machine"] = machine(context)
        if context["target"] == "avx512":
            _, results["network_avx2"] = entries(build, "network_bench", scan, *network, "--threads=2",
                                                 "--benchmark_filter=^segment/", environment={"VOXSHIFT_CPU": "avx2"})
        _, results["layers"] = entries(build, "layers_bench", scan, "--threads=2", f"--repeats={repeats}")
        for ops in ("coordinates", "neighbors", "devoxelize", "dense_grid"):
            _, results[ops] = entries(build, f"{ops}_bench", scan, f"--repeats={repeats}")
        _, results["point_networks"] = entries(build, "point_networks_bench", scan, *network)
        say("voxshift segment")
        results["command"] = segment_command(build, scan, model, 2 if options.quick else 8)
        if options.peers_python:
            say("spconv beside voxshift")
            results["peers"] = compare(build, options.peers_python, scan, model, options.quick)
            say("point operators of other libraries beside voxshift")
            results["point_peers"] = compare_points(build, options.peers_python, scan, options.quick)
    results |= measure_narrow_networks(options) | measure_video(options) | measure_load(options)
    if options.peers_python:
        results |= measure_training(options)
    if options.build_time:
        say("clean build of library and command")
        results["build_seconds"] = clean_build_seconds()
    return results


PARTS = {"video": measure_video, "skip": measure_skip, "narrow": measure_narrow_networks, "load": measure_load,
         "training": measure_training}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", nargs="?", type=Path, help="float32 [N, 4]; default VOXSHIFT_DATA's, else simulated")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "benchmarks", help="build folder")
    parser.add_argument("--peers-python", help="interpreter with benchmarks/peers/requirements.txt")
    parser.add_argument("--build-time", action="store_true", help="also time a clean build")
    parser.add_argument("--arm", action="store_true", help="also predict for Arm (scripts/arm_throughput.sh)")
    parser.add_argument("--quick", action="store_true", help="few repeats; prints the tables, writes nothing here")
    parser.add_argument("--only", choices=list(PARTS), help="measure this part, keep the other results of the last run")
    parser.add_argument("--render", action="store_true", help="only rewrite the tables from results/cpu.json")
    options = parser.parse_args()
    options.build = options.build.resolve()
    if options.scan is None and os.environ.get("VOXSHIFT_DATA"):
        options.scan = Path(os.environ["VOXSHIFT_DATA"]) / "lidar" / "semantickitti_000000.bin"
    if options.only == "training" and not options.peers_python:
        parser.error("--only training needs --peers-python")
    results = json.loads(RESULTS.read_text()) if options.render or options.only else {}
    if not options.render:
        say(f"building in {options.build}")
        trains = options.peers_python and options.only in (None, "training")
        package = package_for(options.peers_python) if trains else []
        build_in(options.build, "-DVOXSHIFT_BENCHMARKS=ON", *package)
        results |= PARTS.get(options.only, measure)(options)
        if options.arm:
            say("prediction for Arm")
            results["arm"] = arm_prediction()
    if options.quick:
        print(tables.details(results))
        return
    if not options.render:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    tables.insert(ROOT / "README.md", tables.highlights(results))
    tables.insert(ROOT / "docs" / "benchmarks.md", tables.details(results))


if __name__ == "__main__":
    main()
