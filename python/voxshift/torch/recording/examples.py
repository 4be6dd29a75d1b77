"""What a module is given: its float tensors as inputs of the graph, and a second example made from the first."""

import copy
import inspect
from typing import Any, Optional

import numpy as np
import torch

import voxshift as vs
from voxshift.torch.recording.fields import order_of
from voxshift.torch.recording.values import Atom, Value, image_value, rows_value
from voxshift.torch.sparse_tensor import SparseTensor

_FEATURES = ("feats", "features", "F")  # of the tensors of several libraries


def is_sparse(x: Any) -> bool:
    """Whether x is a sparse tensor of this package or of those that stand in for other libraries'."""
    is_own = type(x).__module__.startswith("voxshift.torch.")
    return is_own and not isinstance(x, torch.nn.Module) and any(hasattr(x, name) for name in _FEATURES)


def features_of(x: Any) -> torch.Tensor:
    """The features of a sparse tensor, in its own order."""
    return getattr(x, next(name for name in _FEATURES if hasattr(x, name)))


def with_features(x: Any, feats: torch.Tensor) -> Any:
    """A sparse tensor like x, with features in x's order."""
    if isinstance(x, SparseTensor):
        return x.with_feats(feats)
    if hasattr(x, "replace_feature"):
        return x.replace_feature(feats)
    if hasattr(x, "with_given"):
        return x.with_given(feats)
    made = copy.copy(x)
    made.feats = feats
    return made


def _cells_of(x: Any) -> Any:
    """The ordered.Cells that the rows of another library's sparse tensor lie on; None of what has points."""
    if hasattr(x, "cells"):
        return x.cells()
    features = x.features() if callable(getattr(x, "features", None)) else getattr(x, "_features", None)
    return None if features is None else features.cells


class Given:
    """An input: its name, the tensor, and the Value that stands for it."""

    def __init__(self, name: str, tensor: torch.Tensor, value: Value):
        self.name, self.tensor, self.value = name, tensor, value

    @property
    def kind(self) -> str:
        if self.value.is_images:
            return "frames"
        return "points" if self.value.order.coordinates is None else "voxels"

    def array(self) -> np.ndarray:
        """The input as the network takes it: rows in the library's order, or images [M, H, W, C]."""
        values = self.tensor.detach().contiguous().numpy()
        if self.value.order.coordinates is not None:
            return np.ascontiguousarray(self.value.sorted_rows(values))
        shape = tuple(self.value.groups.values())
        array = np.empty(int(np.prod(shape)), np.float32)
        array[self.value.view_of(np.arange(array.size)).reshape(-1)] = values.reshape(-1)
        return array.reshape(shape)

    def operand(self) -> Any:
        """What Model.run takes for it."""
        array = self.array()
        if self.kind == "voxels":
            return vs.SparseTensor(self.value.order.coordinates, array)
        if self.kind == "frames":
            return array
        clouds = self.value.shape[0] if len(self.value.dims) == 3 else 1
        return array, np.arange(clouds + 1, dtype=np.int64) * (len(array) // clouds)


class GivenField(Given):
    """Points with their places as the first channels, a batch after the other, for a tensor field."""

    def __init__(self, name: str, field: Any, feats: torch.Tensor):
        self.feats, batch = feats, field.C[:, 0].round().long()
        tensor = torch.cat([field.C[:, 1:].detach(), feats], 1)
        value = rows_value(name, tensor)
        order_of(value.order, batch)
        super().__init__(name, tensor, value)
        self.splits = np.append(0, np.cumsum(np.bincount(batch.numpy()))).astype(np.int64)

    def array(self) -> np.ndarray:
        return np.ascontiguousarray(self.value.sorted_rows(self.tensor.detach().numpy()))

    def operand(self) -> Any:
        return self.array(), self.splits


def _value_of(name: str, tensor: torch.Tensor) -> Optional[Value]:
    """What an input tensor is by its dimensions: rows, points [B, C, L] or [B, L, C], images [M, C, H, W], clips of
    them.
    """
    shape = tuple(tensor.shape)
    if tensor.dim() == 2:
        return rows_value(name, tensor)
    if tensor.dim() == 3:
        b, first, last = shape
        channels_first = first <= last
        c, points = (first, last) if channels_first else (last, first)
        clouds, rows, channels = (Atom("n", points, b),), (Atom("n", 1, points),), (Atom("c", 1, c),)
        dims = (clouds, channels, rows) if channels_first else (clouds, rows, channels)
        return Value(name, {"n": b * points, "c": c}, dims)
    if tensor.dim() == 4:
        return image_value(name, shape)
    if tensor.dim() == 5:
        value = image_value(name, (shape[0] * shape[1], *shape[2:]))
        return value.but(dims=((Atom("m", shape[1], shape[0]),), (Atom("m", 1, shape[1]),), *value.dims[1:]))
    return None


class Example:
    """The arguments of forward, with the float tensors among them as inputs."""

    def __init__(self, module: torch.nn.Module, example: Any):
        self.inputs: list[Given] = []
        self.others: list[tuple[str, torch.Tensor]] = []  # float tensors that no input of a graph can be
        self.kept: list[tuple[torch.Tensor, Value]] = []  # tensors that are inputs, perhaps in other orders
        self.own: set[int] = set()  # ids of what was given, and of the tensors in it
        if isinstance(example, tuple):
            names = _argument_names(module, len(example))
            self.arguments = tuple(self._take(x, name) for x, name in zip(example, names))
        else:
            self.arguments = (self._take(example, "" if isinstance(example, dict) else "input"),)

    def _take(self, x, name):
        """x with tensors of its own in place of the float tensors."""
        if is_sparse(x):
            return self._take_sparse(x, name)
        if isinstance(x, dict):
            return {key: self._take(part, f"{name}.{key}" if name else str(key)) for key, part in x.items()}
        if isinstance(x, (list, tuple)):
            return type(x)(self._take(part, f"{name}.{i}") for i, part in enumerate(x))
        if not isinstance(x, torch.Tensor) or not x.is_floating_point() or _are_named_cells(name, x):
            self.own.add(id(x))
            return x
        x = x.detach()
        self.own.add(id(x))
        value = _value_of(name, x) if x.dtype == torch.float32 else None
        if value is None:
            self.others.append((name, x))
        else:
            self._add(Given(name, x, value))
        return x

    def _take_sparse(self, x, name):
        self.own.add(id(x))
        feats = features_of(x).detach()
        if feats.dtype != torch.float32 or not len(feats):
            found = f"{len(feats)} of {str(feats.dtype).removeprefix('torch.')}"
            raise vs.InvalidArgument(f"[example] expects a sparse tensor of some voxels in float32, found {found}")
        x = with_features(x, feats)
        if hasattr(x, "coordinate_field_map_key") and x.D == 3 and len(feats):
            self._add(GivenField(name, x, feats))
            self.own.update((id(x), id(feats)))
            return x
        value = rows_value(name, feats)
        if isinstance(x, SparseTensor):
            value.order.coordinates = x.coordinates
        elif (cells := _cells_of(x)) is not None:
            value.order.coordinates, value.order.sorted = cells.coordinates, cells.to_sorted
        self._add(Given(name, feats, value))
        self.own.update((id(x), id(feats)))
        return x

    def _add(self, given):
        self.inputs.append(given)
        self.kept.append((given.tensor, given.value))


def _argument_names(module, count):
    kinds = inspect.signature(module.forward).parameters.values()
    names = [p.name for p in kinds if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][:count]
    return names + [f"input{i}" for i in range(len(names), count)]


def second(example: Any) -> Any:
    """An example like the first with about half of its rows, twice in a batch; images and points alike."""
    return _Second(example).made


class _Second:
    def __init__(self, example):
        self.rows = self._rows_of_coordinates(example)
        self.made = self._make(example)

    def _rows_of_coordinates(self, example):
        """(numbers of rows, the batch of each, how many batches there were), of the coordinates in plain tensors, by
        their count.
        """
        found, leaves = {}, _leaves(example)
        self.counts = {x for x in leaves if isinstance(x, int) and not isinstance(x, bool)}
        for x in leaves:
            if isinstance(x, torch.Tensor) and self._have_batches(x):
                found[len(x)] = _halves(x[:, 0].long())
        for x in leaves:
            if _is_offset(x, {len(y) for y in leaves if isinstance(y, torch.Tensor) and y.dim() == 2}):
                sizes = torch.diff(x, prepend=x.new_zeros(1))
                found[int(x[-1])] = _halves(torch.repeat_interleave(torch.arange(len(x)), sizes.long()))
        return found

    def _have_batches(self, x):
        """Whether rows are voxels whose first column is the batch: it ascends from 0, to what a number of the example
        says.
        """
        if x.dim() != 2 or x.shape[1] not in (3, 4, 5) or not len(x) or not _are_whole(x):
            return False
        batch = x[:, 0]
        last = int(batch[-1])
        return int(batch[0]) == 0 and bool((batch[1:] >= batch[:-1]).all()) and (last == 0 or last + 1 in self.counts)

    def _make(self, x, name=""):
        if is_sparse(x):
            return _second_sparse(x)
        if isinstance(x, dict):
            return {key: self._make(part, str(key)) for key, part in x.items()}
        if isinstance(x, (list, tuple)):
            return type(x)(self._make(part, name) for part in x)
        if isinstance(x, int) and not isinstance(x, bool):
            counts = {batches for _, _, batches in self.rows.values()}
            return 2 * x if x in counts else x
        if not isinstance(x, torch.Tensor) or x.dim() == 0:
            return x
        if _is_offset(x, set(self.rows)):
            batches = self.rows[int(x[-1])][1]
            return torch.cumsum(torch.bincount(batches), 0).to(x.dtype)
        if len(x) in self.rows:
            rows, batches, _ = self.rows[len(x)]
            part = x[rows].clone()
            if self._have_batches(x):
                part[:, 0] = batches.to(part.dtype)
            return part
        return _second_dense(x)


def _leaves(x):
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, (list, tuple)):
        return [leaf for part in x for leaf in _leaves(part)]
    return [x]


def _are_whole(x):
    return not x.is_floating_point() or torch.equal(x, x.round())


def _are_named_cells(name, x):
    """Whether a float tensor holds coordinates of voxels, as some model code has them."""
    named = any(part in name.lower() for part in ("coor", "indices"))
    return named and x.dim() == 2 and x.shape[1] in (2, 3, 4, 5) and _are_whole(x)


def _is_offset(x, counts):
    """Whether whole numbers are where batches of rows end."""
    is_list = isinstance(x, torch.Tensor) and x.dim() == 1 and not x.is_floating_point() and len(x) > 0
    return is_list and int(x[-1]) in counts and bool((x[1:] >= x[:-1]).all()) and x.dtype != torch.bool


def _halves(batch):
    """Every second row, and every third from the second on as another batch."""
    numbers = torch.arange(len(batch))
    rows = torch.cat([numbers[::2], numbers[1::3]])
    batches = torch.cat([2 * batch[::2], 2 * batch[1::3] + 1])
    order = torch.argsort(batches, stable=True)
    return rows[order], batches[order], int(batch.max()) + 1


def _second_sparse(x):
    coords = next(getattr(x, name) for name in ("indices", "coords", "C") if hasattr(x, name))
    column = _column_of_batches(x)
    rows, batches, _ = _halves(coords[:, column].long())
    made = coords[rows].clone()
    made[:, column] = batches.to(made.dtype)
    return _like(x, features_of(x).detach()[rows], made)


def _column_of_batches(x):
    if ".torchsparse." not in type(x).__module__:
        return 0
    from voxshift.torch.torchsparse.rules import rules

    return rules().batch


def _like(x, feats, coords):
    """A sparse tensor of x's class."""
    if isinstance(x, SparseTensor):
        shape = x.coordinates.shape
        return SparseTensor(feats, coords, x.stride, None if shape is None else list(shape))
    if hasattr(x, "spatial_shape") and hasattr(x, "indices"):
        return type(x)(feats, coords, x.spatial_shape, 2 * x.batch_size)
    if hasattr(x, "coordinate_field_map_key"):
        return type(x)(feats, coordinates=coords, quantization_mode=x.quantization_mode)
    if hasattr(x, "coordinate_manager"):
        return type(x)(feats, coordinates=coords)
    return type(x)(feats, coords, x.s if hasattr(x, "s") else x.stride)


def _second_dense(x):
    """Images and points, each twice in the batch: as they are with half the numbers, and the other way round."""
    if not x.is_floating_point() or x.dim() < 3:
        return x
    return torch.cat([x * 0.5, x.flip(-1)])
