"""The table of what other programs on the machine cost."""

from figures import ms, table, times

OURS = {"frame": "TSM-MobileNetV2 1.0, a frame", "frame_128": "the same of 128 x 128, 0.25 wide", "voxelize": "voxelise a scan",
        "maps": "its kernel maps", "network": "its network, MinkUNet 0.5", "furthest": "its furthest 4,096 points"}
LOADS = {"idle": "idle", "busy": "as many busy processes as cores", "compilers": "as many niced compilers"}


def name_of(what):
    return OURS.get(what, what.replace("onnxruntime", "ONNX Runtime").replace("openvino", "OpenVINO"))


def find(rows, load, what, threads):
    [row] = [r for r in rows if (r["load"], r["what"], r["threads"]) == (load, what, threads)]
    return row


def summary(results):
    """The summary's row."""
    if "load" not in results:
        return []
    rows = results["load"]["rows"]
    costs = {what: find(rows, "busy", what, 2)["mean_ms"] / find(rows, "idle", what, 2)["mean_ms"] for what in OURS}
    return [["beside as many busy processes as cores, 2 threads: mean time of idle's, a frame / a scan's network",
             f"{times(costs['frame'])} / {times(costs['network'])}", "3 x"]]


def load_table(results):
    """Every work on every number of threads, idle and beside others."""
    if "load" not in results:
        return []
    rows = results["load"]["rows"]
    lines = []
    for what in dict.fromkeys(row["what"] for row in rows):
        for threads in sorted({row["threads"] for row in rows}):
            idle = find(rows, "idle", what, threads)
            cells = [name_of(what), str(threads), ms(idle["mean_ms"]), ms(idle["p99_ms"])]
            for load in ("busy", "compilers"):
                row = find(rows, load, what, threads)
                cells += [ms(row["mean_ms"]), times(row["mean_ms"] / idle["mean_ms"]), ms(row["p99_ms"])]
            lines.append(cells)
    header = ["", "threads", "idle, ms", "p99", "busy, ms", "of idle", "p99", "compilers, ms", "of idle", "p99"]
    versions = ", ".join(f"{name_of(name)} {version}" for name, version in results["load"]["versions"].items())
    text = (f"With {results['load']['target']}, calls one after the other: alone on the machine, beside as many busy processes as cores (with fair shares "
            "everything takes twice as long), and beside as many compilers of niceness 15. Means and 99th percentiles in ms, means of "
            "rounds in turn. The engines run the frame's network without the shift"
            + (f": {versions}" if versions else "") + ".")
    return [f"### On a busy machine\n\n{text}\n\n" + table(header, lines)]
