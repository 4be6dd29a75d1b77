"""Datasets by their folder layout: scans with labels, boxes, poses and calibration. docs/datasets.md has the layouts.

A dataset is a map-style one of torch.utils.data without being of its type: len(), an index, picklable.
"""

from voxshift.datasets.nuscenes import NuScenes
from voxshift.datasets.sample import Boxes, Dataset, Sample
from voxshift.datasets.semantic_kitti import SemanticKitti

__all__ = ["Boxes", "Dataset", "NuScenes", "Sample", "SemanticKitti"]
