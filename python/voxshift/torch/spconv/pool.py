"""Pooling: spconv.pytorch.pool."""

from typing import Optional, Sequence, Union

import torch

import voxshift as vs
from voxshift.torch import pooling
from voxshift.torch.expected import expect
from voxshift.torch.ordered import Cells, Features
from voxshift.torch.sparse_tensor import SparseTensor
from voxshift.torch.spconv.algo import ConvAlgo
from voxshift.torch.spconv.core import IndiceData, SparseConvTensor, Window, as_given, expand_nd, operand
from voxshift.torch.spconv.modules import SparseModule
from voxshift.torch.spconv.ops import get_conv_output_size, maximum_value_int_

Size = Union[int, Sequence[int]]


class _SparsePool(SparseModule):
    """Of the rows present under a window. stride=None: the kernel's. subm: at the input's own indices, windows around them."""

    pool = None

    def __init__(
        self,
        ndim: int,
        kernel_size: Size = 3,
        stride: Optional[Size] = 1,
        padding: Size = 0,
        dilation: Size = 1,
        indice_key: Optional[str] = None,
        subm: bool = False,
        algo: Optional[ConvAlgo] = None,
        record_voxel_count: bool = False,
        name: Optional[str] = None,
    ):
        super().__init__(name=name)
        self.ndim = ndim
        self.kernel_size = expand_nd(ndim, kernel_size)
        self.stride = list(self.kernel_size) if stride is None else expand_nd(ndim, stride)
        self.padding, self.dilation = expand_nd(ndim, padding), expand_nd(ndim, dilation)
        self.indice_key, self.subm, self.algo = indice_key, subm, algo or ConvAlgo.Native
        self.record_voxel_count = record_voxel_count
        if record_voxel_count and not subm:
            self.register_buffer("max_num_voxels_during_training", torch.zeros(1, dtype=torch.int32))

    def get_max_num_voxels(self) -> Optional[torch.Tensor]:
        """int32 [1]: the most rows that the layer has given, None unless record_voxel_count."""
        return getattr(self, "max_num_voxels_during_training", None)

    def window(self) -> Window:
        """Which taps meet which rows."""
        window = {"kernel_size": self.kernel_size, "dilation": self.dilation}
        if self.subm:
            return Window({**window, "stride": [1] * self.ndim, "padding": [0] * self.ndim, "semantics": "floor"})
        return Window({**window, "stride": self.stride, "padding": self.padding, "semantics": "bounded"})

    def forward(self, input: SparseConvTensor) -> SparseConvTensor:
        expect("spconv", input, SparseConvTensor)
        if self.indice_key is not None and input.find_indice_pair(self.indice_key) is not None:
            raise vs.InvalidArgument(f"[spconv] indice_key {self.indice_key!r} is of another layer")
        rows = input.rows()
        given = rows.sorted
        tensor = SparseTensor._of(rows.cells.coordinates, operand(given))
        out = self._pooled(tensor)
        shape = input.spatial_shape
        if not self.subm:
            shape = get_conv_output_size(shape, self.kernel_size, self.stride, self.padding, self.dilation)
        target = rows.cells if self.subm else Cells.of(out.coordinates)
        made = input._with(Features(target, sorted=as_given(out.feats, given)), shape)
        if self.indice_key is not None:
            data = IndiceData(self, rows.cells, target, (input.spatial_shape, shape))
            made.indice_dict = {**input.indice_dict, self.indice_key: data}
        if (most := self.get_max_num_voxels()) is not None:
            maximum_value_int_(most, len(out.feats))
        return made

    def _pooled(self, x):
        return type(self).pool(x, **self.window().options)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}"


class SparseMaxPool(_SparsePool):
    """The maximum, channel by channel, of 0 and the rows under a window: spconv's maxima begin at 0."""

    pool = staticmethod(pooling.max_pool)

    def _pooled(self, x):
        out = super()._pooled(x)
        return out.with_feats(torch.relu(out.feats))


class SparseAvgPool(_SparsePool):
    """The mean of the rows under a window: over those present, not over the window's taps.

    The gradient is the mean's; spconv 2.3 multiplies it by the rows present where it should divide.
    """

    pool = staticmethod(pooling.avg_pool)


class SparseGlobalMaxOrAvgPool(SparseModule):
    """SparseConvTensor -> float32 [batch_size, C]: over all rows of each batch; 0 for a batch without rows."""

    def __init__(self, is_mean: bool, name: Optional[str] = None):
        super().__init__(name=name)
        self.is_mean = is_mean

    def forward(self, input: SparseConvTensor) -> torch.Tensor:
        expect("spconv", input, SparseConvTensor)
        rows = input.rows()
        tensor = SparseTensor._of(rows.cells.coordinates, operand(rows.sorted))
        out = (pooling.global_avg_pool if self.is_mean else pooling.global_max_pool)(tensor)
        missing = input.batch_size - len(out)
        if missing > 0:
            out = torch.cat([out, out.new_zeros(missing, out.shape[1])])
        return as_given(out, rows.sorted)


class SparseGlobalMaxPool(SparseGlobalMaxOrAvgPool):
    """The maximum, channel by channel, of all rows of each batch: [batch_size, C]; 0 for a batch without rows."""

    def __init__(self, name: Optional[str] = None):
        super().__init__(False, name)


class SparseGlobalAvgPool(SparseGlobalMaxOrAvgPool):
    """The mean of all rows of each batch: [batch_size, C]; 0 for a batch without rows. spconv 2.3 gives the first channel's."""

    def __init__(self, name: Optional[str] = None):
        super().__init__(True, name)


class _OfDims:
    dims = 0

    def __init__(
        self,
        kernel_size: Size,
        stride: Optional[Size] = None,
        padding: Size = 0,
        dilation: Size = 1,
        indice_key: Optional[str] = None,
        algo: Optional[ConvAlgo] = None,
        record_voxel_count: bool = False,
        name: Optional[str] = None,
    ):
        super().__init__(  # type: ignore[call-arg]  # of the class beside it
            self.dims,
            kernel_size,
            stride,
            padding,
            dilation,
            indice_key=indice_key,
            algo=algo,
            record_voxel_count=record_voxel_count,
            name=name,
        )


class SparseMaxPool1d(_OfDims, SparseMaxPool):
    """SparseMaxPool on 1 axis."""

    dims = 1


class SparseMaxPool2d(_OfDims, SparseMaxPool):
    """SparseMaxPool on 2 axes."""

    dims = 2


class SparseMaxPool3d(_OfDims, SparseMaxPool):
    """SparseMaxPool on 3 axes."""

    dims = 3


class SparseMaxPool4d(_OfDims, SparseMaxPool):
    """SparseMaxPool on 4 axes."""

    dims = 4


class SparseAvgPool1d(_OfDims, SparseAvgPool):
    """SparseAvgPool on 1 axis."""

    dims = 1


class SparseAvgPool2d(_OfDims, SparseAvgPool):
    """SparseAvgPool on 2 axes."""

    dims = 2


class SparseAvgPool3d(_OfDims, SparseAvgPool):
    """SparseAvgPool on 3 axes."""

    dims = 3


class SparseAvgPool4d(_OfDims, SparseAvgPool):
    """SparseAvgPool on 4 axes."""

    dims = 4
