"""No op of arrays lacks a case on a device: this needs no device, so that no build overlooks a new op."""

import voxshift as vs
from device_cases import CASES

SETTINGS = {"build_info", "calibrate_skip", "num_threads", "quantize", "set_memory_cache", "set_num_threads", "synchronize"}
FILES = {"convert", "label_tiles", "read_checkpoint", "read_kitti_calibration", "read_kitti_labels", "read_points", "save_onnx"}
FILES |= {"write_html", "write_rrd"}
MAKERS = {"from_open3d", "graph_ops", "prepare_points", "synth_lidar", "synth_video", "synth_video_classes"}
MAKERS |= {"evaluate_detections", "to_device", "to_open3d", "train_ids"}


def test_every_op_has_a_case():
    ops = {name for name in vs.__all__ if name[0].islower()}
    assert ops - SETTINGS - FILES - MAKERS <= set(CASES)
