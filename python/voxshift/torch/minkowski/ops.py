"""MinkowskiEngine.MinkowskiOps."""

import itertools
from functools import reduce
from typing import Any, Callable, Optional, Sequence, Union

import torch
from torch import nn

import voxshift as vs
from voxshift.torch.expected import expect
from voxshift.torch.functional import linear
from voxshift.torch.minkowski.common import MinkowskiModuleBase
from voxshift.torch.minkowski.sparse_tensor import SparseTensor
from voxshift.torch.minkowski.tensor import Tensor
from voxshift.torch.minkowski.tensor_field import TensorField


class MinkowskiLinear(nn.Module):
    """torch.nn.Linear of the features; it is the module `linear`."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        expect("minkowski", input, Tensor)
        x = input.rows()
        given = self.linear.weight, self.linear.bias
        return input.with_rows(linear(x, *given) if x.dtype == torch.float32 else nn.functional.linear(x, *given))

    def __repr__(self) -> str:
        layer = self.linear
        return (
            f"{type(self).__name__}(in_features={layer.in_features}, out_features={layer.out_features}, "
            f"bias={layer.bias is not None})"
        )


def _of_all(tensors: Sequence[Any], function: Callable) -> Tensor:
    """A function of the features of two or more tensors with one key. Raises ValueError for fewer or other keys."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tensors[0]
    if len(tensors) < 2:
        raise vs.InvalidArgument(f"[minkowski] expects two tensors or more, found {len(tensors)}")
    for other in tensors[1:]:
        tensors[0]._is_same_key(other)
    return tensors[0].with_rows(function(tensors[0].aligned(*tensors)))


def _variance(xs):
    middle = _total(xs) / len(xs)
    return _total([(x - middle) ** 2 for x in xs]) / len(xs)


def _total(xs):
    return reduce(lambda a, b: a + b, xs)


def cat(*sparse_tensors: Any) -> Tensor:
    """Channels side by side, of tensors, or of a list of them, with one key. Raises ValueError."""
    return _of_all(sparse_tensors, lambda xs: torch.cat(xs, dim=-1))


def sum(*sparse_tensors: Any) -> Tensor:
    """The sum of tensors with one key. Raises ValueError."""
    return _of_all(sparse_tensors, _total)


def mean(*sparse_tensors: Any) -> Tensor:
    """The mean of tensors with one key. Raises ValueError."""
    return _of_all(sparse_tensors, lambda xs: _total(xs) / len(xs))


def var(*sparse_tensors: Any) -> Tensor:
    """The biased variance over tensors with one key. Raises ValueError."""
    return _of_all(sparse_tensors, _variance)


def dense_coordinates(shape: Sequence[int]) -> torch.Tensor:
    """int32 [B * .., 1 + D]: batch and place of every cell of a dense tensor [B, C, ..]."""
    if len(shape) < 3:
        raise vs.InvalidArgument(f"[dense_coordinates] expects [B, C, ..], found {list(shape)}")
    places = list(itertools.product(*(range(n) for n in (shape[0], *shape[2:]))))
    return torch.tensor(places, dtype=torch.int).view(-1, len(shape) - 1)


def to_sparse(x: torch.Tensor, format: Optional[str] = None, coordinates=None, device=None) -> SparseTensor:
    """The cells of a dense tensor that are not 0 in all channels. format: "BC.." by default, C at the channels' axis."""
    format = format or "BC" + "X" * (x.dim() - 2)
    if x.dim() < 3 or len(format) != x.dim() or format[0] != "B" or format.count("C") != 1:
        raise vs.InvalidArgument(f"[to_sparse] format expects B, .. C .. for {x.dim()} axes, found {format}")
    x = x.movedim(format.index("C"), -1)
    places = torch.nonzero(x.abs().sum(-1))
    return SparseTensor(x[tuple(places.t())], places.int())


def to_sparse_all(dense_tensor: torch.Tensor, coordinates: Optional[torch.Tensor] = None) -> SparseTensor:
    """All cells of a dense tensor [B, C, ..]."""
    places = dense_coordinates(dense_tensor.shape) if coordinates is None else coordinates
    places = places.to(dense_tensor.device)
    return SparseTensor(dense_tensor.movedim(1, -1).reshape(-1, dense_tensor.shape[1]), places)


class MinkowskiToSparseTensor(MinkowskiModuleBase):
    """A tensor field's voxels, or a dense tensor's cells."""

    def __init__(self, remove_zeros: bool = True, coordinates: Optional[torch.Tensor] = None):
        super().__init__()
        self.remove_zeros, self.coordinates = remove_zeros, coordinates

    def forward(self, input: Union[TensorField, torch.Tensor]) -> SparseTensor:
        if isinstance(input, TensorField):
            return input.sparse()
        if self.remove_zeros and self.coordinates is not None:
            return to_sparse(input)
        return to_sparse_all(input, self.coordinates)


class MinkowskiToDenseTensor(MinkowskiModuleBase):
    """dense(shape) as a module: float32 [B, C, ..]."""

    def __init__(self, shape: Optional[torch.Size] = None):
        super().__init__()
        self.shape = shape

    def forward(self, input: SparseTensor) -> torch.Tensor:
        expect("minkowski", input, SparseTensor)
        return input.dense(shape=self.shape)[0]


class MinkowskiToFeature(MinkowskiModuleBase):
    """The features."""

    def forward(self, x: Tensor) -> torch.Tensor:
        expect("minkowski", x, Tensor)
        return x.F


class MinkowskiStackCat(nn.Sequential):
    """cat of what each module gives."""

    def forward(self, x: Tensor) -> Tensor:
        return cat([module(x) for module in self])


class MinkowskiStackSum(nn.Sequential):
    """sum of what each module gives."""

    def forward(self, x: Tensor) -> Tensor:
        return sum([module(x) for module in self])


class MinkowskiStackMean(nn.Sequential):
    """mean of what each module gives."""

    def forward(self, x: Tensor) -> Tensor:
        return mean([module(x) for module in self])


class MinkowskiStackVar(nn.Sequential):
    """var of what each module gives."""

    def forward(self, x: Tensor) -> Tensor:
        return var([module(x) for module in self])
