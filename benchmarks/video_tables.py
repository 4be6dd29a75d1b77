"""The tables of video."""

from figures import NONE, both, ms, percent, pick, ratio, table, times

SLOPE, OFFSET = 1.2, 0.05  # at MAC fraction f a masked frame takes at most SLOPE f + OFFSET of a dense one
NAMES = {"tsm-mobilenetv2": "TSM-MobileNetV2", "tsm-resnet50": "TSM-ResNet50"}
ENGINES = {"onnxruntime f32": "ONNX Runtime f32", "openvino f32": "OpenVINO f32", "openvino bf16": "OpenVINO bf16",
           "onnxruntime int8": "ONNX Runtime int8", "openvino int8": "OpenVINO int8"}
OURS = {"f32": "f32", "bf16": "bf16", "int8": "i8"}  # an engine's precision -> our dtype
WEIGHTS = "The weights are random, so the labels mean nothing"


def dense(video, arch, width, threads):
    [entry] = [e for e in pick(video["networks"], arch, threads) if e["width"] == width]
    return entry


def per_threads(write, threads=(1, 2)):
    return " / ".join(write(count) for count in threads)


def of_dense(entry, which="median"):
    return entry[f"push_{which}_ms"] / entry[f"dense_{which}_ms"]


def excess(entry, which="median"):
    """By how much of a dense frame a masked one is above the line, below when negative."""
    return of_dense(entry, which) - SLOPE * entry["mac_fraction"]


def summary(results):
    """The summary's rows: median on 1 / 2 threads."""
    if "video" not in results:
        return []
    video = results["video"]

    def network(threads):
        return dense(video, "tsm-mobilenetv2", 1, threads)

    def widths(threads):
        share = {width: dense(video, "tsm-mobilenetv2", width, threads)["of_limit_median"] for width in (0.5, 1, 1.4)}
        return percent(min(share[0.5], share[1.4]) / share[1])

    rows = [
        ["TSM-MobileNetV2 1.0, a dense frame, 1 / 2 threads",
         per_threads(lambda n: ms(network(n)["push_median_ms"])) + " ms", NONE],
        ["its share of FMA peak, 1 / 2 threads", per_threads(lambda n: percent(network(n)["of_limit_median"])), NONE],
        ["the same without the shift: time with it, 1 / 2 threads",
         per_threads(lambda n: times(network(n)["push_median_ms"] / network(n)["plain_median_ms"])), "1.02 x"],
        ["widths 0.5 and 1.4: share of peak against width 1.0's, lowest, 1 / 2 threads", per_threads(widths), "85 %"],
        *[["TSM-MobileNetV2 1.0 on AVX2, 1 thread, of AVX2's peak", both(entry), "70 %"]
          for entry in video.get("networks_avx2", [])],
        ["masked frames at MAC fraction f: time / dense - 1.2 f, highest, 1 / 2 threads",
         per_threads(lambda n: f"{max(map(excess, pick(video['masked'], 'masked', n))):.3f}"), "0.05"],
        ["a frame skipped whole, of a dense one, 1 / 2 threads",
         per_threads(lambda n: percent(max(map(of_dense, pick(video["masked"], "skipped", n))))), "2 %"],
        ["state of a stream that skips", f"{max(e['state_bytes'] for e in video['masked']) / 1e6:.2f} MB", "3 MB"],
    ]
    return rows


# Network, target, threads, precision -> what our time may be of the fastest engine's.
GOALS = {
    ("tsm-mobilenetv2", "avx512", 1, "f32"): "0.97 x", ("tsm-mobilenetv2", "avx512", 2, "f32"): "0.94 x",
    ("tsm-resnet50", "avx512", 1, "f32"): "1.2 x", ("tsm-resnet50", "avx512", 2, "f32"): "1.2 x",
    **{("tsm-mobilenetv2", "avx512", n, dtype): goal for n in (1, 2) for dtype, goal in [("bf16", "0.9 x"), ("int8", "0.85 x")]},
    **{("tsm-resnet50", "avx512", n, dtype): "1.1 x" for n in (1, 2) for dtype in ("bf16", "int8")},
    **{("tsm-mobilenetv2", "avx2", n, dtype): goal for n in (1, 2) for dtype, goal in [("f32", "0.97 x"), ("int8", "1 x")]},
    **{("tsm-resnet50", "avx2", n, dtype): goal for n in (1, 2) for dtype, goal in [("f32", "1.2 x"), ("int8", "1.1 x")]},
}


def beside_fastest(peers, row, precision):
    """A row of the summary: our time as a share of the fastest engine's of a precision; nothing where none has it."""
    engines = {name: peer for name, peer in row["peers"].items() if name.endswith(" " + precision)}
    if not engines:
        return []
    fastest = min(engines, key=lambda name: engines[name]["median_ms"])
    threads = f"{row['threads']} thread" + "s" * (row["threads"] > 1)
    where = "" if row["target"] == peers["networks"][0]["target"] else f" on {row['target']}"
    shares = [max(peer[f"share_{which}"] for peer in engines.values()) for which in ("median", "best")]
    return [[f"{NAMES[row['arch']]} 1.0, {OURS[precision]}{where}, {threads}: time of {ENGINES[fastest]} "
             f"{peers['versions'][fastest.split()[0]]}'s without the shift", " / ".join(map(times, shares)),
             GOALS.get((row["arch"], row["target"], row["threads"], precision), NONE)]]


def peer_summary(results):
    """README's rows beside the engines."""
    if "video_peers" not in results:
        return []
    peers = results["video_peers"]
    return [line for row in peers["networks"] if row["width"] == 1 for precision in OURS
            for line in beside_fastest(peers, row, precision)]


def details(results):
    """The sections of docs/benchmarks.md."""
    if "video" not in results:
        return []
    return [dense_table(results["video"]), masked_table(results["video"]), *peers_table(results)]


def dense_table(video):
    def row(entry, target):
        return [NAMES[entry["name"].split("/")[0]], f"{entry['width']:g}", target, f"{entry['on_threads']:.0f}",
                ms(entry["push_median_ms"]), ms(entry["push_best_ms"]), ms(entry["plain_median_ms"]),
                ratio(entry, "push", "plain"), f"{entry['work'] / 1e6:.0f}",
                f"{2 * entry['limit_per_second'] / 1e9:.0f}", both(entry)]

    rows = [row(e, video["target"]) for e in video["networks"]] + [row(e, "avx2") for e in
                                                                  video.get("networks_avx2", [])]
    return ("### Video networks, dense frames\n\nFrom a u8 frame of 224 x 224 to its scores, with the shift, and "
            f"without it in turn. {WEIGHTS}.\n\n"
            + table(["network", "width", "target", "threads", "ms, median", "ms, best", "without shift, ms",
                     "with / without, median / best", "MMAC", "FMA peak, GFLOP/s", "of peak, median / best"], rows))


def masked_table(video):
    rows = [[f"{e['side']:.0f}", f"{e['threshold']:g}" if e["threshold"] else "`exact`", f"{e['on_threads']:.0f}",
             f"{e['mac_fraction']:.3f}", ms(e["push_median_ms"]), f"{of_dense(e):.3f}",
             f"{SLOPE * e['mac_fraction'] + OFFSET:.3f}"]
            for e in video["masked"] if e["name"].startswith("masked/")]
    skipped = ", ".join(f"{percent(of_dense(e))} on {e['on_threads']:.0f}"
                        for e in video["masked"] if e["name"].startswith("skipped/"))
    return ("### Video networks, masked frames\n\nTSM-MobileNetV2 1.0; a square of the frame changes with every frame, "
            f"nothing else does. A frame skipped whole takes, of a dense one: {skipped} threads.\n\n"
            + table(["side, pixels", "threshold", "threads", "MAC fraction f", "ms, median", "of dense",
                     "1.2 f + 0.05"], rows))


def agreement_of(peers, row, engine):
    [found] = [entry["engines"][engine] for entry in peers["agreement"]
               if all(entry[key] == row[key] for key in ("arch", "width", "target"))]
    return f"{found['different']:.1e}", f"{found['correlation']:.4f}", "yes" if found["same_class"] else "no"


def peers_table(results):
    if "video_peers" not in results:
        return []
    peers = results["video_peers"]
    rows = [[f"{NAMES[row['arch']]} {row['width']:g}", row["target"], str(row["threads"]), ENGINES[name], ms(peer["median_ms"]),
             f"{OURS[name.split()[1]]}: {ms(row['voxshift'][OURS[name.split()[1]]]['median_ms'])}",
             f"{times(peer['share_median'])} / {times(peer['share_best'])}", *agreement_of(peers, row, name)]
            for row in peers["networks"] for name, peer in row["peers"].items()]
    versions = ", ".join(f"{ENGINES[name + ' f32'].removesuffix(' f32')} {version}"
                         for name, version in peers["versions"].items())
    return [f"### Video networks beside engines for images\n\n{versions}; the same weights, batch norm folded, from "
            "the normalised frame to the logits, without the shift, which ours has. The last columns compare their logits with "
            "ours of f32 without the shift: largest difference relative to the largest, correlation, the same class. The weights "
            "are random, which narrow numbers are forgiven less. On AVX2 OpenVINO's convolutions and products are limited to it, "
            "the rest of it is not, nor can ONNX Runtime be.\n\n"
            + table(["network", "target", "threads", "engine", "engine, ms", "voxshift, ms", "ours of theirs, median / best",
                     "different", "correlation", "same class"], rows)]
