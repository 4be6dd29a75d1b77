"""Masks that say which of a value's numbers are above a threshold: what pruning by scores takes."""

from typing import NamedTuple

import numpy as np
import torch

from voxshift.torch.recording.table import Refused, records
from voxshift.torch.recording.values import Value, rows_value

# Functions that move a mask's elements about as those of its value.
MOVES = {"squeeze", "view", "reshape", "flatten", "__getitem__", "select"}
KEEPS = {"detach", "clone", "contiguous", "cpu", "cuda", "bool"}


class Mask(NamedTuple):
    """Whether numbers of a value exceed a threshold, a float32 number."""

    value: Value
    threshold: float


def _threshold(call, other) -> np.float32:
    if call.find(other) is not None or (isinstance(other, torch.Tensor) and other.numel() != 1):
        raise Refused("with what is no number")
    return np.float32(other.item() if isinstance(other, torch.Tensor) else other)


@records("gt", "__gt__", "greater")
def _above(call, input, other):
    return Mask(call.value(input), float(_threshold(call, other)))


@records("ge", "__ge__", "greater_equal")
def _at_least(call, input, other):
    """Above the number before."""
    return Mask(call.value(input), float(np.nextafter(_threshold(call, other), np.float32(-np.inf))))


def moved(mask, function, call, args, kwargs) -> Mask:
    """The mask of a call of one of MOVES or KEEPS."""
    return mask._replace(value=function(call, *args, **kwargs)) if call.function in MOVES else mask


def pruned(recorder, feats, mask, out, cells) -> None:
    """out: the rows of features whose mask is true, on ordered.Cells."""
    value, given = recorder.find(feats), recorder.mask_of(mask)
    if value is None or given is None or not _are_alike(value, given.value):
        return
    name = recorder.add("prune", [value.name, given.value.name], {"threshold": given.threshold})
    made = rows_value(name, out)
    made.order.coordinates, made.order.sorted = cells.coordinates, cells.to_sorted
    recorder.keep(out, made)


def _are_alike(value, scores) -> bool:
    """Whether there is one score for each row of the value, at the same places of their tensors."""
    count = value.groups.get("n")
    if not (value.is_rows and scores.is_rows) or scores.channels != 1 or scores.groups["n"] != count:
        return False
    if value.dims != (value.whole("n"), value.whole("c")) or scores.dims != (scores.whole("n"),):
        return False
    own, other = value.order.coordinates, scores.order.coordinates
    if own is None or other is None or not own.same_coordinates(other):
        return False
    rows = np.arange(count)
    return np.array_equal(value.sorted_rows(rows), scores.sorted_rows(rows))
