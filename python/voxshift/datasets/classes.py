"""Names of classes, and what raw ids stand for them."""

from __future__ import annotations

import numpy as np

from voxshift._voxshift import InvalidArgument, train_ids
from voxshift.datasets.sample import IGNORED

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
