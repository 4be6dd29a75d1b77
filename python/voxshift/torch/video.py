"""Operators on frames with gradients, channels last: what the temporal shift networks are made of."""

from typing import Optional

import torch
from torch.autograd.function import once_differentiable

import voxshift as vs
from voxshift.torch.functional import linear, per_axis
from voxshift.torch.gradients import gradient
from voxshift.torch.images import torch_conv2d
from voxshift.torch.memory import array, tensor_of
from voxshift.torch.precision import WideFunction


class _Conv2d(WideFunction):
    @staticmethod
    def forward(ctx, x, weight, bias, options):
        ctx.save_for_backward(x, weight)
        ctx.options = options
        x, weight, bias = (array("conv2d", name, given) for name, given in (("x", x), ("weight", weight), ("bias", bias)))
        return tensor_of(vs.conv2d(x, weight, bias=bias, **options))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight = (array("conv2d", "x", t) for t in ctx.saved_tensors)
        gradient = array("conv2d", "grad", grad)
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

    bias: float32 [Cout]. Gives [N, H', W', Cout]. Raises ValueError for other shapes, dtypes or options.
    """
    if weight.shape[2:] == (1, 1) and stride == 1 and padding == 0 and groups == 1:
        out = linear(x.reshape(-1, x.shape[-1]), weight.flatten(1)).reshape(*x.shape[:-1], -1)
        return out if bias is None else out + bias
    return _Conv2d.apply(x, weight, bias, {"stride": stride, "padding": padding, "groups": groups})


class _TemporalShift(WideFunction):
    @staticmethod
    def forward(ctx, x, options):
        ctx.options = options
        return tensor_of(vs.temporal_shift(array("temporal_shift", "x", x), **options))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return tensor_of(vs.temporal_shift_backward(array("temporal_shift", "grad", grad), **ctx.options)), None


def temporal_shift(
    x: torch.Tensor, n_segment: int, shift_div: int = 8, bidirectional: bool = True
) -> torch.Tensor:
    """voxshift.temporal_shift of x float32 [N * n_segment, .., C], the frames of each clip one after the other."""
    return _TemporalShift.apply(
        x, {"n_segment": n_segment, "shift_div": shift_div, "bidirectional": bidirectional}
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
