"""Training with PyTorch: voxshift's operators with gradients, as functions, as modules and as whole networks.

Tensors are float32, all on the CPU or all on a CUDA device. On the CPU the operators run on voxshift's threads
(voxshift.set_num_threads) and give the same bits for any number of them; on CUDA they take torch's memory as it is, on torch's
current stream, and the same run gives the same bits. Works with torch 1.13 and later.
"""

try:
    import torch as _torch
except ImportError as error:
    raise ImportError("voxshift.torch needs PyTorch: pip install torch, or Debian's python3-torch") from error

from voxshift.torch import convolutions, elementwise, images, per_cloud, point_sets, selection  # their gradients
from voxshift.torch.compat import compat
from voxshift.torch.detection import anchor_targets, center_targets, detection_loss
from voxshift.torch.export import export
from voxshift.torch.fake_quantization import FakeQuantized, prepare_qat
from voxshift.torch.functional import batch_norm, conv3d, linear
from voxshift.torch.modules import BatchNorm, Conv3d, ConvTranspose3d, LeakyReLU, Linear, ReLU, SubMConv3d
from voxshift.torch.network import SPVCNN, MinkUNet, Network, TSMMobileNetV2, load, save, to_model
from voxshift.torch.points import devoxelize, interpolate, voxelize, voxelize_features
from voxshift.torch.pooling import (
    AvgPool3d,
    GlobalAvgPool,
    GlobalMaxPool,
    MaxPool3d,
    SumPool3d,
    avg_pool,
    global_avg_pool,
    global_max_pool,
    global_sum_pool,
    max_pool,
    sum_pool,
)
from voxshift.torch.sparse_tensor import SparseTensor, cat
from voxshift.torch.video import conv2d, temporal_shift

__all__ = [
    "AvgPool3d",
    "BatchNorm",
    "Conv3d",
    "ConvTranspose3d",
    "FakeQuantized",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "LeakyReLU",
    "Linear",
    "MaxPool3d",
    "MinkUNet",
    "Network",
    "ReLU",
    "SPVCNN",
    "SparseTensor",
    "SubMConv3d",
    "SumPool3d",
    "TSMMobileNetV2",
    "anchor_targets",
    "avg_pool",
    "batch_norm",
    "cat",
    "center_targets",
    "compat",
    "conv2d",
    "conv3d",
    "detection_loss",
    "devoxelize",
    "export",
    "global_avg_pool",
    "global_max_pool",
    "global_sum_pool",
    "interpolate",
    "linear",
    "load",
    "max_pool",
    "prepare_qat",
    "save",
    "sum_pool",
    "temporal_shift",
    "to_model",
    "voxelize",
    "voxelize_features",
]
