"""spconv 1 and mmcv.ops, which is a copy of it: the same names where they mean something else than in spconv 2.

Weights are [*kernel, in, out]. Layers with an indice_key take the first map of that name, whatever their own kernel and
stride, of which they use as many taps as it has (Cylinder3D relies on it), and leave theirs to every tensor that came from
the same input. Kernels of one tap ignore the stride. The taps of submanifold layers start at -(k // 2), so even kernels are
possible and dilated ones lean to one side. SparseSequential changes the features of the tensor it is given.
"""

import math
from typing import Optional, Sequence

import numpy as np
import torch
from torch.nn import init

import voxshift as vs
from voxshift.torch.spconv import conv as _conv
from voxshift.torch.spconv import convolution as _convolution
from voxshift.torch.spconv import core as _core
from voxshift.torch.spconv import modules as _modules
from voxshift.torch.spconv import pool as _pool
from voxshift.torch.spconv.convolution import Size
from voxshift.torch.spconv.core import IndiceData as _IndiceData
from voxshift.torch.spconv.core import Window, scatter_nd
from voxshift.torch.spconv.modules import Identity, RemoveGrid, SparseModule, ToDense, is_sparse_conv, is_spconv_module
from voxshift.torch.spconv.ops import get_conv_output_size, get_deconv_output_size
from voxshift.torch.spconv.voxels import VoxelGenerator, VoxelGeneratorV2


class IndiceData(_IndiceData):
    """As a tuple: (indices of the output, of the input, pairs [K, 2, N], their number [K], extent of the input)."""

    def __iter__(self):
        pairs, count = self.pairs()
        return iter((self.out_indices, self.indices, pairs.transpose(0, 1).contiguous(), count, self.spatial_shape))


class SparseConvTensor(_core.SparseConvTensor):
    """voxshift.torch.spconv.SparseConvTensor, of which features may be set."""

    _checks_dtype = False

    def __init__(
        self,
        features: torch.Tensor,
        indices: torch.Tensor,
        spatial_shape: Sequence[int],
        batch_size: int,
        grid: Optional[torch.Tensor] = None,
    ):
        super().__init__(features, indices, spatial_shape, batch_size, grid)


class SparseConvolution(_convolution.SparseConvolution):
    """voxshift.torch.spconv's convolution with spconv 1's rules."""

    layout = "RSCK"
    data_type = IndiceData

    def __init__(self, *args, fused_bn: bool = False, use_hash: bool = False, **named):
        super().__init__(*args, **named)

    def _is_product(self):
        return math.prod(self.kernel_size) == 1

    def reset_parameters(self) -> None:
        """Uniform numbers as torch gives a tensor of the weight's shape, whose second axis it takes for the channels."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_channels * math.prod(self.kernel_size))
            init.uniform_(self.bias, -bound, bound)

    def _kept(self, maps, data):
        maps[self.indice_key] = data
        return maps

    def _check_reuse(self, x, data):
        self._expect("number of indices", len(data.source), len(x.at_hand))

    def _check_inverse(self, x, data):
        if data is None:
            raise vs.InvalidArgument(f"[spconv] no layer before the inverse one has the indice_key {self.indice_key!r}")
        self._expect("number of taps", math.prod(data.ksize), math.prod(self.kernel_size))
        self._expect("number of indices", len(data.target), len(x.at_hand))

    def window(self) -> Window:
        """Submanifold taps lie at r dilation - k // 2; where that is not around 0, they are some of a wider window's."""
        taps = [[r * d - k // 2 for r in range(k)] for k, d in zip(self.kernel_size, self.dilation)]
        if not self.subm or all(len(axis) % 2 and axis[0] == -axis[-1] for axis in taps):
            return super().window()
        reach = [max(-axis[0], axis[-1]) for axis in taps]
        size = [2 * r + 1 for r in reach]
        grid = np.meshgrid(*([t + r for t in axis] for axis, r in zip(taps, reach)), indexing="ij")
        numbers = np.ravel_multi_index([axis.reshape(-1) for axis in grid], size)
        options = {"kernel_size": size, "dilation": [1] * self.ndim, "stride": [1] * self.ndim, "padding": [0] * self.ndim}
        return Window({**options, "semantics": "floor"}, torch.from_numpy(numbers))


class SparseSequential(_modules.SparseSequential):
    """voxshift.torch.spconv.SparseSequential, which changes the features of the tensor that it is given."""

    def _on_features(self, *how):
        out, x = super()._on_features(*how), how[-1]
        x.take(out)
        return x


class SparseMaxPool(_pool.SparseMaxPool):
    """voxshift.torch.spconv's pool with spconv 1's arguments."""

    def __init__(
        self, ndim: int, kernel_size: Size, stride: Size = 1, padding: Size = 0, dilation: Size = 1, subm: bool = False
    ):
        super().__init__(ndim, kernel_size, stride, padding, dilation, subm=subm)


class SparseMaxPool2d(SparseMaxPool):
    """SparseMaxPool on 2 axes."""

    def __init__(self, kernel_size: Size, stride: Size = 1, padding: Size = 0, dilation: Size = 1):
        super().__init__(2, kernel_size, stride, padding, dilation)


class SparseMaxPool3d(SparseMaxPool):
    """SparseMaxPool on 3 axes."""

    def __init__(self, kernel_size: Size, stride: Size = 1, padding: Size = 0, dilation: Size = 1):
        super().__init__(3, kernel_size, stride, padding, dilation)


def _layer(name):
    """The layer of this name in voxshift.torch.spconv, with spconv 1's rules."""
    of_spconv2 = getattr(_conv, name)
    return type(name, (of_spconv2, SparseConvolution), {"__doc__": of_spconv2.__doc__, "__module__": __name__})


SparseConv1d, SparseConv2d, SparseConv3d, SparseConv4d = (_layer(f"SparseConv{dims}d") for dims in (1, 2, 3, 4))
SubMConv1d, SubMConv2d, SubMConv3d, SubMConv4d = (_layer(f"SubMConv{dims}d") for dims in (1, 2, 3, 4))
SparseConvTranspose2d, SparseConvTranspose3d = (_layer(f"SparseConvTranspose{dims}d") for dims in (2, 3))
SparseInverseConv2d, SparseInverseConv3d = (_layer(f"SparseInverseConv{dims}d") for dims in (2, 3))

__all__ = [
    "Identity",
    "RemoveGrid",
    "SparseConv1d",
    "SparseConv2d",
    "SparseConv3d",
    "SparseConv4d",
    "SparseConvTensor",
    "SparseConvTranspose2d",
    "SparseConvTranspose3d",
    "SparseConvolution",
    "SparseInverseConv2d",
    "SparseInverseConv3d",
    "SparseMaxPool",
    "SparseMaxPool2d",
    "SparseMaxPool3d",
    "SparseModule",
    "SparseSequential",
    "SubMConv1d",
    "SubMConv2d",
    "SubMConv3d",
    "SubMConv4d",
    "ToDense",
    "VoxelGenerator",
    "VoxelGeneratorV2",
    "get_conv_output_size",
    "get_deconv_output_size",
    "is_sparse_conv",
    "is_spconv_module",
    "scatter_nd",
]
