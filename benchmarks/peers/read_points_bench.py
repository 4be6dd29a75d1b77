"""Times reading of one scan in each format that voxshift and Open3D read, in turn, in this process.

    python read_points_bench.py SCAN.bin FOLDER    writes the scan in each format to FOLDER, prints one JSON object

Best of REPEATS, in ms. Open3D's are its tensor readers, which keep the remission, and the older ones, which do not.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import open3d
import voxshift as vs

REPEATS = 15


def write_scans(points, folder):
    cloud = open3d.t.geometry.PointCloud(open3d.core.Tensor(np.ascontiguousarray(points[:, :3])))
    cloud.point["intensity"] = open3d.core.Tensor(np.ascontiguousarray(points[:, 3:4]))
    for name, options in {
        "binary.ply": {}, "ascii.ply": {"write_ascii": True}, "binary.pcd": {}, "ascii.pcd": {"write_ascii": True},
        "compressed.pcd": {"compressed": True},
    }.items():
        if not open3d.t.io.write_point_cloud(str(folder / name), cloud, **options):
            sys.exit(f"{folder / name}: Open3D cannot write it")
        yield folder / name


def milliseconds(readers):
    best = {name: float("inf") for name in readers}
    for _ in range(REPEATS):
        for name, reader in readers.items():
            begin = time.perf_counter()
            reader()
            best[name] = min(best[name], 1000 * (time.perf_counter() - begin))
    return best


def main():
    scan, folder = sys.argv[1], Path(sys.argv[2])
    points = np.fromfile(scan, np.float32).reshape(-1, 4)
    figures = {}
    for path in write_scans(points, folder):
        read = vs.read_points(path).points
        ours, theirs = read[:, :4], open3d.t.io.read_point_cloud(str(path))
        if not np.array_equal(theirs.point["positions"].numpy(), ours[:, :3]):
            sys.exit(f"{path}: voxshift and Open3D disagree")
        figures[path.name] = milliseconds({
            "voxshift": lambda path=path: vs.read_points(path),
            "open3d": lambda path=path: open3d.t.io.read_point_cloud(str(path)),
            "open3d, older": lambda path=path: open3d.io.read_point_cloud(str(path)),
        })
    print(json.dumps({"points": len(points), "open3d": open3d.__version__, "milliseconds": figures}, indent=2))


if __name__ == "__main__":
    main()
