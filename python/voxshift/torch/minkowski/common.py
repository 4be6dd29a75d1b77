"""Keys, modes and small helpers."""

from enum import Enum
from typing import Any, List, Sequence, Tuple, Union

import numpy as np
import torch

import voxshift as vs

StrideType = Union[int, Sequence[int], np.ndarray, torch.Tensor]


class RegionType(Enum):
    """Shapes of windows; HYPERCUBE, HYPERCROSS and HYBRID are those of version 0.4."""

    HYPER_CUBE = 0
    HYPER_CROSS = 1
    CUSTOM = 2
    HYBRID = 3
    HYPERCUBE = 0  # noqa: PIE796  MinkowskiEngine has two names for it
    HYPERCROSS = 1  # noqa: PIE796


class PoolingMode(Enum):
    LOCAL_SUM_POOLING = 0
    LOCAL_AVG_POOLING = 1
    LOCAL_MAX_POOLING = 2
    GLOBAL_SUM_POOLING_DEFAULT = 3
    GLOBAL_AVG_POOLING_DEFAULT = 4
    GLOBAL_MAX_POOLING_DEFAULT = 5
    GLOBAL_SUM_POOLING_KERNEL = 6
    GLOBAL_AVG_POOLING_KERNEL = 7
    GLOBAL_MAX_POOLING_KERNEL = 8
    GLOBAL_SUM_POOLING_PYTORCH_INDEX = 9
    GLOBAL_AVG_POOLING_PYTORCH_INDEX = 10
    GLOBAL_MAX_POOLING_PYTORCH_INDEX = 11


class BroadcastMode(Enum):
    ELEMENTWISE_ADDITON = 0
    ELEMENTWISE_MULTIPLICATION = 1


class ConvolutionMode(Enum):
    DEFAULT = 0
    DIRECT_GEMM = 1
    COPY_GEMM = 2


class MinkowskiAlgorithm(Enum):
    DEFAULT = 0
    MEMORY_EFFICIENT = 1
    SPEED_OPTIMIZED = 2


class CoordinateMapType(Enum):
    CPU = 0
    CUDA = 1


class GPUMemoryAllocatorType(Enum):
    PYTORCH = 0
    CUDA = 1


class MinkowskiModuleBase(torch.nn.Module):
    """The base of MinkowskiEngine's modules."""


def convert_to_int_list(arg: StrideType, dimension: int) -> List[int]:
    """A value per axis, from one for all or one each. Raises ValueError for another number."""
    if isinstance(arg, (int, np.integer)) or (isinstance(arg, (torch.Tensor, np.ndarray)) and arg.ndim == 0):
        return [int(arg)] * dimension
    values = [int(value) for value in arg]
    if len(values) != dimension:
        raise vs.InvalidArgument(f"[minkowski] expects {dimension} values, found {values}")
    return values


def convert_to_int_tensor(arg: StrideType, dimension: int) -> torch.Tensor:
    return torch.tensor(convert_to_int_list(arg, dimension), dtype=torch.int)


class CoordinateMapKey:
    """Names a coordinate map of a manager: a tensor stride and a string.

    CoordinateMapKey(coordinate_size) is not set yet; CoordinateMapKey(tensor_stride, string_id="") is.
    """

    def __init__(self, first: Union[int, Sequence[int]], string_id: Union[str, Tuple] = ""):
        if isinstance(first, int) and not isinstance(string_id, str):
            first, string_id = string_id
        self._size = first if isinstance(first, int) else len(first) + 1
        self._key = None if isinstance(first, int) else (tuple(int(step) for step in first), string_id)

    def is_key_set(self) -> bool:
        return self._key is not None

    def set_key(self, tensor_stride: Any, string_id: str = "") -> None:
        if isinstance(tensor_stride[0], (tuple, list)):
            tensor_stride, string_id = tensor_stride
        self._key = (tuple(tensor_stride), string_id)

    def get_key(self) -> Tuple[List[int], str]:
        """(tensor stride, string). Raises ValueError if it is not set."""
        stride, string_id = self.pair
        return list(stride), string_id

    @property
    def pair(self) -> Tuple[Tuple[int, ...], str]:
        if self._key is None:
            raise vs.InvalidArgument("[CoordinateMapKey] the key is not set")
        return self._key

    def get_tensor_stride(self) -> List[int]:
        return list(self.pair[0])

    def get_coordinate_size(self) -> int:
        return self._size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CoordinateMapKey) and self._key is not None and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        if self._key is None:
            return "coordinate map key: not set"
        stride, string_id = self._key
        return f"coordinate map key:{list(stride)}" + (f":{string_id}" if string_id else "")


class FunctionOf:
    """MinkowskiEngine's autograd functions, whose `apply` takes features, keys and a manager."""

    def __call__(self) -> "FunctionOf":
        return self

    def apply(self, *args: Any) -> Any:
        raise NotImplementedError
