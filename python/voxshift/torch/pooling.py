"""Pooling of sparse tensors with gradients, as functions and as modules."""

import torch
from torch import nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

import voxshift as vs
from voxshift.torch import precision, recording
from voxshift.torch.expected import expect
from voxshift.torch.functional import Axes, per_axis
from voxshift.torch.gradients import gradient
from voxshift.torch.memory import array, tensor_of
from voxshift.torch.sparse_tensor import SparseTensor

_POOLS = {
    "max_pool": (vs.max_pool, vs.max_pool_backward),
    "avg_pool": (vs.avg_pool, vs.avg_pool_backward),
    "sum_pool": (vs.sum_pool, vs.sum_pool_backward),
}
_GLOBAL_POOLS = {
    "global_max_pool": (vs.global_max_pool, vs.global_max_pool_backward),
    "global_avg_pool": (vs.global_avg_pool, vs.global_avg_pool_backward),
    "global_sum_pool": (vs.global_sum_pool, vs.global_sum_pool_backward),
}
_REDUCE = {"max_pool": "max", "avg_pool": "mean", "sum_pool": "sum"}


class _Pool(Function):
    @staticmethod
    def forward(ctx, feats, coordinates, op, options):
        y = _POOLS[op][0](vs.SparseTensor(coordinates, array(op, "feats", feats, halves=True)), **options)
        ctx.save_for_backward(feats)
        ctx.coordinates, ctx.op, ctx.options = coordinates, op, options
        return tensor_of(y.feats), y.coordinates

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, _):
        x = vs.SparseTensor(ctx.coordinates, array(ctx.op, "feats", ctx.saved_tensors[0], halves=True))
        return tensor_of(_POOLS[ctx.op][1](x, array(ctx.op, "grad", grad, halves=True), **ctx.options)), None, None, None


class _GlobalPool(Function):
    @staticmethod
    def forward(ctx, feats, coordinates, op):
        ctx.save_for_backward(feats)
        ctx.coordinates, ctx.op = coordinates, op
        return tensor_of(_GLOBAL_POOLS[op][0](vs.SparseTensor(coordinates, array(op, "feats", feats, halves=True))))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x = vs.SparseTensor(ctx.coordinates, array(ctx.op, "feats", ctx.saved_tensors[0], halves=True))
        return tensor_of(_GLOBAL_POOLS[ctx.op][1](x, array(ctx.op, "grad", grad, halves=True))), None, None


def _pool(op, x, kernel_size, stride, dilation, padding, semantics):
    options = {
        "kernel_size": kernel_size,
        "stride": stride,
        "dilation": dilation,
        "padding": padding,
        "semantics": semantics,
    }
    expect(op, x, SparseTensor)
    feats, coordinates = _Pool.apply(precision.of_rows(x.feats), x.coordinates, op, options)
    axes = {key: value if key == "semantics" else per_axis(value, x.coordinates.dims) for key, value in options.items()}
    recording.note("pool", (x.feats,), feats, reduce=_REDUCE[op], **axes)
    return x.on(coordinates, feats)


@gradient("pool", of="voxels")
def _pool_of_graph(x, reduce, **window):
    return _pool(next(op for op, how in _REDUCE.items() if how == reduce), x, **window)


def max_pool(
    x: SparseTensor,
    kernel_size: Axes = 2,
    stride: Axes = 2,
    dilation: Axes = 1,
    padding: Axes = 0,
    semantics: str = "floor",
) -> SparseTensor:
    """voxshift.max_pool: channel by channel the maximum of the inputs present in each window.

    The arguments choose coordinates as those of conv3d do, in any number of dimensions. The gradient goes to the input
    that has the maximum, among equal ones to the first in the order of the offsets. Raises ValueError.
    """
    return _pool("max_pool", x, kernel_size, stride, dilation, padding, semantics)


def avg_pool(
    x: SparseTensor,
    kernel_size: Axes = 2,
    stride: Axes = 2,
    dilation: Axes = 1,
    padding: Axes = 0,
    semantics: str = "floor",
) -> SparseTensor:
    """As max_pool, the mean over the inputs present (MinkowskiEngine's and spconv's average pooling)."""
    return _pool("avg_pool", x, kernel_size, stride, dilation, padding, semantics)


def sum_pool(
    x: SparseTensor,
    kernel_size: Axes = 2,
    stride: Axes = 2,
    dilation: Axes = 1,
    padding: Axes = 0,
    semantics: str = "floor",
) -> SparseTensor:
    """As max_pool, the sum over the inputs present."""
    return _pool("sum_pool", x, kernel_size, stride, dilation, padding, semantics)


def _global_pool(op, x):
    expect(op, x, SparseTensor)
    feats = _GlobalPool.apply(precision.of_rows(x.feats), x.coordinates, op)
    recording.note(op.removeprefix("global_"), (x.feats,), feats)
    return feats


def global_max_pool(x: SparseTensor) -> torch.Tensor:
    """Maximum over all rows of each batch, float32 [B, C]; 0 for a batch without rows."""
    return _global_pool("global_max_pool", x)


def global_avg_pool(x: SparseTensor) -> torch.Tensor:
    """Mean over all rows of each batch, float32 [B, C]; 0 for a batch without rows."""
    return _global_pool("global_avg_pool", x)


def global_sum_pool(x: SparseTensor) -> torch.Tensor:
    """Sum over all rows of each batch, float32 [B, C]; 0 for a batch without rows."""
    return _global_pool("global_sum_pool", x)


class _PoolModule(nn.Module):
    pool = None

    def __init__(
        self,
        kernel_size: Axes = 2,
        stride: Axes = 2,
        padding: Axes = 0,
        dilation: Axes = 1,
        semantics: str = "floor",
    ):
        super().__init__()
        self.kernel_size, self.stride, self.padding, self.dilation = kernel_size, stride, padding, dilation
        self.semantics = semantics

    def forward(self, x: SparseTensor) -> SparseTensor:
        return type(self).pool(x, self.kernel_size, self.stride, self.dilation, self.padding, self.semantics)

    def extra_repr(self):
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}"


class MaxPool3d(_PoolModule):
    """max_pool as a module. Takes and gives a SparseTensor."""

    pool = staticmethod(max_pool)


class AvgPool3d(_PoolModule):
    """avg_pool as a module. Takes and gives a SparseTensor."""

    pool = staticmethod(avg_pool)


class SumPool3d(_PoolModule):
    """sum_pool as a module. Takes and gives a SparseTensor."""

    pool = staticmethod(sum_pool)


class GlobalMaxPool(nn.Module):
    """global_max_pool as a module: SparseTensor -> float32 [B, C]."""

    def forward(self, x: SparseTensor) -> torch.Tensor:
        return global_max_pool(x)


class GlobalAvgPool(nn.Module):
    """global_avg_pool as a module: SparseTensor -> float32 [B, C]."""

    def forward(self, x: SparseTensor) -> torch.Tensor:
        return global_avg_pool(x)
