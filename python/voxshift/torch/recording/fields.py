"""MinkowskiEngine's tensor fields: points of a graph, whose first channels are their places."""

import torch

from voxshift.torch.recording.values import Value, rows_value


def voxelized(recorder, feats, out, cells, stride, reduce) -> None:
    """out: the features of the points in each voxel of this stride reduced, on ordered.Cells."""
    value = recorder.find(feats)
    if value is None or not _is_field(value) or any(step & (step - 1) for step in stride):
        return
    options = {"voxel_size": [float(step) for step in stride], "reduce": reduce}
    made = rows_value(recorder.add("voxelize_points", [value.name], options), out)
    made.order.coordinates, made.order.sorted = cells.coordinates, cells.to_sorted
    recorder.keep(out, made)


def sliced(recorder, feats, points, out) -> None:
    """out: features of the voxels that points lie in."""
    value, field = recorder.find(feats), recorder.find(points)
    if value is None or field is None or not _is_field(field) or value.order.coordinates is None:
        return
    if value.dims != (value.whole("n"), value.whole("c")):
        return
    name = recorder.add("broadcast", [value.name, field.name], {})
    groups = {**field.groups, "c": value.channels}
    recorder.keep(out, Value(name, groups, (field.dims[0], value.dims[1]), field.order, field.rows))


def _is_field(value) -> bool:
    return value.order.is_field and value.is_rows and value.dims == (value.whole("n"), value.whole("c"))


def order_of(order, batch: torch.Tensor) -> None:
    """Rows of points as the library has them, a batch after the other."""
    order.is_field = True
    if (batch[1:] < batch[:-1]).any():
        order.sorted = torch.argsort(batch, stable=True)
