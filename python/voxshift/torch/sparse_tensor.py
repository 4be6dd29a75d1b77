"""Sparse tensors whose features carry gradients."""

from typing import Iterable, Optional, Sequence, Union

import numpy as np
import torch

import voxshift as vs
from voxshift.torch import precision, recording
from voxshift.torch.functional import Axes
from voxshift.torch.functional import cat as cat_features
from voxshift.torch.memory import array, copied, device_of, numbers, tensor_of


class SparseTensor:
    """Coordinates, and features float32 [N, C] that carry gradients; names and argument order are torchsparse's.

    feats: torch float32 [N, C]. coords: a voxshift.Coordinates, with feats in the order of its rows; or int32 [N, 1 + D], batch first, in
    units of their own grid, on the device of feats (numpy's go there). stride: size of a grid cell in cells of the network's
    input. shape: extent per axis, for bounded convolutions. Rows come to lie in lexicographic order of their coordinates;
    where they do not already, feats is permuted, and `inverse` tells where each given row went. Raises ValueError
    for other shapes or dtypes, for coords on another device and for repeated coordinates.
    """

    cells_of_points = None  # the CellsOfPoints whose voxels these are, if they are any's

    def __init__(
        self,
        feats: torch.Tensor,
        coords: Union[torch.Tensor, np.ndarray, vs.Coordinates],
        stride: Axes = 1,
        shape: Optional[Axes] = None,
    ):
        feats = precision.of_rows(feats)
        array("SparseTensor", "feats", feats, halves=True)
        given = len(coords)
        if isinstance(coords, vs.Coordinates):
            if stride != 1 or shape is not None:
                raise vs.InvalidArgument("[SparseTensor] stride and shape are those of the Coordinates")
            if device_of(coords) != feats.device:
                raise vs.InvalidArgument(f"[SparseTensor] feats are on {feats.device}, the Coordinates on {coords.device}")
            self.coordinates, self.inverse = coords, _no_rows(feats.device)
        else:
            coords = numbers("SparseTensor", "coords", coords, feats.device)
            self.coordinates = vs.Coordinates(coords, stride, shape)
            self.inverse = tensor_of(self.coordinates.inverse).long()
        if self.coordinates.size != given:
            raise vs.InvalidArgument(f"[SparseTensor] {given - self.coordinates.size} repeated coordinates")
        if len(feats) != given:
            raise vs.InvalidArgument(f"[SparseTensor] {given} coordinates, but {len(feats)} rows of feats")
        identity = torch.arange(len(self.inverse), device=feats.device)
        if not torch.equal(self.inverse, identity):
            order = torch.empty_like(self.inverse)
            order[self.inverse] = identity
            feats = recording.same(feats, feats[order], order)
        recording.placed(feats, self.coordinates)
        self.feats = feats

    @classmethod
    def _of(cls, coordinates, feats):
        recording.placed(feats, coordinates)
        x = cls.__new__(cls)
        x.coordinates, x.feats, x.inverse = coordinates, feats, _no_rows(feats.device)
        return x

    def on(self, coordinates: vs.Coordinates, feats: torch.Tensor) -> "SparseTensor":
        """Features on coordinates that an operator made of this tensor's."""
        if self.cells_of_points is not None and coordinates.same_coordinates(self.coordinates):
            return self.with_feats(feats)
        return SparseTensor._of(coordinates, feats)

    def with_feats(self, feats: torch.Tensor) -> "SparseTensor":
        """The same coordinates with other features [N, C']."""
        x = SparseTensor._of(self.coordinates, feats)
        x.cells_of_points = self.cells_of_points
        return x

    @property
    def coords(self) -> torch.Tensor:
        """int32 [N, 1 + D], batch first, on the device of feats; a copy."""
        return copied(self.coordinates.coords)

    @property
    def device(self) -> torch.device:
        """Where coordinates and features are."""
        return self.feats.device

    def to(self, device: Union[str, torch.device]) -> "SparseTensor":
        """On "cpu" or on a CUDA device; the tensor itself where it is there. Kernel maps are made anew there."""
        device = torch.device(device)
        if device.type == self.device.type and device.index in (None, self.device.index):
            return self
        feats = self.feats.to(device)
        x = SparseTensor._of(self.coordinates.to(str(feats.device)), feats)
        x.inverse = self.inverse.to(device)
        return x

    @property
    def stride(self) -> tuple[int, ...]:
        """Size of a grid cell per axis, in cells of the network's input."""
        return self.coordinates.stride

    F = property(lambda self: self.feats, lambda self, feats: setattr(self, "feats", feats))
    C = property(lambda self: self.coords)
    s = property(lambda self: self.stride)

    def __len__(self) -> int:
        return len(self.feats)

    def __add__(self, other: "SparseTensor") -> "SparseTensor":
        check_together("add", (self, other))
        check_channels("add", self, other)
        return self.with_feats(self.feats + other.feats)

    def __repr__(self):
        return f"SparseTensor(size={len(self)}, channels={self.feats.shape[1]}, stride={self.stride})"


def _no_rows(device):
    return torch.empty(0, dtype=torch.long, device=device)


def check_together(op: str, tensors: Sequence[SparseTensor]) -> None:
    """Raises ValueError unless the tensors, at least one, have the same strides and equal coordinates."""
    if not tensors:
        raise vs.InvalidArgument(f"[{op}] expects at least one tensor")
    first = tensors[0]
    for x in tensors[1:]:
        if x.stride != first.stride or not x.coordinates.same_coordinates(first.coordinates):
            differ = "whose coordinates differ" if x.stride == first.stride else "of other strides"
            raise vs.InvalidArgument(f"[{op}] expects tensors on the same coordinates, found {first} and {x}, {differ}")


def check_channels(op: str, x: SparseTensor, other: SparseTensor) -> None:
    """Raises ValueError unless both have as many channels: torch would spread one over many."""
    if x.feats.shape[1] != other.feats.shape[1]:
        raise vs.InvalidArgument(f"[{op}] tensors have {x.feats.shape[1]} and {other.feats.shape[1]} channels")


def cat(tensors: Iterable[SparseTensor]) -> SparseTensor:
    """Channels side by side, [N, sum C], for tensors on equal coordinates. Raises ValueError otherwise."""
    tensors = list(tensors)
    check_together("cat", tensors)
    return tensors[0].with_feats(cat_features([x.feats for x in tensors], tensors[0].coordinates))

