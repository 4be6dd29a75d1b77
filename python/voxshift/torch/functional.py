"""Operators with gradients on torch tensors.

Each runs the voxshift operator of its name and, going back, its `_backward`; memory is shared, not copied. Sums of
gradients on a CUDA device are the library's, too: torch's index_add, scatter_add and index_put add in no fixed order there.
Gradients of gradients are not defined.
"""

import functools
from typing import TYPE_CHECKING, List, Optional, Sequence, Tuple, Union

import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable

import voxshift as vs
from voxshift.torch import precision, recording
from voxshift.torch.gradients import OPS, gradient, gradient_of
from voxshift.torch.memory import array, tensor_of

if TYPE_CHECKING:
    from voxshift.torch.sparse_tensor import SparseTensor

Axes = Union[int, Sequence[int]]

_CONVS = {
    "conv": (vs.conv, vs.conv_backward),
    "conv_transpose": (vs.conv_transpose, vs.conv_transpose_backward),
    "generative_conv_transpose": (vs.generative_conv_transpose, vs.generative_conv_transpose_backward),
}


class _Conv(Function):
    """Gives feats back as well: its gradient from other uses is added where that by this one is made."""

    @staticmethod
    def forward(ctx, feats, weight, bias, coordinates, op, options):
        x = vs.SparseTensor(coordinates, array(op, "feats", feats, halves=True))
        y = _CONVS[op][0](x, array(op, "weight", weight), bias=array(op, "bias", bias), **options)
        ctx.save_for_backward(feats, weight)
        ctx.set_materialize_grads(False)
        ctx.coordinates, ctx.op, ctx.options = coordinates, op, options
        return tensor_of(y.feats), y.coordinates, feats

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, _, others):
        if grad is None:
            return others, None, None, None, None, None
        feats, weight = ctx.saved_tensors
        needs_feats, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        gradient = array(ctx.op, "grad", grad, halves=True)
        of_feats, of_weight = None, None
        if needs_feats or needs_weight:
            x = vs.SparseTensor(ctx.coordinates, array(ctx.op, "feats", feats, halves=True))
            of_feats, of_weight = _CONVS[ctx.op][1](
                x,
                array(ctx.op, "weight", weight),
                gradient,
                input_gradient=needs_feats,
                weight_gradient=needs_weight,
                added=array(ctx.op, "grad", others, halves=True),
                **ctx.options,
            )
        of_bias = vs.sum_rows(gradient) if needs_bias else None
        return tensor_of(of_feats), tensor_of(of_weight), tensor_of(of_bias), None, None, None


def conv3d(
    x: "SparseTensor",
    weight: torch.Tensor,
    bias: Optional[torch.Tensor] = None,
    kernel_size: Axes = 3,
    stride: Axes = 1,
    dilation: Axes = 1,
    padding: Axes = 0,
    semantics: str = "floor",
    op: str = "conv",
    output_padding: Axes = 0,
) -> "SparseTensor":
    """voxshift.conv of a SparseTensor, or with op="conv_transpose" or "generative_conv_transpose" of that name.

    weight: float32 [K, Cin, Cout], or [Cin, Cout] where K is 1. bias: float32 [Cout]. In any number of dimensions, as
    the other arguments and the result are voxshift's. Within torch.autocast on CUDA features become its dtype. Raises
    ValueError for wrong shapes, dtypes or options.
    """
    options = {"kernel_size": kernel_size, "stride": stride, "dilation": dilation, "padding": padding}
    return conv3d_and_input(x, weight, bias, **options, semantics=semantics, op=op, output_padding=output_padding)[0]


def conv3d_and_input(
    x: "SparseTensor", weight, bias=None, *, kernel_size, stride, dilation, padding, semantics, op, output_padding=0
) -> Tuple["SparseTensor", "SparseTensor"]:
    """conv3d's result, and x for its later uses: their gradient is added to conv3d's own without a pass for the sum."""
    given = weight
    if weight.dim() == 2:
        weight = weight.unsqueeze(0)
    window = {"kernel_size": kernel_size, "stride": stride, "dilation": dilation, "padding": padding}
    if op == "generative_conv_transpose":
        window["output_padding"] = output_padding
    options = {**window, "semantics": semantics}
    rows = precision.of_product(x.feats)
    feats, coordinates, again = _Conv.apply(rows, full(weight), full(bias), x.coordinates, op, options)
    axes = {key: per_axis(value, x.coordinates.dims) for key, value in window.items()}
    recording.note(op, (x.feats,), feats, weight=given, bias=bias, semantics=semantics, **axes)
    return x.on(coordinates, feats), x.with_feats(again) if x.feats.requires_grad and rows is x.feats else x


def inferred_conv(
    x: "SparseTensor", weight: torch.Tensor, bias: torch.Tensor, activation: Optional[str], *, op: str, **options
) -> "SparseTensor":
    """conv3d without gradients and recordings, with an activation in the same pass."""
    given = vs.SparseTensor(x.coordinates, array(op, "feats", precision.of_product(x.feats), halves=True))
    operands = (given, array(op, "weight", full(weight)))
    y = _CONVS[op][0](*operands, bias=array(op, "bias", full(bias)), activation=activation, **options)
    return x.on(y.coordinates, tensor_of(y.feats))


def inferred_product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, activation: Optional[str]) -> torch.Tensor:
    """product without gradients and recordings, with an activation in the same pass."""
    x = array("linear", "x", precision.of_product(x), halves=True)
    weight, bias = (array("linear", "weight", full(tensor)) for tensor in (weight, bias))
    return tensor_of(vs.linear(x, weight, bias=bias, activation=activation))


def full(parameter):
    """A weight or bias as operators take it, float32 whatever the dtype of the features; None stays None."""
    return parameter if parameter is None or parameter.dtype not in precision.HALVES else parameter.float()


def per_axis(value: Axes, dims: int) -> List[int]:
    """The value of each of `dims` axes, from one for all or one per axis."""
    return [value] * dims if isinstance(value, int) else list(value)


class _Cat(Function):
    @staticmethod
    def forward(ctx, coordinates, *feats):
        ctx.channels = [f.shape[1] for f in feats]
        return tensor_of(vs.cat([vs.SparseTensor(coordinates, array("cat", "feats", f, halves=True)) for f in feats]).feats)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return (None, *grad.split(ctx.channels, dim=1))


def cat(feats: Sequence[torch.Tensor], coordinates: vs.Coordinates) -> torch.Tensor:
    """Channels side by side, [N, sum C], of features [N, C] that all belong to the coordinates, of the widest of their dtypes."""
    widest = functools.reduce(torch.promote_types, (f.dtype for f in feats))
    out = _Cat.apply(coordinates, *(precision.of_rows(f.to(widest)) for f in feats))
    recording.note("cat", tuple(feats), out)
    return out


class _Linear(Function):
    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return tensor_of(
            vs.linear(
                array("linear", "x", x, halves=True),
                array("linear", "weight", weight.t()),
                bias=array("linear", "bias", bias),
            )
        )

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        gradient = array("linear", "grad", grad, halves=True)
        of_x, of_weight = vs.linear_backward(
            array("linear", "x", x, halves=True),
            array("linear", "weight", weight.t()),
            gradient,
            input_gradient=ctx.needs_input_grad[0],
            weight_gradient=ctx.needs_input_grad[1],
        )
        of_bias = vs.sum_rows(gradient) if ctx.needs_input_grad[2] else None
        return tensor_of(of_x), None if of_weight is None else tensor_of(of_weight).t(), tensor_of(of_bias)


@gradient("linear", of="rows")
def linear(x: torch.Tensor, weight: torch.Tensor, bias: Optional[torch.Tensor] = None) -> torch.Tensor:
    """x W^T + bias: x float32 [N, Cin], weight float32 [Cout, Cin] as in torch, bias float32 [Cout]; autocast as in conv3d."""
    out = _Linear.apply(precision.of_product(x), full(weight), full(bias))
    recording.note("linear", (x,), out, weight=weight, bias=bias)
    return out


def product(x: torch.Tensor, weight: torch.Tensor, bias: Optional[torch.Tensor], dims: int) -> torch.Tensor:
    """x W + bias: a convolution of one tap on any rows x float32 [N, Cin]; weight float32 [Cin, Cout]. dims: axes of its window."""
    out = _Linear.apply(precision.of_product(x), full(weight).t(), full(bias))
    window = {"kernel_size": [1] * dims, "stride": [1] * dims, "dilation": [1] * dims, "padding": [0] * dims}
    recording.note("conv", (x,), out, weight=weight, bias=bias, semantics="floor", **window)
    return out


class _BatchNorm(Function):
    @staticmethod
    def forward(ctx, x, weight, bias, residual, eps, activation, slope):
        op = "batch_norm"
        out, mean, variance = map(
            tensor_of,
            vs.batch_norm(
                array(op, "x", x, halves=True),
                array(op, "weight", weight),
                array(op, "bias", bias),
                eps=eps,
                residual=array(op, "residual", residual, halves=True),
                activation=activation,
                negative_slope=slope,
            ),
        )
        # Only an activation's derivative after a residual needs the result; else it may be changed in place, as by
        # ReLU(True).
        kept = bias if residual is None else out if activation else x
        ctx.save_for_backward(x, weight, kept, mean, variance)
        ctx.options, ctx.has_residual = (eps, activation, slope), residual is not None
        ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, _mean, _variance):
        x, weight, kept, mean, variance = (array("batch_norm", "x", t, halves=True) for t in ctx.saved_tensors)
        eps, activation, slope = ctx.options
        gradients = vs.batch_norm_backward(
            x,
            kept if ctx.has_residual else None,
            array("batch_norm", "grad", grad, halves=True),
            mean,
            variance,
            weight,
            eps=eps,
            activation=activation,
            negative_slope=slope,
            residual_gradient=ctx.needs_input_grad[3],
            bias=None if ctx.has_residual else kept,
        )
        return (*map(tensor_of, gradients), None, None, None)


def batch_norm(
    x: torch.Tensor,
    running_mean: torch.Tensor,
    running_var: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    residual: Optional[torch.Tensor] = None,
    activation: Optional[str] = None,
    negative_slope: float = 0.01,
) -> torch.Tensor:
    """act(norm(x) + residual) for x float32 [N, C], or half on CUDA, with torch.nn.functional.batch_norm's arguments.

    In training the statistics are those of all rows, and the running ones follow them (the variance unbiased); else the
    running ones are used. activation: None, "relu", "relu6" or "leaky_relu" with negative_slope. Raises ValueError for
    one row in training; no row leaves the running statistics as they are.
    """
    if training:
        if x.shape[0] == 1:
            raise vs.InvalidArgument(
                "[batch_norm] expects more than one row in training, found 1: train on larger inputs, or call .eval()"
            )
        rows = precision.of_rows(x)
        other = None if residual is None else residual.to(rows.dtype)
        out, mean, variance = _BatchNorm.apply(rows, full(weight), full(bias), other, eps, activation, negative_slope)
        with torch.no_grad():
            if rows := x.shape[0]:
                running_mean.lerp_(mean, momentum)
                running_var.lerp_(variance * (rows / (rows - 1)), momentum)
        recording.refuse("batch_norm in training mode", out)
        return out
    scale = weight * torch.rsqrt(running_var + eps)
    out = torch.addcmul(bias - running_mean * scale, x, scale).to(x.dtype)
    if residual is not None:
        out = out + residual
    out = activate(out, activation, negative_slope)
    roles = {"weight": weight, "bias": bias, "running_mean": running_mean, "running_var": running_var}
    last = out if residual is None and activation is None else None
    name = recording.note("batch_norm", (x,), last, **roles, eps=eps)
    if residual is not None:
        name = recording.note("add", (name, residual), None if activation else out)
    if activation is not None:
        recording.note(activation, (name,), out, **_slope_of(activation, negative_slope))
    return out


@gradient("batch_norm", of="rows")
def _batch_norm_and_sum(x, residual=None, **options):
    return batch_norm(x, residual=residual, **options)


ACTIVATIONS = ("relu", "relu6", "leaky_relu")  # those that batch_norm applies in the same pass

gradient("relu", of="rows")(lambda x: torch.relu(x))
gradient("relu6", of="rows")(lambda x: torch.nn.functional.relu6(x))
gradient("leaky_relu", of="rows")(lambda x, slope: torch.nn.functional.leaky_relu(x, slope))
gradient("sigmoid", of="rows")(lambda x: torch.sigmoid(x))
gradient("add", of="rows")(lambda a, b: a + b)
gradient("subtract", of="rows")(lambda a, b: a - b)
gradient("multiply", of="rows")(lambda a, b: a * b)
gradient("clip", of="rows")(lambda x, lowest, highest: x.clamp(lowest, highest))
gradient("cat", of="rows")(lambda *feats: torch.cat(feats, 1))
gradient("columns", of="rows")(lambda x, first, count: x[:, first : first + count])


def _slope_of(activation, negative_slope):
    return {"slope": negative_slope} if "slope" in OPS[activation]["attributes"] else {}


def activate(x: torch.Tensor, activation: Optional[str], negative_slope: float) -> torch.Tensor:
    """The activation of this name; None is the identity."""
    if activation is None:
        return x
    return gradient_of(activation).function(x, **_slope_of(activation, negative_slope))
