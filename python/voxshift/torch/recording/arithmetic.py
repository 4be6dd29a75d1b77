"""Numbers one by one: activations, arithmetic of two values, and of values and constants."""

import torch

from voxshift.torch.recording.structure import channels_in_order, image_form
from voxshift.torch.recording.table import Refused, place_of, records
from voxshift.torch.recording.values import REPEATED, Atom, Value, merged


def mapped(call, value, op, **attributes) -> Value:
    """A function of every number."""
    value = image_form(call, value)  # the zeros between voxels are numbers as well
    return value.but(name=call.node(op, [value], **attributes))


def affine(call, value, scale=None, shift=None) -> Value:
    """scale * x + shift, channel by channel; both float32 [C] or None."""
    channels = value.channels
    if (scale is None or (scale == 1).all()) and (shift is None or (shift == 0).all()):
        return value
    value = image_form(call, value) if shift is not None else value
    tensors = {
        "weight": torch.ones(channels) if scale is None else scale,
        "bias": torch.zeros(channels) if shift is None else shift,
        "running_mean": torch.zeros(channels),
        "running_var": torch.ones(channels),
    }
    return value.but(name=call.node("batch_norm", [value], **tensors, eps=0.0))


def per_channel(call, constant, value) -> torch.Tensor:
    """float32 [C] of a number or a tensor that is to be spread over a value's tensor."""
    tensor = torch.as_tensor(constant)
    shape = value.shape
    if tensor.numel() == 1 and tensor.dim() <= len(shape):
        return tensor.detach().reshape(1).float().expand(value.channels).contiguous()
    try:
        spread = tensor.detach().float().expand(shape)
    except RuntimeError:
        raise Refused(f"with a constant {list(tensor.shape)}, larger than the value") from None
    if list(tensor.shape) == [value.channels] and value.is_channels(len(shape) - 1):
        return tensor
    atoms = [atom for dim in value.dims for atom in dim]
    spread = spread.reshape([atom.size for atom in atoms])
    for axis, atom in enumerate(atoms):
        if atom.group != "c":
            first = spread.narrow(axis, 0, 1)
            if not torch.equal(first.expand_as(spread), spread):
                raise Refused("with constants that differ from row to row")
            spread = first
    places = torch.zeros([1] * len(atoms), dtype=torch.long)
    for axis, atom in enumerate(atoms):
        if atom.group == "c":
            index = torch.arange(atom.size) * atom.stride
            places = places + index.reshape([-1 if i == axis else 1 for i in range(len(atoms))])
    result = torch.empty(value.channels)
    result[places.reshape(-1)] = spread.reshape(-1)
    call.recorder.derived(tensor, result)
    return result


def spread(call, value, like) -> str:
    """The name of a value on the rows and channels of `like`, whose tensor is at least as large in every dimension."""
    dims = ((),) * (len(like.dims) - len(value.dims)) + value.dims
    clouds = value.groups.get("m", 1)
    pooled = value.is_pooled and not like.is_pooled
    if not pooled and {k: v for k, v in value.groups.items() if k != "c"} != {
        k: v for k, v in like.groups.items() if k != "c"
    }:
        raise Refused("of values on other rows")
    if value.channels not in (1, like.channels) or like.has_repeats():
        raise Refused("of values with other channels")
    for own, others in zip(dims, like.dims):
        expected = []
        for atom in others:
            if atom.group == "c" and value.channels == 1:
                continue
            if not pooled or atom.group in ("m", "c"):
                expected.append(atom)
            elif atom.group == "n" and clouds > 1:
                rows = like.groups["n"] // clouds
                if atom.stride % rows == 0:
                    expected.append(Atom("m", atom.stride // rows, atom.size))
                elif atom.stride * atom.size > rows:
                    raise Refused("of values on other rows")
        if merged([atom for atom in own if atom.group != REPEATED]) != merged(expected):
            raise Refused("of values whose elements lie in another order")
    name = value.name
    if value.channels != like.channels:
        name = call.node("linear", [name], weight=torch.ones(like.channels, 1))
    return call.node("broadcast", [name, like]) if pooled else name


def same_elements(a, b) -> bool:
    """Whether tensors of two values have the same rows and channels at the same places."""
    return a.groups == b.groups and a.dims == b.dims and not a.has_repeats()


def in_order(call, value) -> Value:
    """The value with its channels in order, if one dimension has all of them in another."""
    dims = value.dims_of("c")
    is_alone = len(dims) == 1 and all(atom.group == "c" for atom in value.dims[dims[0]])
    return channels_in_order(call, value, dims[0]) if is_alone else value


def larger(a, b):
    """The one that the other is spread over."""
    return (
        b if (a.is_pooled, a.channels) != (b.is_pooled, b.channels) and (a.is_pooled or a.channels < b.channels) else a
    )


def paired(call, a, b) -> tuple:
    """(name of a, name of b, the Value whose elements both have)."""
    a, b = image_form(call, a), image_form(call, b)
    if same_elements(a, b):
        return a.name, b.name, a
    a, b = in_order(call, a), in_order(call, b)
    if same_elements(a, b):
        return a.name, b.name, a
    like = larger(a, b)
    if like is a:
        return a.name, spread(call, b, a), a
    return spread(call, a, b), b.name, b


def _add(call, a, b, alpha=1, sign=1):
    left, right = call.find(a), call.find(b)
    if left is None or right is None:
        value, constant = (left, b) if right is None else (right, a)
        factor = alpha * sign if right is None else 1
        shift = per_channel(call, constant, value)
        negated = None if right is None or alpha * sign == 1 else torch.full((value.channels,), float(alpha * sign))
        return affine(call, value, negated, shift if factor == 1 else shift * factor)
    if alpha != 1:
        right = affine(call, right, torch.full((right.channels,), float(alpha)))
    first, second, like = paired(call, left, right)
    return like.but(name=call.node("add" if sign == 1 else "subtract", [first, second]))


@records("add", "add_", "__add__", "__radd__", "__iadd__")
def _sum(call, input, other, *, alpha=1):
    return _add(call, input, other, alpha)


@records("sub", "sub_", "subtract", "subtract_", "__sub__", "__isub__")
def _difference(call, input, other, *, alpha=1):
    return _add(call, input, other, alpha, -1)


@records("__rsub__", "rsub")
def _reversed_difference(call, input, other, *, alpha=1):
    return _add(call, other, input, alpha, -1)


@records("mul", "mul_", "multiply", "multiply_", "__mul__", "__rmul__", "__imul__")
def _product(call, input, other):
    left, right = call.find(input), call.find(other)
    if left is None or right is None:
        value, constant = (left, other) if right is None else (right, input)
        return affine(call, value, per_channel(call, constant, value))
    left, right = image_form(call, left), image_form(call, right)
    if left.is_pooled and not right.is_pooled:
        left, right = right, left
    if right.is_pooled and left.is_images and left.channels == right.channels:
        spread(call, right, left)  # is refused where they do not fit; what it adds is not needed
        return left.but(name=call.node("scale", [left, right]))
    first, second, like = paired(call, left, right)
    return like.but(name=call.node("multiply", [first, second]))


def inverse(call, value):
    return mapped(call, value, "power", exponent=-1.0)


@records("div", "div_", "divide", "true_divide", "__truediv__", "__div__", "__idiv__", "__itruediv__")
def _quotient(call, input, other, *, rounding_mode=None):
    if rounding_mode is not None:
        raise Refused("with a rounding mode")
    left, right = call.find(input), call.find(other)
    if right is None:
        return affine(call, left, 1 / per_channel(call, other, left))
    if left is None:
        over = inverse(call, right)
        return affine(call, over, per_channel(call, input, over))
    if right.norm_of == left.name:
        return left.but(name=call.node("l2_normalize", [left], eps=0.0))
    return _product(_Both(call, left, inverse(call, right)), 0, 1)


class _Both:
    """A call whose arguments 0 and 1 are these values."""

    def __init__(self, call, first, second):
        self.node, self.recorder, self.find = call.node, call.recorder, (first, second).__getitem__


@records("__rdiv__", "__rtruediv__")
def _reversed_quotient(call, input, other):
    return _quotient(call, other, input)


@records("neg", "neg_", "negative", "__neg__")
def _negative(call, input):
    value = call.value(input)
    return affine(call, value, torch.full((value.channels,), -1.0))


@records("pow", "pow_", "__pow__", "__ipow__")
def _power(call, input, exponent):
    value = call.value(input)
    if isinstance(exponent, torch.Tensor):
        if call.find(exponent) is not None or exponent.numel() != 1:
            raise Refused("with an exponent that is no number")
        exponent = exponent.item()
    return value if exponent == 1 else mapped(call, value, "power", exponent=float(exponent))


for _names, _exponent in {
    ("sqrt", "sqrt_"): 0.5,
    ("rsqrt", "rsqrt_"): -0.5,
    ("reciprocal",): -1,
    ("square",): 2,
}.items():
    records(*_names)(
        lambda call, input, exponent=float(_exponent): mapped(call, call.value(input), "power", exponent=exponent)
    )


@records("clamp", "clamp_", "clip", "clip_")
def _clamp(call, input, min=None, max=None):
    limits = {"lowest": min, "highest": max}
    limits = {key: float(limit) for key, limit in limits.items() if limit is not None}
    return mapped(call, call.value(input), "clip", **limits)


records("clamp_min", "clamp_min_")(lambda call, input, min: _clamp(call, input, min))
records("clamp_max", "clamp_max_")(lambda call, input, max: _clamp(call, input, None, max))


@records("hardtanh", "hardtanh_")
def _hardtanh(call, input, min_val=-1.0, max_val=1.0, inplace=False):
    value = call.value(input)
    return mapped(call, value, "relu6") if (min_val, max_val) == (0, 6) else _clamp(call, input, min_val, max_val)


def _activation(op, *names):
    records(*names)(lambda call, input, inplace=False: mapped(call, call.value(input), op))


_activation("relu", "relu", "relu_")
_activation("relu6", "relu6")
_activation("sigmoid", "sigmoid", "sigmoid_")
_activation("tanh", "tanh", "tanh_")
_activation("silu", "silu")
_activation("hard_swish", "hardswish")
_activation("hard_sigmoid", "hardsigmoid")


@records("leaky_relu", "leaky_relu_")
def _leaky_relu(call, input, negative_slope=0.01, inplace=False):
    return mapped(call, call.value(input), "leaky_relu", slope=float(negative_slope))


@records("elu", "elu_")
def _elu(call, input, alpha=1.0, inplace=False):
    return mapped(call, call.value(input), "elu", alpha=float(alpha))


@records("gelu")
def _gelu(call, input, approximate="none"):
    return mapped(call, call.value(input), "gelu", approximate=approximate)


@records("prelu")
def _prelu(call, input, weight):
    value = image_form(call, call.value(input))
    if weight.numel() > 1 and (len(value.dims) < 2 or not value.is_channels(1)):
        raise Refused("with channels that are not the second dimension")
    return value.but(name=call.node("prelu", [value], weight=weight))


@records("abs", "abs_", "absolute")
def _absolute(call, input):
    return absolute(call, image_form(call, call.value(input)))


def absolute(call, value) -> Value:
    minus = affine(call, value, torch.full((value.channels,), -1.0))
    halves = [mapped(call, half, "relu") for half in (value, minus)]
    return value.but(name=call.node("add", halves))


@records("softmax", "log_softmax")
def _softmax(call, input, dim=None, _stacklevel=3, dtype=None):
    value = image_form(call, call.value(input))
    if dim is None or dtype not in (None, torch.float32) or not value.is_channels(place_of(dim, value)):
        raise Refused("along what are not the channels")
    return value.but(name=call.node(call.function, [value]))


def sum_of_channels(call, value, mean=False) -> str:
    """The name of one channel [.., 1]."""
    count = value.channels
    return call.node("linear", [value], weight=torch.full((1, count), 1 / count if mean else 1.0))


@records("norm", "linalg_norm", "linalg_vector_norm", "vector_norm")
def _norm(call, input, p="fro", dim=None, keepdim=False, out=None, dtype=None, ord=None):
    from voxshift.torch.recording.reductions import without

    value = image_form(call, call.value(input))
    dim = dim[0] if isinstance(dim, (list, tuple)) and len(dim) == 1 else dim
    if p not in ("fro", 2, None) or ord not in (2, None) or not isinstance(dim, int):
        raise Refused("that is no length of rows")
    if not value.is_channels(place_of(dim, value)):
        raise Refused("along what are not the channels")
    squares = value.but(name=call.node("multiply", [value, value]))
    length = call.node("power", [sum_of_channels(call, squares)], exponent=0.5)
    result = without(value, [place_of(dim, value)], keepdim).but(name=length, groups={**value.groups, "c": 1})
    result.norm_of = value.name if keepdim else None
    return result


@records("normalize")
def _normalize(call, input, p=2.0, dim=1, eps=1e-12, out=None):
    value = image_form(call, call.value(input))
    if p != 2 or out is not None or not value.is_channels(place_of(dim, value)):
        raise Refused("along what are not the channels")
    return value.but(name=call.node("l2_normalize", [value], eps=float(eps)))
