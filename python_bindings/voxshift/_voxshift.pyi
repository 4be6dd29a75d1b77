"""Types of the compiled module; what the functions do is in their docstrings."""

from collections.abc import Sequence
from os import PathLike
from typing import Any, Literal, Optional, Protocol, TypedDict, Union, overload

import numpy as np
from numpy.typing import NDArray

class _SupportsDLPack(Protocol):
    def __dlpack__(self, *, stream: Any = None) -> Any: ...

_Array = Union[NDArray[Any], _SupportsDLPack, bytes, bytearray, memoryview]
_Axes = Union[int, Sequence[int]]
_Activation = Optional[Literal["relu", "relu6", "leaky_relu"]]
_Semantics = Literal["floor", "bounded"]
_Reduce = Literal["first", "sum", "mean", "max"]
_Rounding = Literal["half_even", "half_away", "floor"]
_Origin = Literal["sensor", "lowest"]
_Corner = Sequence[float]
_Path = Union[str, PathLike[str]]

class _BuildInfo(TypedDict):
    version: str
    instruction_set: str
    cuda: bool
    opencv: bool
    open3d: bool

class _Profile(TypedDict):
    name: str
    voxel_size: float
    rounding: _Rounding
    range: Optional[tuple[list[float], list[float]]]
    reduce: _Reduce
    origin: _Origin
    scale: list[float]

class _Seconds(TypedDict):
    voxelize: float
    maps: float
    network: float

class _Layer(TypedDict):
    name: str
    kind: str
    rows: int
    in_channels: int
    out_channels: int
    pairs: int
    macs: int
    seconds: float

class _Report(TypedDict):
    points: int
    dropped: int
    voxels: int
    macs: int
    seconds: _Seconds
    layers: list[_Layer]

__version__: str

class Error(Exception): ...
class InvalidArgument(Error, ValueError): ...
class BackendUnavailable(Error, RuntimeError): ...
class IoError(Error, OSError): ...
class OutOfMemory(Error, MemoryError): ...
class DeviceError(Error, RuntimeError): ...

class SparseTensor:
    def __init__(
        self,
        coords: _Array,
        feats: _Array,
        stride: _Axes = 1,
        shape: Optional[_Axes] = None,
        reduce: Optional[_Reduce] = None,
    ) -> None: ...
    @property
    def coords(self) -> NDArray[np.int32]: ...
    @property
    def feats(self) -> NDArray[np.float32]: ...
    @property
    def features(self) -> NDArray[np.float32]: ...
    @property
    def inverse(self) -> NDArray[np.int32]: ...
    @property
    def stride(self) -> tuple[int, ...]: ...
    @property
    def shape(self) -> Optional[tuple[int, ...]]: ...
    @property
    def size(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def dims(self) -> int: ...
    @property
    def device(self) -> str: ...
    def with_features(self, features: _Array) -> SparseTensor: ...
    def find(self, coords: _Array) -> NDArray[np.int32]: ...
    def __len__(self) -> int: ...

class Voxels:
    @property
    def tensor(self) -> SparseTensor: ...
    @property
    def inverse(self) -> NDArray[np.int32]: ...
    @property
    def dropped(self) -> int: ...

class ClassInfo:
    @property
    def name(self) -> str: ...
    @property
    def raw_id(self) -> int: ...
    @property
    def rgb(self) -> tuple[int, int, int]: ...

class Model:
    @staticmethod
    def load(
        path: _Path, device: str = "cpu", threads: Optional[int] = None, profile: Optional[str] = None
    ) -> Model: ...
    @staticmethod
    def new(
        arch: str = "minkunet",
        width: float = 1.0,
        classes: int = 19,
        seed: int = 0,
        device: str = "cpu",
        threads: Optional[int] = None,
    ) -> Model: ...
    def save(self, path: _Path) -> None: ...
    def parameters(self) -> dict[str, NDArray[np.float32]]: ...
    def forward(self, x: SparseTensor) -> NDArray[np.float32]: ...
    @overload
    def segment(self, points: _Array, scores: Literal[False] = False) -> NDArray[np.uint8]: ...
    @overload
    def segment(self, points: _Array, scores: Literal[True]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]: ...
    @property
    def report(self) -> _Report: ...
    @property
    def classes(self) -> list[ClassInfo]: ...
    @property
    def arch(self) -> str: ...
    @property
    def profile(self) -> _Profile: ...
    @property
    def parameter_count(self) -> int: ...
    @property
    def device(self) -> str: ...
    @property
    def threads(self) -> int: ...

def conv(
    x: SparseTensor,
    weight: _Array,
    kernel_size: _Axes = 3,
    stride: _Axes = 1,
    dilation: _Axes = 1,
    padding: _Axes = 0,
    semantics: _Semantics = "floor",
    bias: Optional[_Array] = None,
    residual: Optional[SparseTensor] = None,
    activation: _Activation = None,
    negative_slope: float = 0.01,
) -> SparseTensor: ...
def conv_transpose(
    x: SparseTensor,
    weight: _Array,
    kernel_size: _Axes = 3,
    stride: _Axes = 1,
    dilation: _Axes = 1,
    padding: _Axes = 0,
    semantics: _Semantics = "floor",
    bias: Optional[_Array] = None,
    residual: Optional[SparseTensor] = None,
    activation: _Activation = None,
    negative_slope: float = 0.01,
) -> SparseTensor: ...
def generative_conv_transpose(
    x: SparseTensor,
    weight: _Array,
    kernel_size: _Axes = 3,
    stride: _Axes = 1,
    dilation: _Axes = 1,
    padding: _Axes = 0,
    semantics: _Semantics = "floor",
    bias: Optional[_Array] = None,
    residual: Optional[SparseTensor] = None,
    activation: _Activation = None,
    negative_slope: float = 0.01,
) -> SparseTensor: ...
def kernel_map(
    x: SparseTensor,
    kernel_size: _Axes = 3,
    stride: _Axes = 1,
    dilation: _Axes = 1,
    padding: _Axes = 0,
    semantics: _Semantics = "floor",
) -> NDArray[np.int32]: ...
def max_pool(
    x: SparseTensor,
    kernel_size: _Axes,
    stride: _Axes = 1,
    dilation: _Axes = 1,
    padding: _Axes = 0,
    semantics: _Semantics = "floor",
) -> SparseTensor: ...
def avg_pool(
    x: SparseTensor,
    kernel_size: _Axes,
    stride: _Axes = 1,
    dilation: _Axes = 1,
    padding: _Axes = 0,
    semantics: _Semantics = "floor",
) -> SparseTensor: ...
def sum_pool(
    x: SparseTensor,
    kernel_size: _Axes,
    stride: _Axes = 1,
    dilation: _Axes = 1,
    padding: _Axes = 0,
    semantics: _Semantics = "floor",
) -> SparseTensor: ...
def global_max_pool(x: SparseTensor) -> NDArray[np.float32]: ...
def global_avg_pool(x: SparseTensor) -> NDArray[np.float32]: ...
def global_sum_pool(x: SparseTensor) -> NDArray[np.float32]: ...
def cat(tensors: Sequence[SparseTensor]) -> SparseTensor: ...
def add(
    a: SparseTensor, b: SparseTensor, activation: _Activation = None, negative_slope: float = 0.01
) -> SparseTensor: ...
def union_add(a: SparseTensor, b: SparseTensor) -> SparseTensor: ...
def select_rows(x: SparseTensor, mask: _Array) -> SparseTensor: ...
def to_dense(x: SparseTensor, batches: int = 0) -> NDArray[np.float32]: ...
def from_dense(dense: _Array) -> SparseTensor: ...
def linear(
    x: _Array,
    weight: _Array,
    bias: Optional[_Array] = None,
    activation: _Activation = None,
    negative_slope: float = 0.01,
) -> NDArray[np.float32]: ...
def affine(
    x: _Array,
    scale: Optional[_Array] = None,
    shift: Optional[_Array] = None,
    activation: _Activation = None,
    negative_slope: float = 0.01,
) -> NDArray[np.float32]: ...
def argmax(x: _Array) -> NDArray[np.uint8]: ...
def voxelize(
    points: _Array,
    voxel_size: float = 0.05,
    rounding: _Rounding = "half_even",
    range: Optional[tuple[_Corner, _Corner]] = None,
    reduce: _Reduce = "first",
    origin: _Origin = "sensor",
) -> Voxels: ...
def synth_lidar(seed: int) -> tuple[NDArray[np.float32], NDArray[np.uint32]]: ...
def set_num_threads(threads: int) -> None: ...
def num_threads() -> int: ...
def build_info() -> _BuildInfo: ...
