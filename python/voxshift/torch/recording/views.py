"""Views of voxels along one axis, which other libraries make of their features: images, and voxels one high."""

from typing import Optional

import torch

from voxshift.torch.recording.values import Atom, Value, rows_value


def _rows_of(recorder, feats, out) -> Optional[Value]:
    """The value of all rows of voxels; else the result has who made the features, or what is done with it."""
    value = recorder.find(feats)
    if value is None:
        if id(feats) in recorder.makers:
            recorder.taint(recorder.makers[id(feats)], out)
        return None
    return value if value.is_rows and value.dims == (value.whole("n"), value.whole("c")) else None


def _with_ones(recorder, name) -> str:
    """The value with a channel of ones behind its own."""
    one, zero = torch.ones(1), torch.zeros(1)
    first = recorder.add("columns", [name], {"first": 0, "count": 1})
    roles = {"weight": zero, "bias": one, "running_mean": zero, "running_var": one, "eps": 0.0}
    ones = recorder.add("batch_norm", [first], roles)
    return recorder.add("cat", [name, ones], {})


def heights_as_channels(recorder, feats, out, shape, axis) -> None:
    """out[b, h * C + c, ..]: channel c of the voxel at height h."""
    value = _rows_of(recorder, feats, out)
    if value is None:
        return
    depth, channels = shape[axis], value.channels
    name = recorder.add("bird_eye_view", [value.name], {"shape": shape, "axis": axis})
    batches, _, height, width = out.shape
    groups = {"m": batches, "h": height, "w": width, "c": channels * depth}
    dims = (Atom("m", 1, batches),), (Atom("c", 1, depth), Atom("c", depth, channels))
    recorder.keep(out, Value(name, groups, (*dims, (Atom("h", 1, height),), (Atom("w", 1, width),))))


def product_per_height(recorder, feats, out, shape, axis, kernel, bias) -> None:
    """out[b, :, ..]: the sum over the voxels of a column of features times kernel[height], [D, Cin, Cout], and bias."""
    value = _rows_of(recorder, feats, out)
    if value is None:
        return
    kernel, name = _with_bias(recorder, value.name, kernel, bias)
    view = recorder.add("bird_eye_view", [name], {"shape": shape, "axis": axis})
    made = kernel.permute(2, 1, 0).reshape(kernel.shape[2], -1).contiguous()
    recorder.derived(kernel, made)
    name = recorder.add("linear", [view], {"weight": made})
    batches, channels, height, width = out.shape
    groups = {"m": batches, "h": height, "w": width, "c": channels}
    sizes = zip("mchw", out.shape)
    recorder.keep(out, Value(name, groups, [(Atom(group, 1, size),) for group, size in sizes]))


def _with_bias(recorder, name, kernel, bias):
    """A bias of every voxel is the product of a channel of ones."""
    if bias is None:
        return kernel, name
    rows = bias.detach().reshape(1, 1, -1).expand(len(kernel), 1, -1)
    made = torch.cat([kernel.detach(), rows], 1)
    recorder.derived(kernel, made)
    return made, _with_ones(recorder, name)


def flattened(recorder, feats, out, cells, axis, stride, kernel, bias) -> None:
    """The sums per column, on a grid of `stride` times the cells along the other axes: a convolution whose window is a
    column. cells: ordered.Cells that the rows of `out` lie on.

    Windows of even size begin at their cell, so that an odd one has a tap of zeros more.
    """
    value = _rows_of(recorder, feats, out)
    if value is None:
        return
    kernel, name = _with_bias(recorder, value.name, kernel, bias)
    used = [len(kernel) if i == axis else stride for i in range(3)]
    sizes = [n + n % 2 if n > 1 else 1 for n in used]
    spread = kernel.reshape([len(kernel) if i == axis else 1 for i in range(3)] + [*kernel.shape[1:]])
    weight = torch.zeros(*sizes, *kernel.shape[1:])
    weight[: used[0], : used[1], : used[2]] = spread.detach().expand(*used, *kernel.shape[1:])
    weight = weight.reshape(-1, *kernel.shape[1:])
    recorder.derived(kernel, weight)
    steps = [sizes[i] if i == axis else stride for i in range(3)]
    window = {"kernel_size": sizes, "stride": steps, "semantics": "floor"}
    made = rows_value(recorder.add("conv", [name], {"weight": weight, **window}), out)
    made.order.coordinates, made.order.sorted = cells.coordinates, cells.to_sorted
    recorder.keep(out, made)
