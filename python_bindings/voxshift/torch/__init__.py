"""Training with PyTorch: voxshift's operators with gradients, as functions, as modules and as whole networks.

Tensors are float32 on the CPU; the operators run on voxshift's threads (voxshift.set_num_threads) and give the same bits
for any number of them. Works with torch 1.13 and later.
"""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError("voxshift.torch needs PyTorch: pip install torch, or Debian's python3-torch") from error

from voxshift.torch.functional import batch_norm, conv3d, linear
from voxshift.torch.modules import BatchNorm, Conv3d, ConvTranspose3d, ReLU, SubMConv3d
from voxshift.torch.network import MinkUNet, Network, TSMMobileNetV2, load, save
from voxshift.torch.sparse_tensor import SparseTensor, cat
from voxshift.torch.video import conv2d, temporal_shift

__all__ = [
    "BatchNorm",
    "Conv3d",
    "ConvTranspose3d",
    "MinkUNet",
    "Network",
    "ReLU",
    "SparseTensor",
    "SubMConv3d",
    "TSMMobileNetV2",
    "batch_norm",
    "cat",
    "conv2d",
    "conv3d",
    "linear",
    "load",
    "save",
    "temporal_shift",
]
