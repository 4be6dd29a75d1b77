"""Points to voxels."""

from typing import Any, Optional, Sequence, Tuple, Union

import numpy as np
import torch

import voxshift as vs
from voxshift.torch.memory import on_host
from voxshift.torch.minkowski.manager import unique_rows

Array = Union[np.ndarray, torch.Tensor]


def fnv_hash_vec(arr: np.ndarray) -> np.ndarray:
    """uint64 [N]: FNV-64 of each row of whole numbers, multiplied, then xor."""
    found = np.full(len(arr), 14695981039346656037, np.uint64)
    for column in arr.astype(np.uint64, copy=False).T:
        found = (found * np.uint64(1099511628211)) ^ column
    return found


def ravel_hash_vec(arr: np.ndarray) -> np.ndarray:
    """uint64 [N]: the place of each row in the box around all, last column fastest."""
    arr = (arr - arr.min(0)).astype(np.uint64)
    keys = np.zeros(len(arr), np.uint64)
    for column, extent in zip(arr.T, arr.max(0) + np.uint64(1)):
        keys = keys * extent + column
    return keys


def _floor(coordinates: Array, size: Any) -> Array:
    """int32: floor(coordinates / size)."""
    if size is not None:
        if isinstance(size, (Sequence, np.ndarray, torch.Tensor)):
            if len(size) != coordinates.shape[1]:
                raise vs.InvalidArgument(f"[sparse_quantize] {coordinates.shape[1]} axes, but {len(size)} sizes")
            values = [float(value) for value in size]
            size = np.array(values) if isinstance(coordinates, np.ndarray) else torch.tensor(values, device=coordinates.device)
        coordinates = coordinates / size
    if isinstance(coordinates, np.ndarray):
        return np.floor(coordinates).astype(np.int32)
    return (torch.floor(coordinates) if coordinates.is_floating_point() else coordinates).int()


def _like(given: Array, values: np.ndarray) -> torch.Tensor:
    """A tensor of values, on the device of what was given."""
    return torch.from_numpy(values).to(given.device if isinstance(given, torch.Tensor) else "cpu")


def _first_of(cells: Array) -> Tuple[np.ndarray, np.ndarray]:
    """(first rows, place of every row) of distinct ones, in order of appearance, whatever the number of columns."""
    cells = on_host(cells)
    if 1 <= cells.shape[1] <= 4:
        padded = np.zeros((len(cells), cells.shape[1] + 1), np.int32)
        padded[:, 1:] = cells
        try:
            return tuple(map(on_host, unique_rows(torch.from_numpy(padded))))
        except vs.InvalidArgument:  # further apart than keys of 63 bits reach
            pass
    _, first, inverse = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return first[order], place[inverse.reshape(-1)]


def sparse_quantize(
    coordinates: Array,
    features: Optional[Array] = None,
    labels: Optional[Array] = None,
    ignore_label: int = -100,
    return_index: bool = False,
    return_inverse: bool = False,
    return_maps_only: bool = False,
    quantization_size: Any = None,
    device: Any = "cpu",
) -> Any:
    """The distinct cells int32 [M, D] of coordinates [N, D], in order of appearance.

    With features those of the first of each cell; with labels its label, or ignore_label where its points disagree; with
    return_index the first point of each cell, with return_inverse the cell of each point (both alone with
    return_maps_only). Raises ValueError for other shapes.
    """
    if coordinates.ndim != 2:
        raise vs.InvalidArgument(f"[sparse_quantize] coordinates expects [N, D], found {list(coordinates.shape)}")
    if return_inverse and not return_index:
        raise vs.InvalidArgument("[sparse_quantize] return_inverse expects return_index")
    for what, values in (("features", features), ("labels", labels)):
        if values is not None and len(values) != len(coordinates):
            raise vs.InvalidArgument(f"[sparse_quantize] {len(coordinates)} coordinates, but {len(values)} {what}")
    cells = _floor(coordinates, quantization_size)
    first, inverse = _first_of(cells)
    as_numpy = labels is not None and isinstance(coordinates, np.ndarray)
    index, back = (first, inverse) if as_numpy else (_like(coordinates, first), _like(coordinates, inverse))
    if return_maps_only:
        return (index, back) if return_inverse else index
    cells = cells if as_numpy or isinstance(cells, torch.Tensor) else torch.from_numpy(cells)
    found = [cells[index]]
    if features is not None:
        found.append(features[first] if isinstance(features, np.ndarray) else features[_like(features, first)])
    if labels is not None:
        found.append(_common_labels(labels, first, inverse, ignore_label))
    found += [index] * return_index + [back] * return_inverse
    return found[0] if len(found) == 1 else tuple(found)


def _common_labels(labels: Array, first: np.ndarray, inverse: np.ndarray, ignore_label: int) -> Array:
    values = on_host(labels)
    common = values[first].astype(np.int32)
    common[inverse[values != values[first][inverse]]] = ignore_label
    return common if isinstance(labels, np.ndarray) else _like(labels, common)


def quantize(coords: Array) -> Tuple[Array, Array]:
    """(first rows, place of every row) of the distinct rows of int32 [N, D]."""
    first, inverse = _first_of(coords)
    if isinstance(coords, np.ndarray):
        return first.astype(np.int32), inverse.astype(np.int32)
    return _like(coords, first), _like(coords, inverse)


def quantize_label(coords: Array, labels: Array, ignore_label: int) -> Tuple[Array, Array, Array]:
    """quantize(coords), and of each distinct row its label, or ignore_label where the labels disagree."""
    first, inverse = _first_of(coords)
    return (*quantize(coords), _common_labels(labels, first, inverse, ignore_label))


def unique_coordinate_map(coordinates: torch.Tensor, tensor_stride: Any = 1) -> Tuple[torch.Tensor, torch.Tensor]:
    """(first rows, place of every row) of the distinct coordinates int32 [N, 1 + D]."""
    return unique_rows(coordinates.int())
