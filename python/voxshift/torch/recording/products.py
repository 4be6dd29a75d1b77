"""Products with weights, and normalisations: of rows, points and images."""

import torch

from voxshift.torch.recording.arithmetic import affine
from voxshift.torch.recording.structure import channels_in_order, image_form
from voxshift.torch.recording.table import Refused, place_of, records
from voxshift.torch.recording.values import Atom, Value


def with_channels(value, name, count, dim, **groups) -> Value:
    """A value whose dimension `dim` is its new channels."""
    dims = list(value.dims)
    dims[dim] = (Atom("c", 1, count),)
    return value.but(name=name, dims=dims, groups={**value.groups, **groups, "c": count})


def in_layout(call, weight, tensor):
    """A weight in the layout of graphs, under its own name."""
    call.recorder.derived(weight, tensor)
    return tensor


def linear_along(call, value, dim, weight, bias) -> Value:
    """weight [Cout, Cin]."""
    dim = place_of(dim, value)
    value = channels_in_order(call, value, dim)
    name = call.node("linear", [value], weight=weight, bias=bias)
    return with_channels(value, name, weight.shape[0], dim)


@records("linear")
def _linear(call, input, weight, bias=None):
    return linear_along(call, image_form(call, call.value(input)), -1, weight, bias)


@records("matmul", "mm", "bmm", "__matmul__")
def _matmul(call, input, other, mat2=None):
    value, matrix = image_form(call, call.value(input)), call.find(other)
    if matrix is None:
        if other.dim() != 2:
            raise Refused("with a constant of three dimensions")
        return linear_along(call, value, -1, in_layout(call, other, other.t()), None)
    if not matrix.is_pooled or not value.is_rows or len(value.dims) != 3 or len(matrix.dims) != 3:
        raise Refused("of values that are not points and a matrix for each cloud")
    value = channels_in_order(call, value, len(value.dims) - 1)
    across = matrix.shape[2]
    wanted = (Atom("c", across, value.channels),), (Atom("c", 1, across),)
    if matrix.dims[1:] != tuple(tuple(a for a in dim if a.size > 1) for dim in wanted):
        raise Refused("with matrices in another layout")
    return with_channels(value, call.node("matmul_clouds", [value, matrix]), across, 2)


@records("addmm")
def _addmm(call, input, mat1, mat2, *, beta=1, alpha=1):
    if beta != 1 or alpha != 1 or call.find(input) is not None or call.find(mat2) is not None:
        raise Refused("of more than rows and weights")
    return linear_along(call, call.value(mat1), -1, in_layout(call, mat2, mat2.t()), input)


def _pointwise(call, value, weight, bias, groups):
    """A convolution of one tap over the rows: the second dimension is the channels."""
    value = channels_in_order(call, value, 1)
    if groups == 1:
        return linear_along(call, value, 1, in_layout(call, weight, weight.flatten(1)), bias)
    rows = in_layout(call, weight, weight.flatten(1).t())
    name = call.node("conv", [value], weight=rows, bias=bias, kernel_size=1, groups=groups)
    return with_channels(value, name, weight.shape[0], 1)


def pair_of(value):
    return [value, value] if isinstance(value, int) else list(value) * (2 // len(value))


@records("conv1d")
def _conv1d(call, input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    value = call.value(input)
    if weight.shape[2] != 1 or stride not in (1, (1,), [1]) or padding not in (0, (0,), [0], "valid", "same"):
        raise Refused("of more than one tap, or with a stride")
    return _pointwise(call, value, weight, bias, groups)


def _padding(padding, weight, dilation):
    if padding == "valid":
        return [0, 0]
    if padding == "same":
        wide = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:])]
        if any(w % 2 for w in wide):
            raise Refused("with padding that differs from side to side")
        return [w // 2 for w in wide]
    return pair_of(padding)


def images(call, x) -> Value:
    """The Value of images [M, C, H, W], its channels in order."""
    return _ordered_images(call, image_form(call, call.value(x)))


def _ordered_images(call, value):
    if value.is_images and len(value.dims) == 4:
        value = channels_in_order(call, value, 1)
        if all(value.dims[i] == value.whole(group) for i, group in enumerate("mchw")):
            return value
    raise Refused("on what are no images [N, C, H, W]")


def new_images(call, value, name) -> Value:
    """The Value of the call's result, images [M, C, H, W]."""
    m, c, h, w = call.result.shape
    dims = [(Atom(group, 1, size),) for group, size in zip("mchw", (m, c, h, w))]
    return value.but(name=name, groups={"m": m, "h": h, "w": w, "c": c}, dims=dims)


@records("conv2d")
def _conv2d(call, input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    value = image_form(call, call.value(input))
    stride, dilation = pair_of(stride), pair_of(dilation)
    padding = _padding(padding, weight, dilation)
    if not value.is_images and list(weight.shape[2:]) == [1, 1] and stride == [1, 1] and padding == [0, 0]:
        return _pointwise(call, value, weight, bias, groups)
    value = _ordered_images(call, value)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return new_images(call, value, call.node("conv2d", [value], weight=weight, bias=bias, **options))


@records("conv_transpose2d")
def _conv_transpose2d(call, input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    value = images(call, input)
    options = {"stride": stride, "padding": padding, "output_padding": output_padding, "dilation": dilation}
    options = {key: pair_of(option) for key, option in options.items()}
    return new_images(
        call, value, call.node("conv_transpose2d", [value], weight=weight, bias=bias, groups=groups, **options)
    )


@records("batch_norm")
def _batch_norm(
    call, input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5, **_
):
    value = image_form(call, call.value(input))
    if training or running_mean is None:
        raise Refused("in training mode")
    value = channels_in_order(call, value, 1)
    tensors = {
        "weight": torch.ones(value.channels) if weight is None else weight,
        "bias": torch.zeros(value.channels) if bias is None else bias,
        "running_mean": running_mean,
        "running_var": running_var,
    }
    return value.but(name=call.node("batch_norm", [value], **tensors, eps=float(eps)))


@records("layer_norm")
def _layer_norm(call, input, normalized_shape, weight=None, bias=None, eps=1e-5, cudnn_enable=True):
    value = image_form(call, call.value(input))
    if len(normalized_shape) != 1:
        raise Refused("over more than one dimension")
    value = channels_in_order(call, value, -1)
    weight = torch.ones(value.channels) if weight is None else weight
    bias = torch.zeros(value.channels) if bias is None else bias
    return value.but(name=call.node("layer_norm", [value], weight=weight, bias=bias, eps=float(eps)))


@records("instance_norm")
def _instance_norm(
    call,
    input,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    use_input_stats=True,
    momentum=0.1,
    eps=1e-5,
):
    value = image_form(call, call.value(input))
    if not use_input_stats:
        scale = (1 if weight is None else weight) / torch.sqrt(running_var + eps)
        return affine(
            call, channels_in_order(call, value, 1), scale, (0 if bias is None else bias) - running_mean * scale
        )
    value = channels_in_order(call, value, 1)
    clouds = value.groups["m"] if value.is_images else value.shape[0]
    if len(value.dims) < 3 or (value.is_rows and value.groups["n"] != clouds * value.shape[2]):
        raise Refused("on what are no images or clouds")
    return value.but(name=call.node("instance_norm", [value], weight=weight, bias=bias, eps=float(eps)))
