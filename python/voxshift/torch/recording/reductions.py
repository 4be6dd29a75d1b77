"""Sums, means and maxima: over channels, and over all rows of a cloud, batch or image."""

import torch

from voxshift.torch.recording.arithmetic import mapped
from voxshift.torch.recording.structure import image_form, places
from voxshift.torch.recording.table import Refused, place_of, records
from voxshift.torch.recording.values import Atom, Value

_POOLS = {"mean": "avg_pool", "sum": "sum_pool", "max": "max_pool"}


def without(value, dims, keepdim) -> Value:
    """The value with dimensions reduced to one element, or left out."""
    kept = [() if i in dims else dim for i, dim in enumerate(value.dims)]
    return value.but(dims=kept if keepdim else [dim for i, dim in enumerate(kept) if i not in dims])


def reduced(call, value, dims, keepdim, how) -> Value:
    """The mean, sum or max over some dimensions of a tensor."""
    value = image_form(call, value)
    dims = range(len(value.dims)) if dims is None else [dims] if isinstance(dims, int) else dims
    dims = sorted({place_of(dim, value) for dim in dims})
    atoms = [atom for dim in dims for atom in value.dims[dim]]
    if not atoms:
        return without(value, dims, keepdim)
    if all(atom.group == "c" for atom in atoms):
        if how == "max":
            raise Refused("over channels")
        return _over_channels(call, value, dims, keepdim, how)
    return pooled(call, value, dims, keepdim, how, atoms)


def _over_channels(call, value, dims, keepdim, how) -> Value:
    """Sums of the channels that lie along some dimensions; those along others stay apart."""
    kept, summed = ([a for i in group for a in value.dims[i] if a.group == "c"] for group in _split(value, dims))
    first, among = places(kept), places(summed)
    weight = torch.zeros(len(first), value.channels)
    weight[torch.arange(len(first))[:, None], first[:, None] + among] = 1 / len(among) if how == "mean" else 1.0
    stride, atoms = len(first), {}
    for atom in kept:
        stride //= atom.size
        atoms[atom] = atom._replace(stride=stride)
    result = without(value, dims, keepdim)
    moved = [[atoms.get(atom, atom) for atom in dim] for dim in result.dims]
    name = call.node("linear", [value], weight=weight)
    return Value(name, {**value.groups, "c": len(first)}, moved, value.order, value.rows)


def _split(value, dims):
    return [i for i in range(len(value.dims)) if i not in dims], dims


def pooled(call, value, dims, keepdim, how, atoms) -> Value:
    """Over all rows of each cloud, batch or image."""
    sizes = dict.fromkeys(value.groups, 1)
    for atom in atoms:
        if atom.group not in sizes:
            raise Refused("over repeated elements")
        sizes[atom.group] *= atom.size
    if value.is_images:
        one = {axis: size for axis, size in sizes.items() if size > 1}
        if how == "mean" and len(one) == 1 and set(one) <= {"h", "w"}:
            axis, size = one.popitem()
            if size == value.groups[axis] and value.groups["h" if axis == "w" else "w"] > 1:
                return _over_one_axis(call, value, dims, keepdim, axis)
        clouds = value.groups["m"]
        whole = sizes == {"m": 1, "h": value.groups["h"], "w": value.groups["w"], "c": 1}
    else:
        clouds = value.groups.get("n", 0) // sizes.get("n", 1)
        inner = sorted(atom.stride for atom in atoms if atom.group == "n")
        whole = value.is_rows and sizes["c"] == 1 and bool(inner) and inner[0] == 1
    if not whole:
        raise Refused("over a part of the rows")
    value = without(value, dims, keepdim)
    rows = value.groups.get("n", 1) // max(clouds, 1)

    def moved(atom):
        return Atom("m", atom.stride // rows, atom.size) if atom.group == "n" else atom

    name = call.node(_POOLS[how], [value])
    return Value(name, {"m": clouds, "c": value.channels}, [[moved(atom) for atom in dim] for dim in value.dims])


def _over_one_axis(call, value, dims, keepdim, axis) -> Value:
    """The mean over the height or the width of images, which then have one pixel along it."""
    window = [value.groups[group] if group == axis else 1 for group in "hw"]
    name = call.node("avg_pool2d", [value], kernel_size=window, stride=window)
    return without(value, dims, keepdim).but(name=name, groups={**value.groups, axis: 1})


@records("mean")
def _mean(call, input, dim=None, keepdim=False, *, dtype=None):
    return reduced(call, call.value(input), dim, keepdim, "mean")


@records("sum")
def _sum(call, input, dim=None, keepdim=False, *, dtype=None):
    return reduced(call, call.value(input), dim, keepdim, "sum")


@records("amax")
def _amax(call, input, dim=None, keepdim=False):
    return reduced(call, call.value(input), dim or None, keepdim, "max")


@records("max")
def _max(call, input, dim=None, keepdim=False):
    if isinstance(dim, torch.Tensor):
        return _maximum(call, input, dim)
    value = reduced(call, call.value(input), dim, keepdim, "max")
    return value if dim is None else [value, "the indices that max gives"]


@records("maximum", "fmax")
def _maximum(call, input, other):
    """a + max(b - a, 0), or the limit of a constant."""
    left, right = call.find(input), call.find(other)
    if left is None or right is None:
        value, constant = (left, other) if right is None else (right, input)
        if not isinstance(constant, torch.Tensor) or constant.numel() != 1:
            raise Refused("with constants")
        return mapped(call, value, "clip", lowest=float(constant))
    if left.groups != right.groups or left.dims != right.dims:
        raise Refused("of values on other rows")
    above = mapped(call, left.but(name=call.node("subtract", [right, left])), "relu")
    return above.but(name=call.node("add", [left, above]))


@records("max_pool1d", "adaptive_max_pool1d", "adaptive_avg_pool1d", "avg_pool1d")
def _pool1d(call, input, *args, **named):
    value = call.value(input)
    result = call.result if isinstance(call.result, torch.Tensor) else call.result[0]
    if result.shape[-1] != 1:
        raise Refused("of windows that are not all points")
    how = "mean" if "avg" in call.function else "max"
    out = reduced(call, value, -1, True, how)
    return out if isinstance(call.result, torch.Tensor) else [out, "the indices that pooling gives"]


@records("adaptive_max_pool2d", "adaptive_avg_pool2d")
def _adaptive_pool2d(call, input, output_size, return_indices=False):
    value = image_form(call, call.value(input))
    how = "mean" if "avg" in call.function else "max"
    height, width = call.result.shape[-2:]
    dims = [len(value.dims) - 2, len(value.dims) - 1]
    if (height, width) == (1, 1):
        return reduced(call, value, dims, True, how)
    extent = value.groups.get("h", 0), value.groups.get("w", 0)
    if not value.is_images or extent[0] % height or extent[1] % width:
        raise Refused("of windows of several sizes")
    window = [extent[0] // height, extent[1] // width]
    if how == "max" and window[0] != window[1]:
        raise Refused("of windows that are no squares")
    options = {"kernel_size": window, "stride": window}
    if how == "max":
        options = {key: sizes[0] for key, sizes in options.items()}
    name = call.node("avg_pool2d" if how == "mean" else "max_pool2d", [value], **options)
    dims = (*value.dims[:-2], (Atom("h", 1, height),), (Atom("w", 1, width),))
    return Value(name, {**value.groups, "h": height, "w": width}, dims)
