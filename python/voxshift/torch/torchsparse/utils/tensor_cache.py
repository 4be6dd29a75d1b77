"""What tensors of one network share."""

from enum import Enum
from typing import Any, Dict, Optional, Tuple


class TensorCacheMode(Enum):
    SEPARATE_TENSOR_CACHE = 0
    GLOBAL_TENSOR_CACHE = 1


class TensorCache:
    """cmaps: the coords of each stride; kmaps: the maps of the layers so far. Model code adds attributes of its own."""

    def __init__(self):
        self.cmaps: Dict[Tuple[int, ...], Any] = {}
        self.kmaps: Dict[Tuple[Any, ...], Any] = {}
        self.hashmaps: Dict[Tuple[int, ...], Any] = {}


_mode = TensorCacheMode.SEPARATE_TENSOR_CACHE
_shared: Optional[TensorCache] = None


def get_tensor_cache_mode() -> TensorCacheMode:
    return _mode


def set_tensor_cache_mode(mode: TensorCacheMode) -> None:
    """Whether new tensors share one cache, which is to be cleared after each step, or have one each."""
    global _mode
    _mode = TensorCacheMode(mode)


def get_global_tensor_cache() -> Optional[TensorCache]:
    return _shared


def set_global_tensor_cache(tensor_cache: Optional[TensorCache]) -> None:
    global _shared
    _shared = tensor_cache


def clear_global_tensor_cache() -> None:
    set_global_tensor_cache(None)


def new_cache() -> TensorCache:
    """The cache of a new tensor."""
    global _shared
    if _mode is TensorCacheMode.SEPARATE_TENSOR_CACHE:
        return TensorCache()
    if _shared is None:
        _shared = TensorCache()
    return _shared
