"""The tables of point operators and point-voxel networks."""

from figures import both, median_and_best, ms, percent, pick, ratio, table, times

# Benchmark -> what it does.
SEARCHES = {
    "knn_16/scan": "16 nearest of all points",
    "fixed_radius/scan": "all within 0.2 m of all points",
    "hybrid_32/scan": "at most 32 nearest within 0.2 m of all points",
    "ball_query_32/scan": "ball query: first 32 within 0.4 m of 4,096 centers",
    "three_nearest/scan": "three nearest of 4,096 centers, with weights, of all points",
    "furthest_4096/scan": "furthest 4,096 points",
    "knn_16/crowded": "crowd: 16 nearest of all points",
    "ball_query_32/crowded": "crowd: ball query, first 32 within 0.4 m of 4,000 centers",
    "furthest_4096/crowded": "crowd: furthest 4,096 points",
}
MIXTURES = {
    "trilinear": "trilinear at the points: table, indices, weights",
    "interpolate": "interpolate at the points, indices and weights given",
    "devoxelize": "devoxelise at the points: both",
    "devoxelize_in_session": "devoxelise at the voxels of stride 1, in a warm session",
    "voxelize_dense": "dense grid 32^3, 64 channels: means of the points",
    "devoxelize_dense": "dense grid 32^3, 64 channels: devoxelise",
}
NAMES = {"open3d": "Open3D"}  # of packages that are not called as they are spelled on PyPI
OPERATORS = {
    "voxelize": "voxelise 0.05 m",
    "knn_16": "16 nearest of all points",
    "fixed_radius": "all within 0.2 m",
    "hybrid_32": "at most 32 within 0.2 m",
    "furthest_4096": "furthest 4,096",
}


def one(entries, kind, threads=2):
    [entry] = pick(entries, kind, threads)
    return entry


def summary(results):
    """The summary's rows of our own figures."""
    networks = results["point_networks"]
    return [
        ["voxelise to unique voxels, inverse and means, 2 threads",
         median_and_best(one(results["coordinates"], "voxelize_mean"), "op"), "5 ms"],
        ["devoxelise at stride 4, 128 channels, in a warm session: share of copy bandwidth",
         both(one(results["devoxelize"], "devoxelize_in_session")), "50 %"],
        ["SPVCNN 1.0 against MinkUNet 1.0, scan to labels, 2 threads",
         ratio(one(networks, "spvcnn"), "segment", "minkunet"), "1.07 x"],
        ["PVCNN S3DIS 1.0, a block of 4,096 points, 2 threads: share of FMA peak", both(one(networks, "pvcnn")),
         "65 %"],
    ]


def peer_summary(results):
    """The summary's rows beside other libraries: the fastest of those that are asked about."""
    if "point_peers" not in results:
        return []
    versions = results["point_peers"]["versions"]
    rows = {row["operator"]: row["peers"] for row in results["point_peers"]["operators"]}

    def row(what, operator, library, goal):
        found = {name: peer for name, peer in rows[operator].items() if name.split(",")[0] in library}
        fastest = min(found, key=lambda name: found[name]["ratio_median"])
        name = fastest.split(",")[0]
        ratios = [min(peer[f"ratio_{which}"] for peer in found.values()) for which in ("median", "best")]
        return [f"{what}: faster than {NAMES.get(name, name)} {versions[name]}", " / ".join(map(times, ratios)), goal]

    return [
        row("16 nearest of all points", "knn_16", ["open3d", "pykdtree", "scipy"], "1.5 x"),
        row("all within 0.2 m of all points", "fixed_radius", ["open3d"], "4 x"),
        row("at most 32 within 0.2 m", "hybrid_32", ["open3d"], "4 x"),
        row("furthest 4,096 points", "furthest_4096", ["fpsample"], "1 x"),
    ]


def details(results):
    """The sections of docs/benchmarks.md."""
    copy = ["ms, median", "ms, best", "of copy, median / best"]

    def rows(entries, labels):
        found = {(e["name"].rsplit("/", 1)[0], e["on_threads"]): e for e in entries}
        return [[label, f"{threads:.0f}", ms(e["op_median_ms"]), ms(e["op_best_ms"]), both(e)]
                for name, label in labels.items() for threads in sorted({e["on_threads"] for e in entries})
                for e in [found[name, threads]]]

    return [
        "### Search and sampling\n\nThe scan, and a crowd: 100,000 points within a millimetre beside 20,000 within "
        "100 m. Trees are built in the time.\n\n"
        + table(["op", "threads", *copy], rows(results["neighbors"], SEARCHES)),
        "### Features between points and voxels\n\nDevoxelising takes 128 channels from stride 4. Results are "
        "allocated anew, in a session kept.\n\n"
        + table(["op", "threads", *copy], rows(results["devoxelize"] + results["dense_grid"], MIXTURES)),
        networks_table(results["point_networks"]),
    ]


def networks_table(entries):
    def row(name, kind, time, e):
        return [name, f"{e['on_threads']:.0f}", ms(e[time + "_median_ms"]), ms(e[time + "_best_ms"]),
                f"{e['work'] / 1e9:.1f}", f"{2 * e['limit_per_second'] / 1e9:.0f}", both(e)]

    rows, beside, nominal = [], [], []
    for threads in sorted({e["on_threads"] for e in entries}):
        spvcnn, spvnas, pvcnn = (one(entries, kind, threads) for kind in ("spvcnn", "spvnas", "pvcnn"))
        rows += [row("SPVCNN 1.0, scan to labels", "spvcnn", "segment", spvcnn),
                 row("SPVNAS, scan to labels", "spvnas", "segment", spvnas),
                 row("PVCNN S3DIS 1.0, 4,096 points", "pvcnn", "forward", pvcnn)]
        beside.append(f"{ratio(spvcnn, 'segment', 'minkunet')} on {threads:.0f}")
        share = pvcnn["nominal_macs"] / pvcnn["work"]
        nominal.append(f"{percent(share * pvcnn['of_limit_median'])} / {percent(share * pvcnn['of_limit_best'])} "
                       f"on {threads:.0f}")
    return ("### Point-voxel networks\n\n"
            + table(["network", "threads", "ms, median", "ms, best", "GMAC", "FMA peak, GFLOP/s",
                     "of peak, median / best"], rows)
            + f"\n\nSPVCNN against MinkUNet 1.0, in turn, scan to labels, median / best: {', '.join(beside)} threads. "
            "PVCNN's multiply-adds are those that exist; counted as published, "
            f"{pvcnn['nominal_macs'] / 1e9:.1f} GMAC, it reaches {', '.join(nominal)} threads.")


def peers_table(peers):
    versions = ", ".join(f"{NAMES.get(name, name)} {version}" for name, version in peers["versions"].items())
    different = peers["different"]

    def differs(operator, name):
        return f"{different[operator][name]}" if name in different[operator] else "not compared"

    rows = [[OPERATORS[row["operator"]], NAMES.get(name, name), ms(row["voxshift"]["median_ms"]), ms(peer["median_ms"]),
             f"{times(peer['ratio_median'])} / {times(peer['ratio_best'])}", differs(row["operator"], name)]
            for row in peers["operators"] for name, peer in row["peers"].items()]
    threads = peers["operators"][0]["threads"]
    return (f"### Point operators beside other libraries\n\n{versions}; {threads} threads for all that use them. "
            "The last column counts results that differ. Of our "
            f"furthest points, {different['furthest_4096']['voxshift']} are not those of fpsample's plain loops.\n\n"
            + table(["operator", "library", "voxshift, ms", "library, ms", "faster, median / best", "different"], rows))
