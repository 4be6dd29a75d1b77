"""Modules of any composition as graphs: one run on an example writes down what happens.

Functions of this package tell what they did by `note`. Plain torch functions on what was noted are seen too, those
that graphs have ops for; the result of any other is remembered as made by it, and using it is an error.
"""

from contextlib import contextmanager
from typing import Any, Iterator, Optional, Sequence, Union

import torch

from voxshift.torch.recording import fields, masks, moves, views

_recorder = None  # the Recorder of the recording that is under way


def note(
    op: str, inputs: Sequence[Union[torch.Tensor, str]], output: Optional[torch.Tensor] = None, **named: Any
) -> Optional[str]:
    """Tells a recording, if there is one, that `output` is the value of a node of the graph; gives the node's name.

    inputs: tensors that were noted, or names. named: the op's tensors by role, parameters and buffers of the module
    or None for one that is not used, and its attributes. An op that graphs have not is refused.
    """
    return _recorder.note(op, inputs, output, named) if _recorder else None


def refuse(op: str, output: torch.Tensor) -> None:
    """Tells a recording that no node of a graph can give `output`."""
    if _recorder:
        _recorder.taint(op, output)


def same(x: torch.Tensor, out: torch.Tensor, rows: Optional[torch.Tensor] = None) -> torch.Tensor:
    """Tells a recording that `out` holds the rows of x, in this or another order, so that both are one value; gives
    out.

    Ops of a graph know rows by their coordinates, in the library's order; what keeps its user's order says so by
    this. rows: int64 [N], out[i] = x[rows[i]]; None where the order is the same.
    """
    if _recorder:
        _recorder.same(x, out, rows)
    return out


def derived(parameter: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """Tells a recording that `tensor` is the module's parameter or buffer in the layout that graphs have; gives tensor.

    The file then holds the tensor's numbers under the parameter's name.
    """
    if _recorder:
        _recorder.derived(parameter, tensor)
    return tensor


def placed(feats: torch.Tensor, coordinates: Any) -> None:
    """Tells a recording that rows of features lie at voxshift.Coordinates, in their order."""
    if _recorder:
        _recorder.placed(feats, coordinates)


def dense(feats: torch.Tensor, out: torch.Tensor, channels_last: bool = False) -> torch.Tensor:
    """Tells a recording that `out`, [B, C, X, Y, ..], or [B, X, Y, .., C], is the dense form of features of voxels, 0
    elsewhere; gives out.
    """
    if _recorder:
        _recorder.dense(feats, out, channels_last)
    return out


def pooled(src: torch.Tensor, out: torch.Tensor, index: torch.Tensor, dim: int, how: str) -> None:
    """Tells a recording that `out` has the rows of src with the same index reduced: "mean", "sum", "max" or "min"."""
    if _recorder:
        moves.pooled(_recorder, src, out, index, dim, how)


def interpolated(feats: torch.Tensor, out: torch.Tensor) -> None:
    """Tells a recording that `out` has trilinear mixtures of features of voxels, at other voxels."""
    if _recorder:
        moves.interpolated(_recorder, feats, out)


def heights_as_channels(feats: torch.Tensor, out: torch.Tensor, shape: Sequence[int], axis: int) -> None:
    """Tells a recording that out[b, h * C + c, ..] is channel c of the voxel at height h along the axis, 0 elsewhere.

    shape: extent of the voxels along each axis.
    """
    if _recorder:
        views.heights_as_channels(_recorder, feats, out, list(shape), axis)


def product_per_height(
    feats: torch.Tensor,
    out: torch.Tensor,
    shape: Sequence[int],
    axis: int,
    kernel: torch.Tensor,
    bias: Optional[torch.Tensor],
) -> None:
    """Tells a recording that out[b, :, ..] is the sum over the voxels of a column of features times kernel[height],
    [heights, Cin, Cout], plus the bias.
    """
    if _recorder:
        views.product_per_height(_recorder, feats, out, list(shape), axis, kernel, bias)


def flattened(
    feats: torch.Tensor,
    out: torch.Tensor,
    cells: Any,
    axis: int,
    stride: int,
    kernel: torch.Tensor,
    bias: Optional[torch.Tensor],
) -> None:
    """The same of rows `out` on ordered.Cells that are one high along the axis, and `stride` times as large along others."""
    if _recorder:
        views.flattened(_recorder, feats, out, cells, axis, stride, kernel, bias)


def pruned(feats: torch.Tensor, mask: torch.Tensor, out: torch.Tensor, cells: Any) -> None:
    """Tells a recording that `out` has the rows of feats whose mask is true, on ordered.Cells."""
    if _recorder:
        masks.pruned(_recorder, feats, mask, out, cells)


def voxelized(feats: torch.Tensor, out: torch.Tensor, cells: Any, stride: Sequence[int], reduce: str) -> None:
    """Tells a recording that `out` has the features of a field's points in each voxel of this stride reduced, on
    ordered.Cells: "mean", "sum" or "max".
    """
    if _recorder:
        fields.voxelized(_recorder, feats, out, cells, stride, reduce)


def sliced(feats: torch.Tensor, points: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Tells a recording that `out` has the features of the voxels that a field's points lie in; gives out."""
    if _recorder:
        fields.sliced(_recorder, feats, points, out)
    return out


@contextmanager
def paused() -> Iterator[None]:
    """Has nothing told within the context: for what is computed beside the network."""
    global _recorder
    kept, _recorder = _recorder, None
    try:
        yield
    finally:
        _recorder = kept


def is_under_way() -> bool:
    """Whether a recording sees what happens now."""
    return _recorder is not None
