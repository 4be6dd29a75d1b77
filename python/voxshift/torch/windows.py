"""Windows of other libraries: offsets in orders of their own, and pairs of rows where voxshift's rules give other ones.

A window is a tuple of offsets [K][D], the k-th belonging to the k-th weight. Where voxshift has a window that holds them the
weight is laid out for it, zeros at the offsets in between; else the pairs of rows are listed and torch computes with them.
"""

import itertools
import weakref
from functools import lru_cache, partial
from typing import List, NamedTuple, Sequence, Tuple

import numpy as np
import torch
from torch.autograd.function import once_differentiable

import voxshift as vs
from voxshift.torch import recording
from voxshift.torch.memory import array, copied, device_of, numbers, tensor_of
from voxshift.torch.ordered import Features
from voxshift.torch.points import gather, voxelize_features
from voxshift.torch.precision import WideFunction, of_product

Offsets = Tuple[Tuple[int, ...], ...]
Pairs = List[Tuple[torch.Tensor, torch.Tensor]]  # per offset the rows of the base and of the cells at the offset from them


def box(lowest: Sequence[int], size: Sequence[int], first_axis_fastest: bool) -> Offsets:
    """All offsets of the box [lowest, lowest + size) per axis."""
    axes = [range(low, low + n) for low, n in zip(lowest, size)]
    if first_axis_fastest:
        return tuple(offset[::-1] for offset in itertools.product(*reversed(axes)))
    return tuple(itertools.product(*axes))


class Layout(NamedTuple):
    """Where weights of a window lie in those of voxshift's window of this size, row-major."""

    kernel_size: Tuple[int, ...]
    places: Tuple[int, ...]

    @property
    def volume(self) -> int:
        return int(np.prod(self.kernel_size))

    @property
    def is_plain(self) -> bool:
        """Whether the weights need no moving."""
        return self.places == tuple(range(self.volume))


@lru_cache(maxsize=256)
def layout_of(offsets: Offsets) -> Layout:
    """The smallest window of conv with floor semantics, odd sizes centred, even ones from 0 on, that holds the offsets."""
    low, high = np.min(offsets, axis=0), np.max(offsets, axis=0)
    reach = np.maximum(abs(low), abs(high))
    size = np.where((low >= 0) & (high > 0), high + 1 + (high + 1) % 2, 2 * reach + 1)
    return Layout(tuple(map(int, size)), _places(np.array(offsets) + np.where(size % 2, size // 2, 0), size))


@lru_cache(maxsize=256)
def layout_of_digits(digits: Offsets) -> Layout:
    """The window with bounded semantics, whose taps count from 0 whatever its size."""
    size = np.max(digits, axis=0) + 1
    return Layout(tuple(map(int, size)), _places(np.array(digits), size))


def _places(digits, size):
    return tuple(map(int, np.ravel_multi_index(tuple(digits.T), tuple(size))))


class LaidOut:
    """A weight [K, Cin, Cout] in a layout; kept for as long as it does not change and no gradient is asked for."""

    def __init__(self):
        self._kept = None

    def __call__(self, weight: torch.Tensor, layout: Layout) -> torch.Tensor:
        if layout.is_plain:
            return weight
        if torch.is_grad_enabled() and weight.requires_grad:
            return lay_out(weight, layout)
        kept = self._kept
        if kept is None or kept[0]() is not weight or kept[1:3] != (weight._version, layout):
            self._kept = kept = (weakref.ref(weight), weight._version, layout, lay_out(weight, layout))
        return recording.derived(weight, kept[3])

    def __deepcopy__(self, memo):
        return LaidOut()

    def __reduce__(self):
        return LaidOut, ()


def lay_out(weight: torch.Tensor, layout: Layout) -> torch.Tensor:
    """The weight [K, ..] as voxshift's [volume, ..]."""
    places = torch.tensor(layout.places, device=weight.device)
    out = weight.new_zeros((layout.volume, *weight.shape[1:])).index_copy(0, places, weight)
    return recording.derived(weight, out)


def strided(coordinates: vs.Coordinates, stride: Sequence[int]) -> vs.Coordinates:
    """unique(floor(c / stride)), from which a transposed convolution finds back."""
    if all(step == 1 for step in stride):
        return coordinates
    zeros = partial(torch.zeros, device=device_of(coordinates))
    empty = vs.SparseTensor(coordinates, array("conv", "feats", zeros(coordinates.size, 1)))
    return vs.conv(empty, array("conv", "weight", zeros(1, 1, 1)), kernel_size=1, stride=list(stride)).coordinates


def full(coordinates: vs.Coordinates) -> torch.Tensor:
    """int64 [N, 1 + D] in cells of the network's input, rows in lexicographic order."""
    coords = copied(coordinates.coords).long()
    return coords * torch.tensor((1, *coordinates.stride), device=coords.device)


def rows_at(coordinates: vs.Coordinates, places: torch.Tensor) -> torch.Tensor:
    """int64 [M]: the rows of places int64 [M, 1 + D] in cells of the network's input, -1 for none."""
    unit = torch.tensor((1, *coordinates.stride), device=places.device)
    cells = torch.div(places, unit, rounding_mode="floor").int()
    found = tensor_of(coordinates.find(numbers("find", "coordinates", cells, places.device))).long()
    return found.masked_fill((places % unit != 0).any(1), -1)


def pairs_of(base: torch.Tensor, cells: vs.Coordinates, offsets: Offsets) -> Pairs:
    """Per offset the rows (of base, of the cells) with cell = base + offset, base [M, 1 + D] and offsets in input cells."""
    found = []
    for offset in offsets:
        row = rows_at(cells, base + torch.tensor((0, *map(int, offset)), device=base.device))
        hit = (row >= 0).nonzero().reshape(-1)
        found.append((hit, row[hit]))
    return found


def swapped(pairs: Pairs) -> Pairs:
    return [(cell, base) for base, cell in pairs]


class _ConvByPairs(WideFunction):
    """out[to] += x[of] W[k] over the pairs (to, of) of each offset k. An offset has no row twice, so index_add has one order."""

    @staticmethod
    def forward(ctx, feats, weight, pairs, rows):
        ctx.save_for_backward(feats, weight)
        ctx.pairs = pairs
        out = feats.new_zeros((rows, weight.shape[-1]))
        for k, (to, of) in enumerate(pairs):
            if len(to):
                out.index_add_(0, to, feats[of] @ weight[k])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        feats, weight = ctx.saved_tensors
        of_feats, of_weight = torch.zeros_like(feats), torch.zeros_like(weight)
        for k, (to, of) in enumerate(ctx.pairs):
            if len(to):
                gradient = grad[to]
                of_feats.index_add_(0, of, gradient @ weight[k].t())
                of_weight[k] = feats[of].t() @ gradient
        return of_feats, of_weight, None, None


def conv_by_pairs(feats: torch.Tensor, weight: torch.Tensor, pairs: Pairs, rows: int) -> torch.Tensor:
    """float32 [rows, Cout]: the sum of x[of] W[k] over the pairs (to, of) of each offset; weight [K, Cin, Cout]."""
    return of_product(_ConvByPairs.apply(feats, weight, pairs, rows))


def pool_by_pairs(feats: torch.Tensor, pairs: Pairs, rows: int, reduce: str) -> torch.Tensor:
    """float32 [rows, C]: "max", "mean" or "sum" of the rows paired with each; 0 where there is none."""
    to, of = (torch.cat(side) for side in zip(*pairs))
    return voxelize_features(gather(feats, of.int()), to.int(), rows, reduce)


def aligned(first: Features, *others: Features) -> List[torch.Tensor]:
    """Features on the same Cells, all in the order of first.at_hand."""
    in_order_of_giver = first.is_given
    return [f.given if in_order_of_giver else f.sorted for f in (first, *others)]
