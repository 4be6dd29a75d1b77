"""Datasets by their folder layout: scans with labels, boxes, poses and calibration. docs/datasets.md has the layouts.

A dataset is a map-style one of torch.utils.data without being of its type: len(), an index, picklable.
"""

from voxshift.datasets.kitti import Kitti
from voxshift.datasets.nuscenes import NuScenes
from voxshift.datasets.s3dis import S3dis
from voxshift.datasets.sample import Boxes, Dataset, Sample
from voxshift.datasets.scannet import ScanNet
from voxshift.datasets.semantic_kitti import SemanticKitti
from voxshift.datasets.toronto3d import Toronto3d
from voxshift.datasets.waymo import Waymo

__all__ = [
    "Boxes",
    "Dataset",
    "Kitti",
    "NuScenes",
    "S3dis",
    "Sample",
    "ScanNet",
    "SemanticKitti",
    "Toronto3d",
    "Waymo",
]
