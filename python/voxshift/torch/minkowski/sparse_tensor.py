"""MinkowskiEngine.SparseTensor."""

import math
import warnings
from typing import Any, Callable, List, Optional, Union

import torch

import voxshift as vs
from voxshift.torch import recording
from voxshift.torch.memory import is_taken, taken, taken_together
from voxshift.torch.minkowski.common import CoordinateMapKey, StrideType, convert_to_int_list
from voxshift.torch.minkowski.manager import CoordinateManager
from voxshift.torch.minkowski.tensor import SparseTensorQuantizationMode, Tensor, manager_for
from voxshift.torch.ordered import Features
from voxshift.torch.points import gather, mixture, summed, voxelize_features
from voxshift.torch.windows import aligned

Mode = SparseTensorQuantizationMode
REDUCED = {Mode.UNWEIGHTED_SUM: "sum", Mode.UNWEIGHTED_AVERAGE: "mean", Mode.MAX_POOL: "max"}


def quantized(feats: torch.Tensor, first: torch.Tensor, inverse: torch.Tensor, mode: Mode) -> torch.Tensor:
    """Features [M, C] of distinct rows: those of the first of each, or reduced over all, as the mode says."""
    if mode in REDUCED and len(first) < len(feats):
        return voxelize_features(feats, inverse, len(first), REDUCED[mode])
    return feats if len(first) == len(feats) else feats[first]


class SparseTensor(Tensor):
    """Features float32 [N, C] at coordinates int32 [N, 1 + D], batch first, or on a map of a coordinate manager.

    coordinates: multiples of tensor_stride; of equal ones one row is left, whose features quantization_mode chooses. F and C
    are then in the order of first appearance. Raises ValueError for other shapes.
    """

    def __init__(
        self,
        features: torch.Tensor,
        coordinates: Optional[torch.Tensor] = None,
        tensor_stride: StrideType = 1,
        coordinate_map_key: Optional[CoordinateMapKey] = None,
        coordinate_manager: Optional[CoordinateManager] = None,
        quantization_mode: SparseTensorQuantizationMode = Mode.RANDOM_SUBSAMPLE,
        allocator_type: Any = None,
        minkowski_algorithm: Any = None,
        requires_grad: Optional[bool] = None,
        device: Any = None,
    ):
        if not isinstance(features, torch.Tensor) or features.dim() != 2:
            raise vs.InvalidArgument("[SparseTensor] features expects a tensor [N, C]")
        features = taken("SparseTensor", "features", features if device is None else features.to(device))
        if coordinates is None and (coordinate_map_key is None or coordinate_manager is None):
            raise vs.InvalidArgument(
                "[SparseTensor] expects coordinates, or coordinate_map_key and coordinate_manager"
            )
        if coordinates is not None and coordinate_map_key is not None:
            raise vs.InvalidArgument("[SparseTensor] expects coordinates or coordinate_map_key, found both")
        self.quantization_mode = quantization_mode
        if coordinates is not None:
            coordinates = coordinates if device is None else coordinates.to(device)
            taken_together("SparseTensor", {"features": features, "coordinates": coordinates})
            dimension = coordinates.shape[1] - 1
            self._manager = coordinate_manager or manager_for(dimension, minkowski_algorithm)
            features, coordinate_map_key = self._initialize(coordinates, features, tensor_stride)
        else:
            self._manager = coordinate_manager
        if requires_grad is not None:
            features.requires_grad_(requires_grad)
        self.coordinate_map_key = coordinate_map_key
        self._features = Features(self._manager.cells(coordinate_map_key), given=features)

    def _initialize(self, coordinates, features, tensor_stride):
        if len(coordinates) != len(features):
            raise vs.InvalidArgument(f"[SparseTensor] {len(coordinates)} coordinates, but {len(features)} rows of features")
        if coordinates.dtype != torch.int:
            warnings.warn("coordinates implicitly converted to torch.IntTensor: use .int() to convert them", stacklevel=3)
            coordinates = torch.floor(coordinates.float() if coordinates.is_floating_point() else coordinates).int()
        stride = convert_to_int_list(tensor_stride, self._manager.D)
        key, (self.unique_index, self.inverse_mapping) = self._manager.insert_and_map(coordinates.contiguous(), stride)
        out = quantized(features, self.unique_index, self.inverse_mapping, self.quantization_mode)
        if out is not features:
            self._C = coordinates[self.unique_index]
        else:
            self._C = coordinates
        return out, key

    @classmethod
    def on(cls, manager: CoordinateManager, key: CoordinateMapKey, features: Features) -> "SparseTensor":
        """What an operator made."""
        x = cls.__new__(cls)
        x._manager, x.coordinate_map_key, x._features = manager, key, features
        x.quantization_mode = Mode.RANDOM_SUBSAMPLE
        return x

    coordinate_key = property(lambda self: self.coordinate_map_key)

    @property
    def F(self) -> torch.Tensor:
        return self._features.given

    def _set(self, feats: torch.Tensor) -> None:
        self._features = Features(self._features.cells, given=feats)

    def _take(self, other: "SparseTensor") -> None:
        self._features = other._features

    def _coordinates(self) -> torch.Tensor:
        return self._manager.get_coordinates(self.coordinate_map_key)

    def _origin_rows(self):
        return self._manager.origin_map(self.coordinate_map_key)

    def rows(self) -> torch.Tensor:
        """Features in an order that costs nothing, for what is done to every row alike."""
        return self._features.at_hand

    def batch_of_rows(self) -> torch.Tensor:
        """int64 [N]: the batch of each of rows()."""
        cells = self._features.cells
        return (cells.coords if self._features.is_given else cells.sorted_coords)[:, 0].long()

    def with_rows(self, rows: torch.Tensor) -> "SparseTensor":
        """Other features in the order of rows(), on the same coordinates."""
        out = SparseTensor.on(self._manager, self.coordinate_map_key, self._features.with_rows(rows))
        out._C, out._batch_rows = self._C, self._batch_rows
        return out

    def with_given(self, feats: torch.Tensor) -> "SparseTensor":
        """Other features in the order of F, on the same coordinates."""
        out = self.with_rows(self.rows())
        out._set(feats)
        return out

    @staticmethod
    def aligned(*tensors: "SparseTensor") -> List[torch.Tensor]:
        """Features of tensors with one key, all in the order of the first's rows()."""
        return aligned(*(x._features for x in tensors))

    def _of_union(self, other: "SparseTensor", function: Callable) -> "SparseTensor":
        key = CoordinateMapKey(self.D + 1)
        maps = self._manager.union_map([self.coordinate_map_key, other.coordinate_map_key], key)
        cells = self._manager.cells(key)
        out = self.F.new_zeros((len(cells), self.shape[1])).index_copy(0, maps[0][1], self.F[maps[0][0]])
        mixed = function(out[maps[1][1]], other.F[maps[1][0]])
        out = out.index_copy(0, maps[1][1], mixed)
        recording.refuse("arithmetic of tensors on different coordinates", out)
        result = SparseTensor.on(self._manager, key, Features(cells, sorted=out))
        if function is _add:
            recording.note("union_add", (self._features.sorted, other._features.sorted), out)
        return result

    def __add__(self, other):
        return self._binary_functor(other, _add)

    def sparse(self, min_coords=None, max_coords=None, contract_coords: bool = True):
        """(torch sparse tensor [B, .., C], lowest coordinates, tensor stride)."""
        stride = torch.tensor(self.tensor_stride, dtype=torch.int, device=self.device)
        batch, places = self.C[:, :1], self.C[:, 1:]
        lowest = places.min(0, keepdim=True)[0] if min_coords is None else min_coords.view(1, -1)
        highest = None if max_coords is None else max_coords.view(1, -1)
        for what, corner in (("minimum", lowest), ("maximum", highest)):
            if corner is not None and (corner % stride).any():
                raise vs.InvalidArgument(f"[sparse] the {what} coordinates must be divisible by the tensor stride")
        places = places - lowest
        if contract_coords:
            places, lowest = (torch.div(x, stride, rounding_mode="floor") for x in (places, lowest))
            highest = None if highest is None else torch.div(highest, stride, rounding_mode="floor")
        index = torch.cat((batch, places), dim=1).t().long()
        size = []
        if highest is not None:
            extent = (highest - lowest + 1)[0].tolist()
            size = [torch.Size([int(batch.max()) + 1, *extent, self.shape[1]])]
        return torch.sparse_coo_tensor(index, self.F, *size), lowest, stride

    def dense(self, shape=None, min_coordinate=None, contract_stride: bool = True):
        """(float32 [B, C, ..], lowest coordinate, tensor stride): 0 where there is no voxel. Raises ValueError."""
        stride = torch.tensor(self.tensor_stride, dtype=torch.int, device=self.device)
        if not len(self):
            if shape is None:
                raise vs.InvalidArgument("[dense] expects a shape for a tensor without voxels")
            empty = torch.zeros(shape, dtype=self.dtype, device=self.device)
            return empty, stride.new_zeros(self.D), self.tensor_stride
        batch, places = self.C[:, 0].long(), self.C[:, 1:]
        lowest = min_coordinate
        if lowest is None:
            lowest = places.min(0, keepdim=True)[0]
            if (lowest < 0).any():
                raise vs.InvalidArgument(f"[dense] a coordinate is negative: {lowest.tolist()}: give min_coordinate")
        elif isinstance(lowest, torch.Tensor):
            lowest = lowest.view(1, -1)
            places = places - lowest
        if (torch.as_tensor(lowest, device=self.device) % stride).any():
            raise vs.InvalidArgument("[dense] the minimum coordinates must be divisible by the tensor stride")
        if contract_stride:
            places = torch.div(places, stride, rounding_mode="floor")
        extent = (places.max(0)[0] + 1).tolist() if shape is None else list(shape[2:])
        batches = int(batch.max()) + 1 if shape is None else shape[0]
        if int(batch.max()) >= batches:
            raise vs.InvalidArgument(f"[dense] batch {int(batch.max())} lies outside of the shape's {batches}")
        index = batch
        for axis, size in enumerate(extent):
            index = index * size + places[:, axis].long()
        outside = (places < 0) | (places >= places.new_tensor(extent))
        if outside.any():
            raise vs.InvalidArgument(f"[dense] {int(outside.any(1).sum())} voxels lie outside of the shape {extent}")
        dense = summed(self.F, index, batches * math.prod(extent))
        dense = dense.view(batches, *extent, -1).movedim(-1, 1)
        is_own_grid = contract_stride or bool((stride == 1).all())
        if shape is not None and min_coordinate is None and is_own_grid and recording.is_under_way():
            recording.dense(self.F, dense)
        return dense, lowest, stride

    def features_at_coordinates(self, query_coordinates: torch.Tensor) -> torch.Tensor:
        """float32 [M, C]: the linear mixture of the 2^D voxels around coordinates float32 [M, 1 + D], 0 for those absent."""
        rows, weights = self._manager.corners(self.coordinate_map_key, query_coordinates)
        feats = self._features.sorted
        if not len(feats):
            return feats.new_zeros((len(rows), feats.shape[1]))
        return mixture(feats, rows, weights)

    def interpolate(self, X):
        """The tensor field of features_at_coordinates(X.C)."""
        return X.with_rows(self.features_at_coordinates(X.C))

    def slice(self, X):
        """The tensor field X's points with the features of the voxels that they lie in; X may be a SparseTensor's origin."""
        rows = self._rows_of(X)
        return self._sliced(X, recording.sliced(self.F, X.F, rows_of(self.F, rows)), rows)

    def cat_slice(self, X):
        """slice(X) with X's own features behind."""
        rows = self._rows_of(X)
        own = recording.sliced(self.F, X.F, rows_of(self.F, rows))
        return self._sliced(X, torch.cat((own, X.F), dim=1), rows)

    def _rows_of(self, X):
        if X.quantization_mode not in (Mode.RANDOM_SUBSAMPLE, Mode.UNWEIGHTED_AVERAGE):
            raise vs.InvalidArgument(f"[slice] expects RANDOM_SUBSAMPLE or UNWEIGHTED_AVERAGE, found {X.quantization_mode}")
        if isinstance(X, SparseTensor):
            self._is_same_key(X)
            return X.inverse_mapping
        return X.inverse_mapping(self.coordinate_map_key).long()

    def _sliced(self, X, feats, rows):
        from voxshift.torch.minkowski.tensor_field import TensorField

        if isinstance(X, SparseTensor):
            options = {"coordinate_manager": self._manager, "quantization_mode": self.quantization_mode}
            return TensorField(feats, coordinates=self.C[rows].float(), **options)
        return X.with_rows(feats)


def rows_of(feats: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """feats[rows], whose gradient has one order of sums."""
    return gather(feats, rows.int()) if is_taken(feats, halves=True) else feats[rows]


def _add(a, b):
    return a + b


def key_of(
    x: SparseTensor, coordinates: Union[torch.Tensor, CoordinateMapKey, Tensor, None], stride: List[int]
) -> Optional[CoordinateMapKey]:
    """The key of the coordinates that a layer is to give its result on; a tensor's become a new map of this stride."""
    if coordinates is None or isinstance(coordinates, CoordinateMapKey):
        return coordinates
    if isinstance(coordinates, Tensor):
        return coordinates.coordinate_key
    return x.coordinate_manager.insert_and_map(coordinates.int().contiguous(), stride)[0]


def on_key(manager: CoordinateManager, key: CoordinateMapKey, feats: torch.Tensor) -> SparseTensor:
    """Features [N, C] on a map of the manager, in its rows' order."""
    return SparseTensor.on(manager, key, Features(manager.cells(key), given=feats))
