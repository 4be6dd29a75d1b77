"""Names of classes, and what raw ids stand for them."""

from __future__ import annotations

import numpy as np

from voxshift._voxshift import InvalidArgument, train_ids

# Of semantic-kitti.yaml, in the order of its learning_map.
SEMANTIC_KITTI = (
    "car", "bicycle", "motorcycle", "truck", "other-vehicle", "person", "bicyclist", "motorcyclist", "road", "parking",
    "sidewalk", "other-ground", "building", "fence", "vegetation", "trunk", "terrain", "pole", "traffic-sign",
)
LARGEST_RAW_ID = 259


def mapping_of(protocol: str) -> dict[int, int]:
    """Raw id -> class of the labels of a protocol of voxshift.train_ids."""
    found = {}
    for raw in range(LARGEST_RAW_ID + 1):
        try:
            found[raw] = int(train_ids(np.array([raw], np.uint32), protocol)[0])  # type: ignore[arg-type]
        except InvalidArgument:
            continue
    return found

# Of nuScenes-lidarseg, in the order of its challenge's classes 1 to 16.
NUSCENES = (
    "barrier", "bicycle", "bus", "car", "construction_vehicle", "motorcycle", "pedestrian", "traffic_cone", "trailer", "truck",
    "driveable_surface", "other_flat", "sidewalk", "terrain", "manmade", "vegetation",
)
NUSCENES_DETECTION = (
    "car", "truck", "bus", "trailer", "construction_vehicle", "pedestrian", "motorcycle", "bicycle", "traffic_cone", "barrier",
)
# Category of an annotation -> class of the detection task; what is not here has none.
NUSCENES_CATEGORIES = {
    "human.pedestrian.adult": "pedestrian",
    "human.pedestrian.child": "pedestrian",
    "human.pedestrian.construction_worker": "pedestrian",
    "human.pedestrian.police_officer": "pedestrian",
    "movable_object.barrier": "barrier",
    "movable_object.trafficcone": "traffic_cone",
    "vehicle.bicycle": "bicycle",
    "vehicle.bus.bendy": "bus",
    "vehicle.bus.rigid": "bus",
    "vehicle.car": "car",
    "vehicle.construction": "construction_vehicle",
    "vehicle.motorcycle": "motorcycle",
    "vehicle.trailer": "trailer",
    "vehicle.truck": "truck",
}

S3DIS = (
    "ceiling", "floor", "wall", "beam", "column", "window", "door", "table", "chair", "sofa", "bookcase", "board", "clutter",
)
# Classes of ScanNet's benchmark -> their ids of NYU40.
SCANNET = {
    "wall": 1, "floor": 2, "cabinet": 3, "bed": 4, "chair": 5, "sofa": 6, "table": 7, "door": 8, "window": 9, "bookshelf": 10,
    "picture": 11, "counter": 12, "desk": 14, "curtain": 16, "refrigerator": 24, "shower curtain": 28, "toilet": 33,
    "sink": 34, "bathtub": 36, "otherfurniture": 39,
}
# Labels 1 to 8 of Toronto-3D; 0 is unclassified.
TORONTO_3D = ("road", "road marking", "natural", "building", "utility line", "pole", "car", "fence")
