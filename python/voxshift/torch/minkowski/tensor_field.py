"""MinkowskiEngine.TensorField."""

from typing import Any, Dict, List, Optional

import torch

import voxshift as vs
from voxshift.torch import recording
from voxshift.torch.memory import taken, taken_together
from voxshift.torch.minkowski.common import CoordinateMapKey, StrideType, convert_to_int_list
from voxshift.torch.minkowski.manager import CoordinateManager
from voxshift.torch.minkowski.sparse_tensor import REDUCED, SparseTensor, quantized
from voxshift.torch.minkowski.tensor import SparseTensorQuantizationMode, Tensor, manager_for
from voxshift.torch.ordered import Features
from voxshift.torch.points import summed, voxelize_features

Mode = SparseTensorQuantizationMode


class TensorField(Tensor):
    """Features float32 [N, C] at continuous coordinates float32 [N, 1 + D], batch first. Raises ValueError for others."""

    def __init__(
        self,
        features: torch.Tensor,
        coordinates: Optional[torch.Tensor] = None,
        tensor_stride: StrideType = 1,
        coordinate_field_map_key: Optional[CoordinateMapKey] = None,
        coordinate_manager: Optional[CoordinateManager] = None,
        quantization_mode: SparseTensorQuantizationMode = Mode.UNWEIGHTED_AVERAGE,
        allocator_type: Any = None,
        minkowski_algorithm: Any = None,
        requires_grad: Optional[bool] = None,
        device: Any = None,
    ):
        if not isinstance(features, torch.Tensor) or features.dim() != 2:
            raise vs.InvalidArgument("[TensorField] features expects a tensor [N, C]")
        features = taken("TensorField", "features", features if device is None else features.to(device))
        if coordinates is None and (coordinate_field_map_key is None or coordinate_manager is None):
            raise vs.InvalidArgument(
                "[TensorField] expects coordinates, or coordinate_field_map_key and coordinate_manager"
            )
        self.quantization_mode = quantization_mode
        if coordinates is not None:
            coordinates = coordinates if device is None else coordinates.to(device)
            taken_together("TensorField", {"features": features, "coordinates": coordinates})
            if len(coordinates) != len(features):
                raise vs.InvalidArgument(f"[TensorField] {len(coordinates)} coordinates, but {len(features)} rows")
            self._manager = coordinate_manager or manager_for(coordinates.shape[1] - 1, minkowski_algorithm)
            stride = convert_to_int_list(tensor_stride, self._manager.D)
            self._C = coordinates.float()
            coordinate_field_map_key = self._manager.insert_field(self._C, stride)
        else:
            self._manager = coordinate_manager
        if requires_grad is not None:
            features.requires_grad_(requires_grad)
        self._feats = features
        self.coordinate_field_map_key = coordinate_field_map_key
        self._inverse_mapping: Dict[CoordinateMapKey, torch.Tensor] = {}

    coordinate_key = property(lambda self: self.coordinate_field_map_key)
    coordinate_map_key = property(lambda self: self.coordinate_field_map_key)
    F = property(lambda self: self._feats)

    def _set(self, feats: torch.Tensor) -> None:
        self._feats = feats

    def _take(self, other: "TensorField") -> None:
        self._feats = other._feats

    def _coordinates(self) -> torch.Tensor:
        return self._manager.get_coordinate_field(self.coordinate_field_map_key)

    def _origin_rows(self):
        return self._manager.origin_field_map(self.coordinate_field_map_key)

    def rows(self) -> torch.Tensor:
        return self._feats

    def batch_of_rows(self) -> torch.Tensor:
        """int64 [N]: the batch of each point."""
        return self.C[:, 0].round().long()

    def with_rows(self, rows: torch.Tensor) -> "TensorField":
        """Other features at the same points."""
        out = TensorField(
            rows,
            coordinate_field_map_key=self.coordinate_field_map_key,
            coordinate_manager=self._manager,
            quantization_mode=self.quantization_mode,
        )
        out._C, out._batch_rows, out._inverse_mapping = self._C, self._batch_rows, self._inverse_mapping
        return out

    with_given = with_rows

    @staticmethod
    def aligned(*tensors: "TensorField") -> List[torch.Tensor]:
        return [x.F for x in tensors]

    def sparse(
        self,
        tensor_stride: StrideType = 1,
        coordinate_map_key: Optional[CoordinateMapKey] = None,
        quantization_mode: Optional[SparseTensorQuantizationMode] = None,
    ) -> SparseTensor:
        """The voxels of this tensor stride that the points lie in, or those of a map, features reduced by the mode."""
        mode, manager = quantization_mode or self.quantization_mode, self._manager
        if mode is Mode.SPLAT_LINEAR_INTERPOLATION:
            raise vs.InvalidArgument("[sparse] use splat() for splat quantization")
        if coordinate_map_key is None:
            stride = convert_to_int_list(tensor_stride, self.D)
            key, (first, inverse) = manager.field_to_sparse_insert_and_map(self.coordinate_field_map_key, stride)
            feats = quantized(self.F, first, inverse, mode)
            if recording.is_under_way() and mode in REDUCED:
                feats = feats.clone() if feats is self.F else feats
                recording.voxelized(self.F, feats, manager.cells(key), stride, REDUCED[mode])
        else:
            key = coordinate_map_key
            rows, points = manager.field_to_sparse_map(self.coordinate_field_map_key, key)
            inverse = torch.full((len(self),), -1, device=self.device).index_copy(0, points, rows)
            reduce = {Mode.UNWEIGHTED_SUM: "sum", Mode.MAX_POOL: "max", Mode.RANDOM_SUBSAMPLE: "first"}.get(mode, "mean")
            feats = voxelize_features(self.F, inverse, manager.size(key), reduce)
        self._inverse_mapping[key] = inverse
        return SparseTensor.on(manager, key, Features(manager.cells(key), given=feats))

    def splat(self) -> SparseTensor:
        """The 2^D voxels around each point, with the sum of the features times their linear weights."""
        places = torch.floor(self.C).int()
        bits = places.new_tensor([[0, *map(int, f"{corner:0{self.D}b}")] for corner in range(2**self.D)])
        corners = (places[:, None] + bits).view(-1, self.D + 1)
        key, (_, inverse) = self._manager.insert_and_map(corners)
        _, weights = self._manager.corners(key, self.C)
        shares = (self.F[:, None] * weights[..., None].to(self.dtype)).reshape(-1, self.shape[1])
        feats = summed(shares, inverse, self._manager.size(key))
        return SparseTensor.on(self._manager, key, Features(self._manager.cells(key), given=feats))

    def inverse_mapping(self, sparse_tensor_map_key: CoordinateMapKey) -> torch.Tensor:
        """int64 [N]: the row of the sparse tensor's map that each point lies in."""
        if sparse_tensor_map_key not in self._inverse_mapping:
            found = self._manager.inverse_of_field(self.coordinate_field_map_key, sparse_tensor_map_key)
            self._inverse_mapping[sparse_tensor_map_key] = found
        return self._inverse_mapping[sparse_tensor_map_key]
