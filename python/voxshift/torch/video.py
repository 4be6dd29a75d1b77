"""Operators on frames with gradients, channels last: what the temporal shift networks are made of."""

from typing import Optional

import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable

import voxshift as vs
from voxshift.torch import precision
from voxshift.torch.functional import full, linear, per_axis
from voxshift.torch.gradients import gradient
from voxshift.torch.images import torch_conv2d
from voxshift.torch.memory import array, tensor_of


class _Conv2d(Function):
    @staticmethod
    def forward(ctx, x, weight, bias, options):
        ctx.save_for_backward(x, weight)
        ctx.options = options
        x = array("conv2d", "x", x, halves=True)
        return tensor_of(vs.conv2d(x, array("conv2d", "weight", weight), bias=array("conv2d", "bias", bias), **options))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight = (array("conv2d", "x", t, halves=True) for t in ctx.saved_tensors)
        gradient = array("conv2d", "grad", grad, halves=True)
        of_bias = vs.sum_rows(gradient.reshape(-1, gradient.shape[-1])) if ctx.needs_input_grad[2] else None
        gradients = vs.conv2d_backward(
            x,
            weight,
            gradient,
            input_gradient=ctx.needs_input_grad[0],
            weight_gradient=ctx.needs_input_grad[1],
            **ctx.options,
        )
        return (*map(tensor_of, gradients), tensor_of(of_bias), None)


def conv2d(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: Optional[torch.Tensor] = None,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
) -> torch.Tensor:
    """Convolution of images float32 [N, H, W, Cin] with weight [Cout, Cin / groups, k, k] as in torch; channels last.

    bias: float32 [Cout]. Gives [N, H', W', Cout]. Within torch.autocast on CUDA images become its dtype. Raises ValueError for
    other shapes, dtypes or options.
    """
    if weight.shape[2:] == (1, 1) and stride == 1 and padding == 0 and groups == 1:
        inside = bias if x.is_cuda else None  # where float32 added to halves would make them float32
        out = linear(x.reshape(-1, x.shape[-1]), weight.flatten(1), inside).reshape(*x.shape[:-1], -1)
        return out if bias is inside else out + bias
    options = {"stride": stride, "padding": padding, "groups": groups}
    return _Conv2d.apply(precision.of_product(x), full(weight), full(bias), options)


class _TemporalShift(Function):
    @staticmethod
    def forward(ctx, x, options):
        ctx.options = options
        return tensor_of(vs.temporal_shift(array("temporal_shift", "x", x, halves=True), **options))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return tensor_of(vs.temporal_shift_backward(array("temporal_shift", "grad", grad, halves=True), **ctx.options)), None


def temporal_shift(
    x: torch.Tensor, n_segment: int, shift_div: int = 8, bidirectional: bool = True
) -> torch.Tensor:
    """voxshift.temporal_shift of x [N * n_segment, .., C], float32 or, on CUDA, halves, the frames of each clip in a row."""
    return _TemporalShift.apply(
        precision.of_rows(x), {"n_segment": n_segment, "shift_div": shift_div, "bidirectional": bidirectional}
    )


@gradient("conv2d", of="images")
def _conv2d_of_images(x, *, stride, padding, dilation, **options):
    strides, paddings, dilations = (set(per_axis(value, 2)) for value in (stride, padding, dilation))
    kernel = options["weight"].shape[2:]
    is_dense = options["groups"] == 1 and max(kernel) > 1 and x.n_segment >= x.images.shape[0]
    if is_dense or len(strides) > 1 or len(paddings) > 1 or dilations != {1} or kernel[0] != kernel[1]:
        return torch_conv2d(x, stride=stride, padding=padding, dilation=dilation, **options)
    return x.with_images(conv2d(x.images, stride=strides.pop(), padding=paddings.pop(), **options))


@gradient("temporal_shift", of="images")
def _shift_of_images(x, **options):
    return x.with_images(temporal_shift(x.images, x.n_segment, **options))


def without_shift(graph):
    """The same graph without its temporal shifts: every frame by itself."""
    shifted = {node["name"]: node["inputs"][0] for node in graph["nodes"] if node["op"] == "temporal_shift"}
    nodes = [
        {**node, "inputs": [shifted.get(name, name) for name in node["inputs"]]}
        for node in graph["nodes"]
        if node["name"] not in shifted
    ]
    return {**graph, "nodes": nodes}
