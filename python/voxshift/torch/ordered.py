"""Sparse tensors whose rows stay in the order that they were given in, as other libraries keep them.

voxshift's operators want rows in lexicographic order. `Cells` holds the same cells in both orders, `Features` what lies on
them, in the order that was last of use: nothing is permuted before somebody asks for the other one. Rows that are in order
already, as those that operators make are, cost nothing.
"""

from typing import Optional, Tuple

import numpy as np
import torch
from torch.autograd import Function

import voxshift as vs
from voxshift.torch import recording
from voxshift.torch.functional import Axes
from voxshift.torch.memory import copied, numbers, on_host, taken, tensor_of
from voxshift.torch.sparse_tensor import SparseTensor


class _Permute(Function):
    """out[i] = x[rows[i]]; back[rows[i]] = i."""

    @staticmethod
    def forward(ctx, x, rows, back):
        ctx.rows, ctx.back = rows, back
        return x.index_select(0, rows)

    @staticmethod
    def backward(ctx, grad):
        return _Permute.apply(grad, ctx.back, ctx.rows), None, None


def _permuted(x, rows, back):
    if rows is None:
        return x
    out = _Permute.apply(x, rows, back)
    return recording.same(x, out, rows)


class Cells:
    """Unique grid cells int32 [N, 1 + D], batch first, D = 1..4, whose rows are the giver's.

    coordinates: the voxshift.Coordinates of the same cells, in lexicographic order, with the maps that all on them share.
    """

    def __init__(self, coords: torch.Tensor, stride: Axes = 1, shape: Optional[Axes] = None, op: str = "SparseTensor"):
        """Raises ValueError for repeated cells, those outside `shape`, a negative batch and tensors on other devices."""
        taken(op, "coordinates", coords)
        self.coordinates = vs.Coordinates(numbers(op, "coordinates", coords, coords.device), stride, shape)
        if self.coordinates.size != len(coords):
            raise vs.InvalidArgument(f"[{op}] {len(coords) - self.coordinates.size} repeated coordinates")
        self._coords = coords
        self._to_given = self._to_sorted = None
        inverse = tensor_of(self.coordinates.inverse).long()
        identity = torch.arange(len(inverse), device=inverse.device)
        if not torch.equal(inverse, identity):
            order = torch.empty_like(inverse)
            order[inverse] = identity
            self._to_sorted, self._to_given = order, inverse

    @classmethod
    def of(cls, coordinates: vs.Coordinates) -> "Cells":
        """Those that an operator made: the library's order is the giver's."""
        cells = cls.__new__(cls)
        cells.coordinates, cells._coords, cells._to_sorted, cells._to_given = coordinates, None, None, None
        return cells

    @property
    def coords(self) -> torch.Tensor:
        """int32 [N, 1 + D] in the giver's order: the tensor that was given, or one that is made once."""
        if self._coords is None:
            self._coords = copied(self.coordinates.coords)
        return self._coords

    @property
    def sorted_coords(self) -> torch.Tensor:
        """int32 [N, 1 + D] in the library's order."""
        return self.coords if self.in_order else self.coords.index_select(0, self._to_sorted)

    def given_rows(self, rows: np.ndarray) -> np.ndarray:
        """The giver's numbers of the library's rows."""
        return rows if self.in_order else on_host(self._to_sorted)[rows]

    @property
    def in_order(self) -> bool:
        """Whether both orders are the same."""
        return self._to_sorted is None

    @property
    def to_sorted(self) -> Optional[torch.Tensor]:
        """int64 [N]: the giver's number of each of the library's rows; None where both orders are the same."""
        return self._to_sorted

    def sorted(self, feats: torch.Tensor) -> torch.Tensor:
        """Features [N, ..] of the giver's rows in the library's order; the same tensor where that is no other."""
        return _permuted(feats, self._to_sorted, self._to_given)

    def given(self, feats: torch.Tensor) -> torch.Tensor:
        """Features [N, ..] of the library's rows in the giver's order; the same tensor where that is no other."""
        return _permuted(feats, self._to_given, self._to_sorted)

    def __len__(self) -> int:
        return self.coordinates.size


class Features:
    """Features [N, C] on cells, in one order or in both. Changes in place of what either property gave are seen by both."""

    def __init__(self, cells: Cells, given: Optional[torch.Tensor] = None, sorted: Optional[torch.Tensor] = None):
        """Of rows in the giver's order or in the library's. Raises ValueError where there are not as many as cells."""
        self.cells = cells
        feats = given if sorted is None else sorted
        if len(feats) != len(cells):
            raise vs.InvalidArgument(f"[features] {len(cells)} coordinates, but {len(feats)} rows of features")
        self._given, self._sorted = _seen(given), _seen(sorted)

    @property
    def given(self) -> torch.Tensor:
        """In the giver's order."""
        self._given, self._sorted = _follow(self._given, self._sorted, self.cells.given)
        return self._given[0]

    @property
    def sorted(self) -> torch.Tensor:
        """In the library's order."""
        self._sorted, self._given = _follow(self._sorted, self._given, self.cells.sorted)
        return self._sorted[0]

    @property
    def is_given(self) -> bool:
        """Whether at_hand is the giver's order."""
        return self._sorted is None

    @property
    def at_hand(self) -> torch.Tensor:
        """In an order that costs nothing, the library's where both do: for what is done to every row alike."""
        return self.given if self.is_given else self.sorted

    def with_rows(self, feats: torch.Tensor) -> "Features":
        """Others in the order of at_hand."""
        return Features(self.cells, given=feats) if self.is_given else Features(self.cells, sorted=feats)

    def tensor(self) -> SparseTensor:
        """What voxshift.torch's operators take."""
        return SparseTensor._of(self.cells.coordinates, self.sorted)


_Seen = Optional[Tuple[torch.Tensor, int]]  # a tensor, and its version when it was last in step with the other order


def _seen(tensor) -> _Seen:
    return None if tensor is None else (tensor, tensor._version)


def _follow(wanted: _Seen, other: _Seen, permute) -> Tuple[_Seen, _Seen]:
    """Both, in step: the wanted one made of the other where it is missing or the other alone was changed in place."""
    if wanted is None or (other is not None and other[0]._version != other[1] and wanted[0]._version == wanted[1]):
        wanted = permute(other[0])
        return _seen(wanted), _seen(other[0])
    return wanted, other

