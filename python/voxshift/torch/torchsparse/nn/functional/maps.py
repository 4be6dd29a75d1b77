"""Which voxels a layer makes and which weights lie between two: torchsparse's rules, version by version."""

from functools import partial
from typing import Any, Optional, Sequence, Tuple

import numpy as np
import torch

import voxshift as vs
from voxshift.torch import recording
from voxshift.torch.functional import conv3d
from voxshift.torch.memory import device_of, host_coords, numbers
from voxshift.torch.ordered import Cells, Features
from voxshift.torch.sparse_tensor import SparseTensor as Voxels
from voxshift.torch.torchsparse.nn.utils.kernel import window
from voxshift.torch.torchsparse.rules import rules
from voxshift.torch.torchsparse.tensor import get_allow_negative_coordinates
from voxshift.torch.windows import (
    LaidOut,
    Layout,
    Offsets,
    conv_by_pairs,
    full,
    layout_of,
    layout_of_digits,
    pairs_of,
    swapped,
)

Range = Optional[Tuple[int, ...]]


class FittingMap:
    """Between voxels that voxshift's own windows lead from and to."""

    def __init__(self, fine: Cells, layout: Layout, stride: Sequence[int], padding=(0, 0, 0), shape=None):
        """shape: the extent of the fine voxels for bounded semantics with this padding; None for floor semantics."""
        self.fine, self._layout = fine, layout
        self._submanifold = shape is None and all(step == 1 for step in stride)
        self.coarse = fine if self._submanifold else None
        coordinates = fine.coordinates
        self._from = coordinates if shape is None else vs.Coordinates(coordinates.coords, coordinates.stride, shape)
        self._to = self._from
        self._options = {
            "kernel_size": list(layout.kernel_size),
            "stride": list(stride),
            "dilation": 1,
            "padding": list(padding),
            "semantics": "floor" if shape is None else "bounded",
        }

    def outputs(self) -> Cells:
        """The coarse voxels."""
        if self.coarse is None:
            zeros = partial(torch.zeros, device=device_of(self.fine.coordinates))
            ones = Features(self.fine, sorted=zeros((len(self.fine), 1)))
            with recording.paused():
                self.forward(ones, zeros((len(self._layout.places), 1, 1)), None, LaidOut())
        return self.coarse

    def forward(self, x: Features, weight: torch.Tensor, bias, laid_out: LaidOut) -> Features:
        y = conv3d(Voxels._of(self._from, x.sorted), self._laid(weight, laid_out), bias, **self._options)
        if self.coarse is None:
            self._to, self.coarse = y.coordinates, Cells.of(y.coordinates)
        return Features(self.coarse, sorted=y.feats)

    def transposed(self, x: Features, weight: torch.Tensor, bias, laid_out: LaidOut) -> Features:
        weight = self._laid(weight, laid_out)
        y = conv3d(Voxels._of(self._to, x.sorted), weight, bias, **self._options, op="conv_transpose")
        return Features(self.fine, sorted=y.feats)

    def _laid(self, weight, laid_out):
        return weight if weight.dim() == 2 else laid_out(weight, self._layout)


class ListedMap:
    """Between any voxels, whose pairs of rows are listed."""

    def __init__(self, fine: Cells, outputs: Optional[np.ndarray], offsets: Offsets, stride: Sequence[int]):
        """outputs: int64 [M, 4], unique sorted cells of the coarse grid, batch first. offsets: in cells of the fine one."""
        unit = np.array(fine.coordinates.stride)
        self.fine, self.coarse = fine, _made_of(outputs, [int(a * b) for a, b in zip(unit, stride)], fine)
        scaled = tuple(tuple(np.array(offset) * unit) for offset in offsets)
        self._pairs = pairs_of(full(self.coarse.coordinates), fine.coordinates, scaled)

    def outputs(self) -> Cells:
        """The coarse voxels."""
        return self.coarse

    def forward(self, x: Features, weight: torch.Tensor, bias, laid_out: LaidOut) -> Features:
        return self._conv(x, weight, bias, self._pairs, self.coarse)

    def transposed(self, x: Features, weight: torch.Tensor, bias, laid_out: LaidOut) -> Features:
        return self._conv(x, weight, bias, swapped(self._pairs), self.fine)

    @staticmethod
    def _conv(x, weight, bias, pairs, cells):
        weight = weight if weight.dim() == 3 else weight.unsqueeze(0)
        out = conv_by_pairs(x.sorted, weight, pairs, len(cells))
        out = out if bias is None else out + bias
        recording.refuse("a convolution whose voxels no rule of voxshift's gives", out)
        return Features(cells, sorted=out)


def _made_of(outputs, stride, like):
    """Cells of outputs int64 [M, 4], which the CPU found, on the device of others."""
    coords = numbers("conv3d", "voxels", outputs.astype(np.int32), device_of(like.coordinates))
    return Cells.of(vs.Coordinates(coords, stride))


def map_of(cells: Cells, size, stride, padding, spatial_range: Range, config: Any):
    """The map of a convolution of these cells."""
    if not rules().bounded:
        return _map_of_multiples(cells, size, stride)
    if config.kmap_mode == "hashmap":
        return _map_of_table(cells, size, stride, padding, spatial_range, config.downsample_mode)
    if all(step == 1 for step in stride):
        odd = np.prod(size) % 2
        return FittingMap(cells, layout_of(window(size, [-(n // 2) if odd else 0 for n in size])), stride)
    digits = window(size, (0, 0, 0))
    extent = _extent(cells, spatial_range)
    if _holds(cells, extent) and all(n <= end + 2 * p for n, end, p in zip(size, extent, padding)):
        return FittingMap(cells, layout_of_digits(digits), stride, padding, extent)
    outputs = _bounded_outputs(cells, size, stride, padding, extent)
    return ListedMap(cells, outputs, tuple(tuple(np.subtract(digit, padding)) for digit in digits), stride)


def _map_of_table(cells, size, stride, padding, spatial_range, downsample_mode):
    """2.1 with kmap_mode "hashmap"."""
    offsets = window(size, [-((n - 1) // 2) for n in size])
    if downsample_mode == "minkowski" or all(step in (1, n) for step, n in zip(stride, size)):
        return FittingMap(cells, layout_of(offsets), stride)
    outputs = _bounded_outputs(cells, size, stride, padding, _extent(cells, spatial_range))
    return ListedMap(cells, outputs, offsets, stride)


def _map_of_multiples(cells, size, stride):
    """1.4 and 2.0."""
    offsets = window(size, [1 - (n + 1) // 2 for n in size])
    grid = host_coords(cells.coordinates)
    if all(step in (1, n) for step, n in zip(stride, size)):
        if rules().floor or max(stride) == 1 or not (grid[:, 1:] < 0).any():
            return FittingMap(cells, layout_of(offsets), stride)
        towards_zero = np.trunc(grid / np.array((1, *stride))).astype(np.int64)
        return ListedMap(cells, np.unique(towards_zero, axis=0), offsets, stride)
    lowest = grid[:, 1:].min(axis=0, initial=2**30)
    if all(n % 2 for n in size) and not lowest.any():  # spconv's rule without an end
        extent = [int(end) + n for end, n in zip(grid[:, 1:].max(axis=0), size)]
        padding = [n // 2 for n in size]
        digits = tuple(tuple(int(o + p) for o, p in zip(offset, padding)) for offset in offsets)
        return FittingMap(cells, layout_of_digits(digits), stride, padding, extent)
    reached = offsets if rules().floor else window(size, [-(n // 2) if n % 2 else 0 for n in size])
    outputs = _divisible(grid, reached, stride)
    outputs = outputs[(outputs[:, 1:] * stride >= lowest).all(axis=1)]
    return ListedMap(cells, np.unique(outputs, axis=0), offsets, stride)


def _divisible(grid, offsets, stride):
    """All (cell + offset) / stride that are whole, int64 [.., 4]."""
    places = (grid[:, None].astype(np.int64) + np.array([(0, *offset) for offset in offsets])).reshape(-1, 4)
    stride = np.array((1, *stride))
    return places[(places % stride == 0).all(axis=1)] // stride


def _extent(cells, spatial_range):
    if spatial_range is not None:
        return list(spatial_range[1:])
    return [int(end) + 1 for end in host_coords(cells.coordinates)[:, 1:].max(axis=0, initial=-1)]


def _holds(cells, extent):
    """Whether bounded semantics take the cells: all lie in [0, extent)."""
    grid = host_coords(cells.coordinates)[:, 1:]
    return bool((grid >= 0).all() and (grid < extent).all() and np.min(extent) > 0)


def _bounded_outputs(cells, size, stride, padding, extent):
    """What a window reaches of [lowest, (extent - 1 + 2 padding - (size - 1)) // stride]."""
    grid, size, padding = host_coords(cells.coordinates), np.array(size), np.array(padding)
    reached = tuple(tuple(padding - digit) for digit in np.array(window(size, (0, 0, 0))))
    outputs = _divisible(grid, reached, stride)
    lowest = np.zeros(3)
    if get_allow_negative_coordinates():
        lowest = np.trunc((grid[:, 1:].min(axis=0) - 2 * padding + (size - 1)) / np.array(stride))
    highest = (np.array(extent) - 1 + 2 * padding - (size - 1)) // np.array(stride)
    inside = ((outputs[:, 1:] >= lowest) & (outputs[:, 1:] <= highest)).all(axis=1)
    return np.unique(outputs[inside], axis=0)


def generated_map(cells: Cells, size, stride, spatial_range: Range) -> ListedMap:
    """2.1's generative transposed convolution, which makes voxels up to the range and finds out = in * stride - offset."""
    if spatial_range is None:
        raise vs.InvalidArgument("[conv3d] expects a tensor with a spatial_range where it generates voxels")
    made = window(size, [1 - (n + 1) // 2 for n in size])
    grid = host_coords(cells.coordinates).astype(np.int64) * np.array((1, *stride))
    outputs = grid[:, None] + np.array([(0, *offset) for offset in made])
    outputs[..., 1:] = np.clip(outputs[..., 1:], 0, np.array(spatial_range[1:]) - 1)
    outputs = np.unique(outputs.reshape(-1, 4), axis=0)
    offsets = window(size, [-((n - 1) // 2) for n in size])
    return _Generated(cells, outputs, offsets, stride)


class _Generated(ListedMap):
    def __init__(self, coarse, outputs, offsets, stride):
        unit = [a // b for a, b in zip(coarse.coordinates.stride, stride)]
        self.fine, self.coarse = coarse, _made_of(outputs, unit, coarse)
        scaled = tuple(tuple(np.array(offset) * unit) for offset in offsets)
        self._pairs = pairs_of(full(self.coarse.coordinates), coarse.coordinates, scaled)
