"""What a recording knows of a tensor: which numbers of which value of the graph its elements are.

A value of a graph is an array of rows and channels. Its `groups` are that array's axes by name, the channels last:
rows of voxels or points are (n, c), what was pooled over a cloud, batch or image (m, c), images (m, h, w, c), and
sparse tensors in dense form (m, 0, 1, 2, c) with a number per spatial axis. Each dimension of a tensor is a tuple of
atoms (group, stride, size), the slowest first: index i of an atom adds i * stride to the place along its group. A
dimension of one element has no atoms. The group "*" is that of elements that are repeated.
"""

import math
from typing import NamedTuple, Optional, Sequence

import numpy as np
import torch

REPEATED = "*"
IMAGE = ("m", "h", "w", "c")


class Atom(NamedTuple):
    """Elements of a group, `stride` apart."""

    group: str
    stride: int
    size: int


Dims = tuple[tuple[Atom, ...], ...]


def merged(atoms: Sequence[Atom]) -> tuple[Atom, ...]:
    """The same elements in as few atoms as can be."""
    result: list[Atom] = []
    for atom in atoms:
        if atom.size == 1:
            continue
        last = result[-1] if result else None
        if last and last.group == atom.group and last.stride == atom.stride * atom.size:
            result[-1] = Atom(atom.group, atom.stride, last.size * atom.size)
        else:
            result.append(atom)
    return tuple(result)


def reshaped(dims: Dims, shape: Sequence[int]) -> Optional[Dims]:
    """The dimensions of a row-major view; None where a new dimension has a part of the elements that is no product of
    atoms.
    """
    left = [atom for dim in dims for atom in dim][::-1]
    result = []
    for size in shape:
        taken, wanted = [], int(size)
        while wanted > 1:
            if not left:
                return None
            atom = left.pop()
            if wanted % atom.size == 0:
                taken.append(atom)
                wanted //= atom.size
            elif atom.size % wanted == 0:
                rest = atom.size // wanted
                taken.append(Atom(atom.group, atom.stride * rest, wanted))
                left.append(Atom(atom.group, atom.stride, rest))
                wanted = 1
            else:
                return None
        result.append(merged(taken))
    return None if left else tuple(result)


class Order:
    """The rows that a tensor and those made of it row by row have: `sorted`[i] is the place among them of the row
    that the library has as its i-th; None where that is i. is_field: whether they are points of an input that has their places.
    """

    def __init__(self):
        self.sorted: Optional[torch.Tensor] = None
        self.coordinates = None
        self.is_field = False


class Value:
    """A tensor's elements as those of the graph's value `name`. rows: of its rows, the places in `order`; None for
    all.
    """

    def __init__(self, name: str, groups: dict, dims: Dims, order: Optional[Order] = None, rows=None):
        self.name, self.groups, self.dims = name, dict(groups), tuple(merged(dim) for dim in dims)
        self.order, self.rows = order or Order(), rows
        self.norm_of: Optional[str] = None

    def but(self, **changed) -> "Value":
        """The same with some attributes changed."""
        own = {"name": self.name, "groups": self.groups, "dims": self.dims, "order": self.order, "rows": self.rows}
        return Value(**{**own, **changed})

    @property
    def channels(self) -> int:
        return self.groups["c"]

    @property
    def is_images(self) -> bool:
        return tuple(self.groups) == IMAGE

    @property
    def is_pooled(self) -> bool:
        """One row per cloud, batch or image."""
        return tuple(self.groups) == ("m", "c")

    @property
    def is_rows(self) -> bool:
        return tuple(self.groups) == ("n", "c")

    @property
    def is_dense(self) -> bool:
        return "0" in self.groups

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(math.prod(atom.size for atom in dim) for dim in self.dims)

    def whole(self, group: str) -> tuple[Atom, ...]:
        """The dimension that all of the group in its order makes."""
        return merged((Atom(group, 1, self.groups[group]),))

    def is_channels(self, dim: int) -> bool:
        """Whether this dimension is all of the channels in their order."""
        return self.dims[dim] == self.whole("c")

    def dims_of(self, group: str) -> list[int]:
        """The dimensions that have atoms of the group."""
        return [i for i, dim in enumerate(self.dims) if any(atom.group == group for atom in dim)]

    def has_repeats(self) -> bool:
        return bool(self.dims_of(REPEATED))

    def view_of(self, array: np.ndarray) -> np.ndarray:
        """The tensor's elements, of the array that the graph gives as the value."""
        strides, step = {REPEATED: 0}, 1
        for group, size in reversed(tuple(self.groups.items())):
            strides[group] = step
            step *= size
        flat = torch.from_numpy(np.ascontiguousarray(array)).reshape(-1)
        atoms = [atom for dim in self.dims for atom in dim]
        places = [strides[atom.group] * atom.stride for atom in atoms]
        return torch.as_strided(flat, [atom.size for atom in atoms], places).reshape(self.shape).numpy()

    def sorted_rows(self, array: np.ndarray) -> np.ndarray:
        """A tensor's rows in the library's order. array: [N, ..], in the tensor's."""
        places = None if self.rows is None else self.rows.numpy()
        if self.order.sorted is not None:
            wanted = self.order.sorted.numpy()
            if places is None:
                return array[wanted]
            back = np.empty_like(places)
            back[places] = np.arange(len(places))
            return array[back[wanted]]
        if places is None:
            return array
        back = np.empty_like(places)
        back[places] = np.arange(len(places))
        return array[back]


def rows_value(name: str, tensor: torch.Tensor, group: str = "n") -> Value:
    """Of a tensor [N, C]: rows of voxels or points, or of clouds with group "m"."""
    n, c = tensor.shape
    return Value(name, {group: n, "c": c}, ((Atom(group, 1, n),), (Atom("c", 1, c),)))


def image_value(name: str, shape: Sequence[int]) -> Value:
    """Of a tensor [M, C, H, W]."""
    m, c, h, w = shape
    dims = tuple((Atom(group, 1, size),) for group, size in zip("mchw", shape))
    return Value(name, {"m": m, "h": h, "w": w, "c": c}, dims)


def dense_value(name: str, shape: Sequence[int]) -> Value:
    """Of a sparse tensor in dense form, [B, C, X, Y, ..]."""
    groups = {"m": shape[0], **{str(axis): size for axis, size in enumerate(shape[2:])}, "c": shape[1]}
    names = ("m", "c", *(str(axis) for axis in range(len(shape) - 2)))
    return Value(name, groups, tuple((Atom(group, 1, size),) for group, size in zip(names, shape)))
