"""Times point operators of other libraries on the points that voxshift's `peer_input` wrote, in this process alone.

    python points_bench.py time FOLDER OPERATOR REPEATS    each library that has it: best and median
    python points_bench.py check FOLDER                    their results against voxshift's
    python points_bench.py slow FOLDER OPERATOR            the ones that take seconds, once

OPERATOR is one of voxelize, knn_16, fixed_radius, hybrid_32, furthest_4096. All processors are used; an index is built
by each call, as for a scan that is seen once. Prints one JSON object.
"""

import importlib.metadata
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))  # pykdtree and Open3D read it when they are loaded

import fpsample
import numpy as np
import open3d
from pykdtree.kdtree import KDTree
from scipy.spatial import cKDTree

VOXEL, RADIUS, NEAREST, AT_MOST, SAMPLES = 0.05, 0.2, 16, 32, 4096
CLOSE = 1e-5  # relative, of distances in float32 whose squares are summed in another order
BUCKET_HEIGHTS = [6, 7, 8]  # fpsample's h; its authors use 7 for clouds of this size


class Peers:
    """Callables by operator and library. Each gives what the library gives."""

    def __init__(self, points):
        self.points = points
        self.tensor = open3d.core.Tensor(points)
        self.cloud = open3d.t.geometry.PointCloud(self.tensor)
        self.fast = {
            "voxelize": {"numpy": self.numpy_voxels, "open3d": lambda: self.cloud.voxel_down_sample(VOXEL)},
            "knn_16": {"pykdtree": lambda: KDTree(points).query(points, k=NEAREST),
                       "open3d": self.open3d_nearest,
                       "scipy": lambda: cKDTree(points).query(points, NEAREST, workers=-1)},
            "fixed_radius": {"open3d": self.open3d_within},
            "hybrid_32": {"open3d": self.open3d_at_most},
            "furthest_4096": {f"fpsample, h = {h}": lambda h=h: self.bucket_samples(h) for h in BUCKET_HEIGHTS},
        }
        self.slow = {
            "furthest_4096": {
                "fpsample, plain": lambda: fpsample.fps_sampling(points, SAMPLES, start_idx=0),
                "open3d": lambda: self.cloud.farthest_point_down_sample(SAMPLES)},
        }

    def numpy_voxels(self):
        cells = np.round(self.points / np.float32(VOXEL)).astype(np.int32)
        return np.unique(cells, axis=0, return_inverse=True)

    def index(self):
        return open3d.core.nns.NearestNeighborSearch(self.tensor)

    def open3d_nearest(self):
        index = self.index()
        index.knn_index()
        return index.knn_search(self.tensor, NEAREST)

    def open3d_within(self):
        index = self.index()
        index.fixed_radius_index(RADIUS)
        return index.fixed_radius_search(self.tensor, RADIUS)

    def open3d_at_most(self):
        index = self.index()
        index.hybrid_index(RADIUS)
        return index.hybrid_search(self.tensor, RADIUS, AT_MOST)

    def bucket_samples(self, height):
        return fpsample.bucket_fps_kdline_sampling(self.points, SAMPLES, h=height, start_idx=0)


def timings(calls, repeats, warm_up=True):
    """Milliseconds of each call; the calls take turns."""
    seconds = {name: [] for name in calls}
    for repeat in range(repeats + warm_up):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if repeat >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return {name: {"best_ms": min(s) * 1e3, "median_ms": float(np.median(s)) * 1e3} for name, s in seconds.items()}


class Check:
    """Rows or indices of a peer's result that are not ours."""

    def __init__(self, folder, peers):
        self.folder, self.peers, self.points = Path(folder), peers, peers.points.astype(np.float64)

    def ours(self, name, dtype=np.int32):
        return np.fromfile(self.folder / name, dtype)

    def distances(self, indices):
        """float64 [N, k] from each point to its neighbours, infinity for -1."""
        found = np.linalg.norm(self.points[indices] - self.points[:, None], axis=2)
        return np.where(indices < 0, np.inf, found)

    def rows_with_other_neighbors(self, ours, theirs):
        """Rows whose sorted distances differ: equally near points may stand for each other."""
        a, b = np.sort(self.distances(ours), axis=1), np.sort(self.distances(theirs), axis=1)
        return int((~np.isclose(a, b, rtol=CLOSE, atol=1e-7)).any(axis=1).sum())

    def nearest(self):
        ours = self.ours("nearest.i32").reshape(-1, NEAREST)
        calls = self.peers.fast["knn_16"]
        theirs = {"pykdtree": calls["pykdtree"]()[1].astype(np.int64), "scipy": calls["scipy"]()[1],
                  "open3d": calls["open3d"]()[0].numpy()}
        return {name: self.rows_with_other_neighbors(ours, indices) for name, indices in theirs.items()}

    def at_most(self):
        ours = self.ours("at_most.i32").reshape(-1, AT_MOST)
        return {"open3d": self.rows_with_other_neighbors(ours, self.peers.open3d_at_most()[0].numpy())}

    def within(self):
        """Neighbours that only one of both has."""
        def pairs(indices, splits):
            queries = np.repeat(np.arange(len(splits) - 1), np.diff(splits))
            return queries.astype(np.int64) * len(self.points) + indices

        indices, _, splits = (array.numpy() for array in self.peers.open3d_within())
        ours = pairs(self.ours("within.i32"), self.ours("within_splits.i64", np.int64))
        return {"open3d": len(np.setxor1d(ours, pairs(indices, splits)))}

    def furthest(self):
        """Samples that fpsample's plain loops from the same first point do not take; equally far ones may swap.

        The bucket version begins at another point than asked, so it cannot be compared with ours directly.
        """
        def plain(first):
            return np.asarray(fpsample.fps_sampling(self.peers.points, SAMPLES, start_idx=int(first)))

        different = {"voxshift": len(np.setxor1d(self.ours("furthest.i32"), plain(0)))}
        for name, call in self.peers.fast["furthest_4096"].items():
            samples = np.asarray(call())
            different[name] = len(np.setxor1d(samples, plain(samples[0])))
        return different

    def voxels(self):
        _, inverse = self.peers.numpy_voxels()
        return {"numpy": int((inverse.reshape(-1) != self.ours("voxel_of_point.i32")).sum())}

    def all(self):
        return {"voxelize": self.voxels(), "knn_16": self.nearest(), "fixed_radius": self.within(),
                "hybrid_32": self.at_most(), "furthest_4096": self.furthest()}


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    what, folder, *rest = sys.argv[1:]
    peers = Peers(np.fromfile(Path(folder) / "points.f32", np.float32).reshape(-1, 3))
    if what == "time":
        result = {"timings": timings(peers.fast[rest[0]], int(rest[1]))}
    elif what == "slow":
        result = {"timings": timings(peers.slow[rest[0]], 1, warm_up=False)}
    elif what == "check":
        result = {"different": Check(folder, peers).all()}
    else:
        sys.exit(__doc__)
    versions = {name: importlib.metadata.version(name) for name in ("open3d", "pykdtree", "scipy", "fpsample", "numpy")}
    print(json.dumps({"versions": versions, **result}))


if __name__ == "__main__":
    main()
