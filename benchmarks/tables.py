"""The tables of README.md and docs/benchmarks.md, from the results of run.py."""

import load_tables
import narrow_tables
import point_tables
import skip_tables
import training_tables
import video_tables
from figures import NONE, both, lowest, measured_apart, median_and_best, megabytes, ms, percent, pick, table, times

# Rows of the summary that README shows, by how they begin.
HIGHLIGHTS = (
    "MinkUNet 1.0, scan to labels", "trained model, clips with a static", "beside as many busy processes",
    "faster than spconv", "MinkUNet 1.0 in i8, 2 threads", "TSM-MobileNetV2 1.0, f32, 2 threads: time of",
)
# Loops of scripts/arm_throughput.py, whose highest tiles the summary shows: what of, goal.
ARM_GOALS = {
    "3-D convolution, rows picked by index": ("Neoverse N1", "85 %"),
    "2-D pointwise, rows at equal distances": ("Neoverse N1", "85 %"),
    "depthwise 3 x 3, outputs side by side": ("Neoverse N1", "60 %"),
    "i8, dot product": ("Neoverse N1", "80 %"), "i8, i8mm": ("Neoverse N2", "80 %"), "bf16, BFDOT": ("Neoverse N2", "80 %"),
    "bf16, BFMMLA": ("Neoverse N2", "80 %"), "f16, FMLA": ("Neoverse N2", "80 %"),
}
PARTS = {"narrow": "Narrow numbers", "video": "Video", "video_peers": "Engines for images", "video_skip": "Skipping",
         "load": "Beside other programs", "training": "Training"}  # run.py --only
BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"


def insert(path, text):
    """Puts `text` between the markers of a document; says so where it has none."""
    document = path.read_text(encoding="utf-8")
    if BEGIN not in document or END not in document:
        print(f"{path.name}: no {BEGIN} ... {END}, left as it is")
        return
    head, rest = document.split(BEGIN, 1)
    path.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.split(END, 1)[1]}", encoding="utf-8")


def layers_of(entries, at_least, at_most):
    """Layers by the smaller of their channel counts."""
    return [e for e in entries if at_least <= min(e["in"], e["out"]) <= at_most]


def width_costs(entry, which):
    return entry[f"layer_{which}_ms"] / entry[f"padded_{which}_ms"]


def machine(results):
    m = results["machine"]
    narrow = "".join(f", {name.replace('_', '-')}" for name in m.get("narrow", []))
    return (f"{m['cpu']}, {m['cores']} cores, {m['target']}{narrow}, {m['compiler']}; "
            f"voxshift {m['voxshift']} at {m['commit']}, {m['date']}; scan {m['scan']}."
            + "".join(measured_apart(results, key, name) for key, name in PARTS.items()))


def overhead(command):
    t = command["milliseconds"]
    return sum(t[stage] for stage in ("read", "voxelize", "maps", "write")) / t["total"]


def summary(results):
    """Rows: what a user asks, what was measured, what it has to be."""
    network = results["network"]
    [one], [two] = pick(network, "segment", 1), pick(network, "segment", 2)
    layers = pick(results["layers"], "layer", 2)
    widths = pick(results["layers"], "width", 2)
    command = results["command"]
    rows = [
        ["MinkUNet 1.0, scan to labels, 1 / 2 threads", f"{ms(one['segment_median_ms'])} / "
         f"{ms(two['segment_median_ms'])} ms", NONE],
        ["its network, 2 threads: share of FMA peak", both(two), "78 %"],
        *[["the same on AVX2, of AVX2's peak", both(entry), "78 %"] for entry in results.get("network_avx2", [])],
        ["network, 2 threads against 1",
         f"{times(one['network_median_ms'] / two['network_median_ms'])} / "
         f"{times(one['network_best_ms'] / two['network_best_ms'])}", "1.85 x"],
        ["3^3 layers, both channel counts from 128 on: share of FMA peak, lowest",
         lowest(layers_of(layers, 128, 10**6)), "84 %"],
        ["3^3 layers, smaller channel count 64 or 96, lowest", lowest(layers_of(layers, 64, 96)), "74 %"],
        ["3^3 layers, 32 channels, lowest", lowest(layers_of(layers, 32, 32)), "60 %"],
        ["widths 20, 40, 61, 81, 163 against the next multiple of 16, highest",
         " / ".join(times(max(width_costs(e, which) for e in widths)) for which in ("median", "best")), "1.05 x"],
        ["voxelise with sort, 2 threads, in a warm session", median_and_best(two, "voxelize"), "5 ms"],
        ["all kernel maps, 2 threads, in a warm session", median_and_best(two, "maps"), "14 ms"],
        ["read, voxelise, maps, write: share of `voxshift segment`", percent(overhead(command)), "6 %"],
        ["peak memory of `voxshift segment`", megabytes(command["peak_rss_bytes"]), "500 MB"],
        *narrow_tables.summary(results),
        *point_tables.summary(results),
        *video_tables.summary(results),
        *skip_tables.summary(results),
        *load_tables.summary(results),
        *training_tables.summary(results),
        *peer_summary(results),
        *point_tables.peer_summary(results),
        *video_tables.peer_summary(results),
    ]
    if "build_seconds" in results:
        rows.append(["clean build of library and command, 2 jobs", f"{results['build_seconds']:.0f} s", "180 s"])
    for loop, (core, goal) in ARM_GOALS.items():
        if tiles := [tile for tile in results.get("arm", []) if tile["loop"] == loop]:
            rows.append([f"Arm {core}, predicted: {loop}, share of the products that it can issue",
                         percent(tiles[0]["of_peak"]), goal])
    return rows


def highlights(results):
    """README's table."""
    rows = [[what, measured] for what, measured, _ in summary(results)
            if what.startswith(HIGHLIGHTS) and "3^3 layers" not in what and "races" not in what]
    return table(["", "measured: median / best"], rows) + "\n\n" + machine(results)


def peer_summary(results):
    if "peers" not in results:
        return []
    peers = results["peers"]
    name = peers["library"].split(",")[0]
    rows = [[f"faster than {name}, network, {on}", f"{times(e['ratio_median'])} / {times(e['ratio_best'])}", goal]
            for e, on, goal in zip(peers["network"], ["1 thread", "2 threads (where it races)"], ["2.5 x", "2.7 x"])]
    for label, low, high, goal in [("32 to 128", 32, 128, "2.8 x"), ("256", 256, 256, "2.4 x")]:
        found = [e for e in peers["layers"] if low <= e["width"] <= high]
        if found:
            rows.append([f"faster than {name}, 3^3 layers, {label} channels, lowest",
                         " / ".join(times(min(e[f"ratio_{which}"] for e in found)) for which in ("median", "best")),
                         goal])
    theirs = min(e["spconv_peak_rss_bytes"] for e in peers["network"])
    rows.append([f"memory, share of {name}'s", percent(results["command"]["peak_rss_bytes"] / theirs), "50 %"])
    return rows


def details(results):
    """All of docs/benchmarks.md's."""
    goals = "### Goals\n\n" + table(["", "measured: median / best", "goal"], summary(results))
    parts = [machine(results), goals, limits_table(results), network_table(results), layers_table(results),
             widths_table(results), *narrow_tables.details(results), coordinates_table(results), command_table(results),
             *point_tables.details(results), *video_tables.details(results), *skip_tables.skip_table(results), *load_tables.load_table(results),
             *training_tables.details(results)]
    if "peers" in results:
        parts.append(peers_tables(results["peers"], results["command"]["peak_rss_bytes"]))
        parts.append(point_tables.peers_table(results["point_peers"]))
    if results.get("arm"):
        rows = [[e["loop"], str(e["tile_rows"]), percent(e["of_peak"]), str(e["stack_accesses"])] for e in results["arm"]]
        parts.append("### Arm, predicted\n\n" + table(["inner loop", "rows of the tile", "of the products that the core can issue", "stack accesses"], rows))
    return "\n\n".join(parts)


def limits_table(results):
    rows = [[e["target"], str(e["threads"]), f"{e['fma_gflops']:.0f}", f"{e['copy_gbytes']:.1f}"]
            for e in results["limits"]]
    return "### The machine's limits\n\n" + table(["target", "threads", "FMA peak, GFLOP/s", "copy, GB/s"], rows)


def network_table(results):
    target = results["machine"]["target"]
    found = [(target, e) for e in results["network"] if e["name"].startswith("segment/")]
    found += [("avx2", e) for e in results.get("network_avx2", [])]
    rows = [[name, f"{e['on_threads']:.0f}", *(ms(e[stage + "_median_ms"]) for stage in
                                               ("segment", "voxelize", "maps", "network")), ms(e["network_best_ms"]),
             f"{2 * e['limit_per_second'] / 1e9:.0f}", both(e)] for name, e in found]
    entry = found[0][1]
    title = (f"### MinkUNet 1.0, scan to labels\n\n{entry['points']:.0f} points, {entry['voxels']:.0f} voxels, "
             f"{entry['work'] / 1e9:.1f} GMAC. Milliseconds, medians.\n\n")
    return title + table(["target", "threads", "segment", "voxelise", "maps", "network", "network, best",
                          "FMA peak, GFLOP/s", "of peak, median / best"], rows)


def layers_table(results):
    found = pick(results["layers"], "layer", 2)
    rows = [[f"{e['in']:.0f} -> {e['out']:.0f}", f"{e['stride']:.0f}", ms(e["layer_median_ms"]), ms(e["layer_best_ms"]),
             f"{2 * e['work'] / e['layer_median_ms'] / 1e6:.0f}", f"{2 * e['limit_per_second'] / 1e9:.0f}", both(e)]
            for e in sorted(found, key=lambda e: (e["stride"], e["in"], e["out"]))]
    return "### Single layers\n\nSubmanifold 3^3 with ReLU, map cached, weights packed, 2 threads.\n\n" + table(
        ["channels", "stride", "ms, median", "ms, best", "GFLOP/s", "FMA peak", "of peak, median / best"], rows)


def widths_table(results):
    rows = [[f"{e['in']:.0f}", f"{e['padded_width']:.0f}", f"{e['stride']:.0f}", ms(e["layer_median_ms"]),
             ms(e["padded_median_ms"]), " / ".join(times(width_costs(e, which)) for which in ("median", "best"))]
            for e in pick(results["layers"], "width", 2)]
    return "### Widths that are no multiple of 16\n\nBeside the same layer padded, in turn, 2 threads.\n\n" + table(
        ["channels", "padded", "stride", "ms", "padded, ms", "ratio, median / best"], rows)


VOXELIZE = {"voxelize": "voxelise: sort, inverse, first points", "voxelize_mean": "voxelise: sort, inverse, means"}


def coordinates_table(results):
    rows = []
    for e in results["coordinates"]:
        what = VOXELIZE[e["name"].split("/")[0]] if "stride" not in e else (
            f"3^3 map, stride {e['stride']:.0f}: {e['voxels']:.0f} voxels, {e['pairs']:.0f} pairs")
        rows.append([what, f"{e['on_threads']:.0f}", ms(e["op_median_ms"]), ms(e["op_best_ms"]),
                     f"{e['limit_per_second'] / 1e9:.1f}", both(e)])
    return "### Coordinates\n\nSingle ops, results allocated anew.\n\n" + table(
        ["op", "threads", "ms, median", "ms, best", "copy, GB/s", "of copy, median / best"], rows)


def command_table(results):
    c = results["command"]
    t = c["milliseconds"]
    row = [ms(t[stage]) for stage in ("read", "voxelize", "maps", "network", "write", "total")]
    title = (f"### `voxshift segment --write label`, {c['threads']} threads\n\n"
             f"Medians in ms over the scans after the first of {c['scans']}, which takes {ms(c['first_total_ms'])} ms. "
             f"Reading, voxelising, maps and writing: {percent(overhead(c))} of the total. "
             f"Peak memory {megabytes(c['peak_rss_bytes'])}.\n\n")
    return title + table(["read", "voxelise", "maps", "network", "write", "total"], [row])


def peers_tables(peers, our_memory):
    def row(e):
        return [str(e["threads"]), ms(e["voxshift"]["median_ms"]), ms(e["spconv"]["median_ms"]),
                f"{times(e['ratio_median'])} / {times(e['ratio_best'])}"]

    check = peers["check"]
    text = (f"### Beside {peers['library']}\n\n"
            f"The same voxels and weights. Rows of {check['rows']} whose logits differ from ours by more than "
            f"{check['tolerance']:.0e} of the largest: spconv on one thread {check['rows_wrong_1_thread']} (largest "
            f"difference {check['largest_difference_1_thread']:.1e}), on two threads {check['rows_wrong_2_threads']}."
            "\n\nMinkUNet 1.0, voxels to logits, maps included:\n\n")
    network = table(["threads", "voxshift, ms", "spconv, ms", "faster, median / best", "spconv's memory"],
                    [[*row(e), megabytes(e["spconv_peak_rss_bytes"])] for e in peers["network"]])
    layers = table(["3^3 layer at stride 1", "threads", "voxshift, ms", "spconv, ms", "faster, median / best"],
                   [[f"{e['width']} -> {e['width']}", *row(e)] for e in peers["layers"]])
    return (f"{text}{network}\n\n`voxshift segment` peaks at {megabytes(our_memory)}.\n\nSingle layers, map cached:\n\n"
            f"{layers}")
