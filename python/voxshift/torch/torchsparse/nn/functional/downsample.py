"""The voxels of a strided layer alone."""

import torch

from voxshift.torch.torchsparse.nn.functional.maps import map_of
from voxshift.torch.torchsparse.nn.functional.settings import config_of
from voxshift.torch.torchsparse.nn.utils.kernel import Axes
from voxshift.torch.torchsparse.rules import rules
from voxshift.torch.torchsparse.tensor import coords_of, grid_of
from voxshift.torch.torchsparse.utils.utils import make_ntuple


def spdownsample(coords: torch.Tensor, stride: Axes = 2, kernel_size: Axes = 2, *args, **kwargs) -> torch.Tensor:
    """int32 [M, 4]: the coords that a convolution of these would make, rows in lexicographic order of batch, x, y, z.

    Further arguments: tensor_stride=1 before 2.1, padding=0, spatial_range=None, downsample_mode in it.
    """
    order = ("padding", "spatial_range", "downsample_mode") if rules().bounded else ("tensor_stride",)
    options = {**dict(zip(order, args)), **kwargs}
    stride, size = make_ntuple(stride, 3), make_ntuple(kernel_size, 3)
    padding, tensor_stride = (make_ntuple(options.get(*given), 3) for given in (("padding", 0), ("tensor_stride", 1)))
    config = config_of({"downsample_mode": options["downsample_mode"]} if "downsample_mode" in options else None)
    cells = grid_of(coords, tensor_stride)
    return coords_of(map_of(cells, size, stride, padding, options.get("spatial_range"), config).outputs())
