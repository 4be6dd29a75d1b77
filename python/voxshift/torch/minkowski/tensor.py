"""What sparse tensors and tensor fields have in common."""

import copy
from enum import Enum
from typing import Any, Callable, List, Optional, Tuple

import torch

import voxshift as vs
from voxshift.torch.minkowski.common import CoordinateMapKey
from voxshift.torch.minkowski.manager import CoordinateManager

COORDINATE_MANAGER_DIFFERENT_ERROR = (
    "SparseTensors must share the same coordinate manager for this operation: give coordinate_manager=, or set the sparse "
    "tensor operation mode with set_sparse_tensor_operation_mode"
)
COORDINATE_KEY_DIFFERENT_ERROR = "SparseTensors must have the same coordinate_map_key"


class SparseTensorOperationMode(Enum):
    """Whether every new tensor has a coordinate manager of its own, or all share the global one, which is to be cleared."""

    SEPARATE_COORDINATE_MANAGER = 0
    SHARE_COORDINATE_MANAGER = 1


class SparseTensorQuantizationMode(Enum):
    """What becomes of the features of rows with equal coordinates. RANDOM_SUBSAMPLE takes the first."""

    RANDOM_SUBSAMPLE = 0
    UNWEIGHTED_AVERAGE = 1
    UNWEIGHTED_SUM = 2
    NO_QUANTIZATION = 3
    MAX_POOL = 4
    SPLAT_LINEAR_INTERPOLATION = 5


_mode = SparseTensorOperationMode.SEPARATE_COORDINATE_MANAGER
_shared: Optional[CoordinateManager] = None


def set_sparse_tensor_operation_mode(operation_mode: SparseTensorOperationMode) -> None:
    global _mode
    _mode = SparseTensorOperationMode(operation_mode)


def sparse_tensor_operation_mode() -> SparseTensorOperationMode:
    return copy.deepcopy(_mode)


def global_coordinate_manager() -> Optional[CoordinateManager]:
    return _shared


def set_global_coordinate_manager(coordinate_manager: Optional[CoordinateManager]) -> None:
    global _shared
    _shared = coordinate_manager


def clear_global_coordinate_manager() -> None:
    """Forgets the shared manager's maps: needed after each step in the mode SHARE_COORDINATE_MANAGER."""
    set_global_coordinate_manager(None)


def manager_for(dimension: int, algorithm: Any = None) -> CoordinateManager:
    """The coordinate manager of a new tensor that was given none."""
    if _mode is SparseTensorOperationMode.SEPARATE_COORDINATE_MANAGER:
        return CoordinateManager(D=dimension, minkowski_algorithm=algorithm)
    if _shared is None:
        set_global_coordinate_manager(CoordinateManager(D=dimension, minkowski_algorithm=algorithm))
    return _shared


class Tensor:
    """Features on the coordinates of a manager's map or field. F and C are in the order that the user gave."""

    _manager: CoordinateManager
    _C: Optional[torch.Tensor] = None
    _batch_rows: Optional[List[torch.Tensor]] = None

    # What each of the two kinds defines.
    F: torch.Tensor
    coordinate_key: CoordinateMapKey
    rows: Callable[[], torch.Tensor]
    with_rows: Callable[[torch.Tensor], Any]
    batch_of_rows: Callable[[], torch.Tensor]
    with_given: Callable[[torch.Tensor], Any]
    aligned: Callable[..., List[torch.Tensor]]
    _set: Callable[[torch.Tensor], None]
    _coordinates: Callable[[], torch.Tensor]
    _origin_rows: Callable[[], Tuple[torch.Tensor, List[torch.Tensor]]]

    @property
    def coordinate_manager(self) -> CoordinateManager:
        return self._manager

    coords_man = property(lambda self: self._manager)
    coords_key = property(lambda self: self.coordinate_key)

    @property
    def tensor_stride(self) -> List[int]:
        return self.coordinate_key.get_tensor_stride()

    @property
    def coordinates(self) -> torch.Tensor:
        """[N, 1 + D], batch first, multiples of the tensor stride."""
        if self._C is None:
            self._C = self._coordinates()
        return self._C

    C = property(lambda self: self.coordinates)
    features = property(lambda self: self.F)
    coords = property(lambda self: self.coordinates)
    feats = property(lambda self: self.F)
    _F = property(lambda self: self.F, lambda self, feats: self._set(feats))

    @property
    def dimension(self) -> int:
        return self._manager.D

    D = property(lambda self: self._manager.D)
    _D = property(lambda self: self._manager.D)

    @property
    def _batchwise_row_indices(self) -> List[torch.Tensor]:
        if self._batch_rows is None:
            self._batch_rows = self._origin_rows()[1]
        return self._batch_rows

    _sorted_batchwise_row_indices = property(lambda self: self._batchwise_row_indices)
    decomposition_permutations = property(lambda self: self._batchwise_row_indices)

    @property
    def decomposed_coordinates(self) -> List[torch.Tensor]:
        """Of each batch its coordinates [N_b, D]."""
        return [self.C[rows, 1:] for rows in self._batchwise_row_indices]

    @property
    def decomposed_features(self) -> List[torch.Tensor]:
        """Of each batch its features [N_b, C]."""
        return [self.F[rows] for rows in self._batchwise_row_indices]

    @property
    def decomposed_coordinates_and_features(self) -> Tuple[List[torch.Tensor], List[torch.Tensor]]:
        return self.decomposed_coordinates, self.decomposed_features

    def coordinates_at(self, batch_index: int) -> torch.Tensor:
        return self.C[self._batchwise_row_indices[batch_index], 1:]

    def features_at(self, batch_index: int) -> torch.Tensor:
        return self.F[self._batchwise_row_indices[batch_index]]

    def coordinates_and_features_at(self, batch_index: int) -> Tuple[torch.Tensor, torch.Tensor]:
        return self.coordinates_at(batch_index), self.features_at(batch_index)

    @property
    def requires_grad(self) -> bool:
        return self.F.requires_grad

    def requires_grad_(self, requires_grad: bool = True) -> None:
        self.F.requires_grad_(requires_grad)

    def float(self) -> "Tensor":
        self._set(self.F.float())
        return self

    def double(self) -> "Tensor":
        self._set(self.F.double())
        return self

    def detach(self) -> "Tensor":
        self._set(self.F.detach())
        return self

    def __len__(self) -> int:
        return len(self.rows())

    def size(self, *axis: int) -> Any:
        return self.rows().size(*axis)

    shape = property(lambda self: self.rows().shape)
    device = property(lambda self: self.rows().device)
    dtype = property(lambda self: self.rows().dtype)

    def get_device(self) -> int:
        return self.rows().get_device()

    def _is_same_key(self, other: "Tensor") -> None:
        check_managers(self, other)
        if self.coordinate_key != other.coordinate_key:
            raise vs.InvalidArgument(f"[minkowski] {COORDINATE_KEY_DIFFERENT_ERROR}")

    def _in_place(self, other: Any, function: Callable) -> "Tensor":
        self._is_same_key(other)
        changed = self.with_rows(function(*self.aligned(self, other)))
        self._take(changed)  # type: ignore[attr-defined]  # of both classes below
        return self

    def __iadd__(self, other):
        return self._in_place(other, lambda a, b: a + b)

    def __isub__(self, other):
        return self._in_place(other, lambda a, b: a - b)

    def __imul__(self, other):
        return self._in_place(other, lambda a, b: a * b)

    def __itruediv__(self, other):
        return self._in_place(other, lambda a, b: a / b)

    def _binary_functor(self, other: Any, function: Callable) -> "Tensor":
        if not isinstance(other, Tensor):
            if isinstance(other, torch.Tensor) and other.dim() == 2 and len(other) > 1:  # a row of it belongs to a row of F
                return self.with_given(function(self.F, other))
            return self.with_rows(function(self.rows(), other))
        check_managers(self, other)
        if self.coordinate_key == other.coordinate_key:
            return self.with_rows(function(*self.aligned(self, other)))
        return self._of_union(other, function)

    def _of_union(self, other: "Tensor", function: Callable) -> "Tensor":
        raise vs.InvalidArgument(f"[minkowski] {COORDINATE_KEY_DIFFERENT_ERROR}")

    def __add__(self, other):
        return self._binary_functor(other, lambda a, b: a + b)

    def __sub__(self, other):
        return self._binary_functor(other, lambda a, b: a - b)

    def __mul__(self, other):
        return self._binary_functor(other, lambda a, b: a * b)

    def __truediv__(self, other):
        return self._binary_functor(other, lambda a, b: a / b)

    def __pow__(self, power):
        return self.with_rows(self.rows() ** power)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(\n  coordinates={self.C}\n  features={self.F}\n  {self.coordinate_key}\n"
            f"  coordinate_manager={self._manager}  spatial dimension={self.D})"
        )


def check_managers(a: Tensor, b: Tensor) -> None:
    """Raises ValueError unless both have the same coordinate manager."""
    if not isinstance(b, type(a)):
        raise vs.InvalidArgument(f"[minkowski] expects a {type(a).__name__}, found {type(b).__name__}")
    if a.coordinate_manager is not b.coordinate_manager:
        raise vs.InvalidArgument(f"[minkowski] {COORDINATE_MANAGER_DIFFERENT_ERROR}")
