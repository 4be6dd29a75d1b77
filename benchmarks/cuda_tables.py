"""The GPU table of docs/jetson.md, from the results that scripts/test_cuda.sh left in results/.

    python3 benchmarks/cuda_tables.py
"""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- cuda:begin -->", "<!-- cuda:end -->"


def entry(results, name):
    return next((e for e in results["ours"]["results"] if e["name"] == name), None)


def rows(results):
    f16, f32 = entry(results, "segment minkunet f16"), entry(results, "segment minkunet f32")
    yield "MinkUNet 1.0, points to labels on the device, f16", f"{f16['ms']:.2f} ms", "4 ms"
    yield "of which all maps", f"{f16['maps_ms']:.2f} ms", "0.8 ms"
    yield "the same in f32", f"{f32['ms']:.1f} ms", "15 ms"
    labels = entry(results, "labels minkunet-lidar f16")
    if labels:
        yield "points with the CPU's label, trained model, f16", f"{100 * labels['as_on_cpu']:.2f} %", "99 %"
    layers = [e for e in results["ours"]["results"] if e["name"].startswith("layer") and e["name"].endswith("f16")]

    def lowest(key, wanted):
        found = [e[key] for e in layers if wanted(*map(int, e["name"].split()[2:4]))]
        return f"{100 * min(found):.1f} to {100 * max(found):.1f} %"

    yield ("3^3 layers of 128 channels and more, f16: share of cuBLAS' rate, true pairs counted",
           lowest("of_matmul", lambda stride, channels: channels >= 128), "15 %")
    yield ("3^3 layers at strides 1 and 2, f16: share of copy bandwidth, a row per pair counted",
           lowest("of_copy", lambda stride, channels: stride <= 2), "50 %")
    peers = results["peers"] or {}
    if "median_ms" in peers.get("spconv", {}):
        spconv = peers["spconv"]
        yield (f"faster than spconv {spconv['version']} f16 ({spconv['median_ms']:.1f} ms), maps included",
               f"{spconv['median_ms'] / f16['ms']:.2f} x", "2 x")
    if "gather_matmul_index_add" in peers:
        plain = peers["gather_matmul_index_add"]
        yield (f"faster than gather, matmul, index_add in PyTorch {peers['torch']} f16 ({plain['median_ms']:.1f} ms)",
               f"{plain['median_ms'] / f16['ms']:.1f} x", "5 x")
    push = "push tsm-mobilenetv2 1.000000"
    videos = {"f16": entry(results, f"{push} f16"), "f32": entry(results, f"{push} f32") or entry(results, push)}
    for dtype, video in videos.items():  # before there was f16 the name had no dtype
        if video:
            yield f"TSM-MobileNetV2 1.0, a dense frame from host to label, {dtype}", f"{video['ms']:.2f} ms", "0.4 ms"


def table(results):
    ours = results["ours"]
    lines = [f"{results['gpu']}, driver {results['driver']}; cuBLAS {ours['matmul_f16_tflops']:.0f} TFLOP/s in f16, copy "
             f"{ours['copy_gb_per_s']:.0f} GB/s in the same run; voxshift at {results['commit']}, {results['date']}. "
             f"{results.get('peers_note', '')}".rstrip(), "",
             "|  | measured | goal |", "| --- | ---: | ---: |"]
    lines += [f"| {what} | {measured} | {goal} |" for what, measured, goal in rows(results)]
    return "\n".join(lines)


def insert(path, text):
    document = path.read_text(encoding="utf-8")
    before, rest = document.split(BEGIN)
    after = rest.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main():
    files = [file for file in sorted((ROOT / "benchmarks/results").glob("*.json")) if file.name != "cpu.json"]
    text = "\n\n".join(table(json.loads(file.read_text(encoding="utf-8"))) for file in files)
    insert(ROOT / "docs/jetson.md", text)


if __name__ == "__main__":
    main()
