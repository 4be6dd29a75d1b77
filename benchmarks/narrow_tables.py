"""The tables of networks in narrow numbers."""

from figures import NONE, megabytes, ms, table, times

# Target, dtype -> what the time may be of that of f32; of other targets the instructions differ too much for a goal.
GOALS = {("avx512", "i8"): "0.38 x", ("avx512", "bf16"): "0.6 x", ("avx2", "i8"): "0.7 x", ("avx2", "bf16"): "1 x",
         ("avx2", "f16"): "1 x", ("avx512", "f16"): "1 x"}
MEMORY = {"f32": "500 MB", "bf16": "300 MB", "f16": "300 MB", "i8": "230 MB"}


def summary(results):
    """The summary's rows, on the most threads that were measured."""
    if "narrow" not in results:
        return []
    narrow = results["narrow"]
    threads = max(row["threads"] for row in narrow["network"])
    rows = []
    for row in narrow["network"]:
        if row["dtype"] == "f32" or row["threads"] != threads:
            continue
        where = "" if row["target"] == narrow["network"][0]["target"] else f" on {row['target']}"
        rows.append([f"MinkUNet 1.0 in {row['dtype']}{where}, {threads} threads: time of its network in f32",
                     f"{times(row['share_median'])} / {times(row['share_best'])}", GOALS.get((row["target"], row["dtype"]), NONE)])
    return rows + [[f"peak memory of `voxshift segment --dtype {dtype}`", megabytes(found), MEMORY[dtype]]
                   for dtype, found in narrow["memory"].items()]


def details(results):
    """The section of docs/benchmarks.md."""
    if "narrow" not in results:
        return []
    narrow = results["narrow"]
    rows = [[row["dtype"], row["target"], str(row["threads"]), ms(row["median_ms"]), ms(row["best_ms"]),
             f"{times(row['share_median'])} / {times(row['share_best'])}"] for row in narrow["network"]]
    memory = ", ".join(f"{dtype} {megabytes(found)}" for dtype, found in narrow["memory"].items())
    sizes = narrow["file_bytes"]
    return ["### MinkUNet 1.0 in narrow numbers\n\nThe network alone, in turn. "
            f"`voxshift segment` peaks at: {memory}. The model file has {megabytes(sizes['f32'])} in f32 and "
            f"{megabytes(sizes['i8'])} in i8.\n\n"
            + table(["dtype", "target", "threads", "ms, median", "ms, best", "time of f32's, median / best"], rows)]
