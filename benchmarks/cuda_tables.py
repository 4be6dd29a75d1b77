"""The GPU table of docs/jetson.md, from the results that scripts/test_cuda.sh left in results/.

    python3 benchmarks/cuda_tables.py [--dense-wins]

With --dense-wins it prints, in place of that, the shapes for which cuBLASLt was measured to win, as kernels_cuda/dense_choice.cpp
has them.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- cuda:begin -->", "<!-- cuda:end -->"


def named(results, name):
    """A line of cuda_bench, or nothing."""
    return next((e for e in (results["ours"] or {}).get("results", []) if e["name"] == name), {})


def layers(results, dtype, key, wanted, of=""):
    """A share over the layers of a dtype that are wanted: lowest and highest. of: the design and a colon, where they are one's."""
    lines = [(e["name"].split(), e[key]) for e in (results["ours"] or {}).get("results", []) if e["name"].startswith(f"{of}layer")]
    found = [share for name, share in lines if name[-1] == dtype and wanted(*map(int, name[-3:-1]))]
    return f"{100 * min(found):.1f} to {100 * max(found):.1f} %" if found else None


def figure(form, *values):
    """A cell, or nothing where a value is missing."""
    return None if None in values else form.format(*values)


def over(slow, fast):
    return None if slow is None or fast is None else slow / fast


def networks(results):
    """Rows: what, the figure, its goal, and the stage of test_cuda.sh that measures it."""
    ms = {dtype: named(results, f"segment minkunet {dtype}").get("ms") for dtype in ("f16", "bf16", "f32", "i8")}
    yield ("MinkUNet 1.0, points to labels on the device, f16", figure("{:.2f} ms", ms["f16"]),
           "3.0 ms (H100: 3.4), aim 2.5", "network")
    yield "of which all maps", figure("{:.2f} ms", named(results, "segment minkunet f16").get("maps_ms")), "0.8 ms", "network"
    yield "the same in bf16", figure("{:.2f} ms", ms["bf16"]), "", "network"
    yield "the same in f32", figure("{:.1f} ms", ms["f32"]), "15 ms, aim 12", "network"
    yield "the same in i8: share of f16's time", figure("{:.2f}", over(ms["i8"], ms["f16"])), "0.7", "network"
    labels = named(results, "labels minkunet-lidar f16").get("as_on_cpu")
    yield ("points with the CPU's label, trained model, f16", figure("{:.2f} %", labels and 100 * labels), "99 %", "labels")
    for count in (1, 2, 4):
        rate = named(results, f"sessions {count} minkunet f16").get("scans_per_second")
        yield (f"scans a second, f16, {count} session{'s, each on a thread and stream of its own' if count > 1 else ''}",
               figure("{:.0f}", rate), "", "sessions")
    peers = results.get("peers") or {}
    for peer, name, goal in (("spconv", "spconv", "4.5 x"), ("spconv_triton", "spconv-triton", "1.5 x")):
        its = peers.get(peer, {})
        label = f"{name} {its['version']} f16 ({its['median_ms']:.1f} ms)" if "median_ms" in its else f"{name} f16"
        yield f"faster than {label}, maps included", figure("{:.2f} x", over(its.get("median_ms"), ms["f16"])), goal, "peers"
    plain = peers.get("gather_matmul_index_add", {}).get("median_ms")
    label = f" {peers['torch']} f16 ({plain:.1f} ms)" if plain else " f16"
    yield f"faster than gather, matmul, index_add in PyTorch{label}", figure("{:.1f} x", over(plain, ms["f16"])), "5 x", "peers"


def single(results):
    yield ("3^3 layers of 128 channels and more, f16: share of cuBLAS' rate, true pairs counted",
           layers(results, "f16", "of_matmul", lambda stride, channels: channels >= 128), "18 %, aim 25", "layers")
    for design in ("tall", "wgmma", "portable-split", "tall-split", "wgmma-split"):
        yield (f"both by `VOXSHIFT_CUDA_PRODUCT={design}`: network, and share of cuBLAS' rate",
               figure("{:.2f} ms, {}", named(results, f"{design}: segment minkunet f16").get("ms"),
                      layers(results, "f16", "of_matmul", lambda stride, channels: channels >= 128, f"{design}: ")),
               "", "designs")
    yield ("MinkUNet 1.0 in f32 by `VOXSHIFT_CUDA_PRODUCT=portable-split`",
           figure("{:.1f} ms", named(results, "portable-split: segment minkunet f32").get("ms")), "15 ms, aim 12", "designs")
    yield ("the layers in i8: share of cuBLAS' rate in f16",
           layers(results, "i8", "of_matmul", lambda stride, channels: channels >= 128), "", "layers")
    yield ("3^3 layers at strides 1 and 2, f16: share of copy bandwidth, a row per pair counted",
           layers(results, "f16", "of_copy", lambda stride, channels: stride <= 2), "45 %, aim 50", "layers")
    for dtype, goal in (("f16", "0.4 ms, aim 0.3"), ("bf16", ""), ("f32", ""), ("i8", "")):
        yield (f"TSM-MobileNetV2 1.0, a dense frame from host to label, {dtype}",
               figure("{:.2f} ms", named(results, f"push tsm-mobilenetv2 {dtype}").get("ms")), goal, "video")


def training(results):
    for dtype in ("f16", "f32"):
        sides = (results.get("training") or {}).get(dtype, {})
        ours = sides.get("voxshift", {})
        step = f"training step of MinkUNet 1.0, two scans, {dtype}"
        yield step, figure("{:.1f} ms", ours.get("step_ms")), "", "training"
        for peer, name, goal in (("spconv", "spconv", "2 x"), ("spconv_triton", "spconv-triton", "1.5 x")):
            its, wanted = sides.get(peer, {}), dtype == "f16"
            yield (f"faster than {name}, {step}", figure("{:.2f} x", over(its.get("step_ms"), ours.get("step_ms"))),
                   goal if wanted else "", "training")
            yield (f"its peak memory, share of {name}'s, {dtype}",
                   figure("{:.2f}", over(ours.get("peak_mb"), its.get("peak_mb"))), "1" if wanted else "", "training")


def dense(results):
    """Products of all rows by one matrix: operation, network, rows, channels in and out, dtype, entry."""
    for e in (results["ours"] or {}).get("results", []):
        if e["name"].startswith("dense"):
            operation, network, *shape, dtype = e["name"].split()
            yield (operation, network, *map(int, shape), dtype, e)


def dense_table(results):
    lines = ["", "Dense products and weight gradients, milliseconds and share of cuBLAS' rate in f16 on its largest product:", "",
             "| | rows | channels | dtype | our kernel | cuBLASLt |", "| --- | ---: | ---: | --- | ---: | ---: |"]

    def cell(e, who):
        return f"{e[f'{who}_ms']:.4f} ms, {100 * e[f'{who}_of_matmul']:.1f} %" if f"{who}_ms" in e else "does not compute it"

    for operation, network, rows, cin, cout, dtype, e in dense(results):
        lines.append(f"| {network}{', gradient' if operation == 'dense_gradient' else ''} | {rows} | {cin} -> {cout} | {dtype} | "
                     f"{cell(e, 'own')} | {cell(e, 'cublaslt')} |")
    return lines if len(lines) > 5 else []


def dense_wins(results):
    """Lines of kernels_cuda/dense_choice.cpp: shapes for which cuBLASLt takes at most 0.95 of our time, whatever the rows."""
    architecture = results["ours"]["device"].split()[0].removeprefix("sm_")
    shares = {}
    for operation, _, _, cin, cout, dtype, e in dense(results):
        share = e["cublaslt_ms"] / e["own_ms"] if "cublaslt_ms" in e else 1
        shape = (operation, dtype, cin, cout)
        shares[shape] = max(share, shares.get(shape, 0))
    return [f"{{{architecture}, DenseOp::{'kWeightGradient' if operation == 'dense_gradient' else 'kProduct'}, "
            f"DType::k{dtype.upper()}, {cin}, {cout}}}," for (operation, dtype, cin, cout), share in sorted(shares.items())
            if share <= 0.95]


def table(results):
    ours = results["ours"]
    lines = [f"{results['gpu']}, driver {results['driver']}; cuBLAS {ours['matmul_f16_tflops']:.0f} TFLOP/s in f16, copy "
             f"{ours['copy_gb_per_s']:.0f} GB/s in the same run; voxshift at {results['commit']}, {results['date']}. "
             f"{results.get('peers_note', '')}".rstrip(), "",
             "|  | measured | goal |", "| --- | ---: | ---: |"]
    missing = []
    for what, measured, goal, stage in (*networks(results), *single(results), *training(results)):
        lines.append(f"| {what} | {measured or 'not measured'} | {goal} |")
        if not measured and stage not in missing:
            missing.append(stage)
    lines += dense_table(results)
    if not any(dense(results)):
        missing.append("dense")
    if missing:
        lines += ["", f"What was not measured yet, `VOXSHIFT_STAGES='^({'|'.join(missing)})$' scripts/test_cuda.sh FOLDER` measures; "
                  "FOLDER is what `scripts/prepare_cuda.sh` packs, `--peers` where others are compared."]
    return "\n".join(lines)


def insert(path, text):
    document = path.read_text(encoding="utf-8")
    before, rest = document.split(BEGIN)
    after = rest.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main():
    files = [file for file in sorted((ROOT / "benchmarks/results").glob("*.json")) if file.name != "cpu.json"]
    if sys.argv[1:] == ["--dense-wins"]:
        print("\n".join(line for file in files for line in dense_wins(json.loads(file.read_text(encoding="utf-8")))))
        return
    results = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    text = "\n\n".join(table(each) for each in results if each["ours"])  # else no benchmark ran
    insert(ROOT / "docs/jetson.md", text)


if __name__ == "__main__":
    main()
