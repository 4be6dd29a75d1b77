"""MinkUNet 1.0 in f32, bf16, f16 and i8 in turn, and what `voxshift segment` needs of memory in each.

run.py calls `measure_narrow`; by hand:

    python3 benchmarks/narrow.py BUILD [SCAN]

Each dtype runs in a process of its own, in turn: A B C D A B C D. On a CPU with AVX-512 all is done again on AVX2. The
i8 model is that of `voxshift quantize` from the same random weights. Prints one JSON object. Needs the standard library
only.
"""

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))
from compare import checked, joined, run_benchmark

DTYPES = ("f32", "bf16", "f16", "i8")
AVX2 = {"VOXSHIFT_CPU": "avx2"}


class Narrow:
    def __init__(self, build, scan, folder, repeats):
        self.build, self.scan, self.folder, self.repeats = Path(build), scan, Path(folder), repeats
        self.command = self.build / "apps" / "voxshift"
        checked([self.command, "new", "minkunet", "-o", self.model("f32")])
        checked([self.command, "quantize", self.model("f32"), "--synthetic", 1, "-o", self.model("i8")])

    def model(self, dtype):
        return self.folder / ("minkunet-i8.safetensors" if dtype == "i8" else "minkunet.safetensors")

    def network(self, dtype, threads, environment):
        """Instruction set, and the time of the network on the scan."""
        context, [entry] = run_benchmark(
            self.build / "benchmarks" / "network_bench", *([str(self.scan)] if self.scan else []), f"--model={self.model(dtype)}",
            f"--dtype={dtype}", f"--threads={threads}", f"--repeats={self.repeats}", "--benchmark_filter=^segment/",
            environment=environment)
        return context["target"], {"best_ms": entry["network_best_ms"], "median_ms": entry["network_median_ms"]}

    def networks(self, threads, rounds, environment):
        """A row for every dtype, with its share of the time of f32."""
        timings = {dtype: [] for dtype in DTYPES}
        for _ in range(rounds):
            for dtype in DTYPES:
                target, timing = self.network(dtype, threads, environment)
                timings[dtype].append(timing)
        timings = {dtype: joined(rounds) for dtype, rounds in timings.items()}
        return [{"dtype": dtype, "target": target, "threads": threads, **timing,
                 **{f"share_{which}": timing[f"{which}_ms"] / timings["f32"][f"{which}_ms"] for which in ("best", "median")}}
                for dtype, timing in timings.items()]

    def memory(self, dtype):
        """Peak of `voxshift segment`, bytes: two scans, labels written, 2 threads."""
        scan = self.scan
        if scan is None:
            checked([self.command, "synth", "lidar", "--seed", "1", "-o", self.folder / "scan"])
            scan = next((self.folder / "scan").rglob("*.bin"))
        links = [self.folder / f"{i}.bin" for i in range(2)]
        for link in links:
            link.unlink(missing_ok=True)
            link.symlink_to(Path(scan).resolve())
        checked([self.command, "segment", *links, "--model", self.model(dtype), "--dtype", dtype, "--threads", 2, "--write",
                 "label", "--out", self.folder / "out", "--stats", self.folder / "stats.json"])
        return json.loads((self.folder / "stats.json").read_text())[-1]["peak_rss_bytes"]


def measure_narrow(build, scan, quick=False, threads=(1, 2)):
    """{"network": rows, "memory": {dtype: bytes}, "file_bytes": {dtype: bytes}}."""
    rounds, repeats = (1, 1) if quick else (3, 3)
    with tempfile.TemporaryDirectory() as folder:
        narrow = Narrow(build, scan, folder, repeats)
        result = {"network": [], "memory": {dtype: narrow.memory(dtype) for dtype in DTYPES},
                  "file_bytes": {dtype: narrow.model(dtype).stat().st_size for dtype in ("f32", "i8")}}
        for environment in ({}, AVX2):
            if environment and result["network"][0]["target"] != "avx512":
                continue
            for count in threads:
                result["network"] += narrow.networks(count, rounds, environment)
    return result


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    print(json.dumps(measure_narrow(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None), indent=2))


if __name__ == "__main__":
    main()
