"""Types of the compiled module; what the functions do is in their docstrings."""

from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from typing import Any, Literal, Optional, Protocol, TypedDict, Union, overload

import numpy as np
from numpy.typing import NDArray

class _SupportsDLPack(Protocol):
    def __dlpack__(self, *, stream: Any = None) -> Any: ...

class _OnCuda(Protocol):
    @property
    def __cuda_array_interface__(self) -> dict[str, Any]: ...

# What comes in on a CUDA device comes out as DeviceArray where an NDArray is promised.
_Array = Union[NDArray[Any], _SupportsDLPack, _OnCuda, bytes, bytearray, memoryview]
_Axes = Union[int, Sequence[int]]
_Activation = Optional[Literal["relu", "relu6", "leaky_relu"]]
_Semantics = Literal["floor", "bounded"]
_Reduce = Literal["first", "sum", "mean", "max"]
_Rounding = Literal["half_even", "half_away", "floor"]
_Origin = Literal["sensor", "lowest"]
_Absent = Literal["zero", "one", "left_out"]
_Protocol = Literal["semantickitti", "spvnas", "nuscenes", "waymo"]
_Shift = Literal["online", "offline"]
_Skip = Union[Literal["off", "exact", "auto"], float]
_Ties = Literal["lowest", "pvcnn"]
_Trilinear = Literal["renormalized", "raw"]
_CellAxes = Literal["cartesian", "cylindrical"]
_Corner = Sequence[float]
_Path = Union[str, PathLike[str]]
_Threads = Union[int, "ThreadPool"]
_OnCoordinates = Union[Coordinates, SparseTensor]

class _BuildInfo(TypedDict):
    version: str
    instruction_set: str
    products: dict[str, str]
    cuda: bool
    opencv: bool

class _QuantizedLayer(TypedDict):
    name: str
    kind: str
    dtype: str
    reason: str
    macs: int
    weight_bytes: int
    snr: float
    milliseconds: float
    saved_milliseconds: float

class _Quantization(TypedDict):
    snr: float
    loss: float
    stored: str
    layers: list[_QuantizedLayer]

class _Parameter(TypedDict):
    shape: str
    required: bool

class _AttributeRequired(TypedDict):
    type: Literal["flag", "whole", "number", "word", "per_axis", "per_axis_number"]
    text: str
    expects: str

class _Attribute(_AttributeRequired, total=False):
    default: Union[bool, int, float, str, list[int], list[float]]

class _GraphOp(TypedDict):
    text: str
    inputs: list[str]
    any_number_of_inputs: bool
    parameters: dict[str, _Parameter]
    attributes: dict[str, _Attribute]
    narrow: bool

class _Blocks(TypedDict):
    size: float
    points: int
    room_coordinates: bool

class _Frames(TypedDict):
    height: int
    width: int
    resize: int
    mean: list[float]
    std: list[float]
    segments: int

class _Cloud(TypedDict):
    max_points: int
    max_voxels: int
    sweeps: int
    remission: float

class _Profile(TypedDict, total=False):
    name: str
    voxel_size: Union[float, list[float]]
    axes: _CellAxes
    rounding: _Rounding
    range: Optional[tuple[list[float], list[float]]]
    reduce: _Reduce
    origin: _Origin
    scale: list[float]
    relative_to: Literal["sensor", "tile"]
    blocks: _Blocks
    frames: _Frames
    cloud: _Cloud

class _Seconds(TypedDict):
    voxelize: float
    maps: float
    network: float

class _DetectSeconds(_Seconds):
    boxes: float

class _Layer(TypedDict):
    name: str
    kind: str
    rows: int
    in_channels: int
    out_channels: int
    pairs: int
    macs: int
    seconds: float

class _VideoLayer(TypedDict):
    name: str
    kind: str
    height: int
    width: int
    in_channels: int
    out_channels: int
    macs: int
    shifted: bool

class _SynthObjects(TypedDict):
    boxes: NDArray[np.float32]
    types: list[Literal["Car", "Van", "Truck", "Pedestrian", "Cyclist"]]
    points: NDArray[np.int64]
    object: NDArray[np.int32]

class _KittiLabels(TypedDict):
    types: list[str]
    boxes: NDArray[np.float32]
    image_boxes: NDArray[np.float32]
    truncation: NDArray[np.float32]
    occlusion: NDArray[np.int32]
    scores: NDArray[np.float32]

class _KittiCalibration(TypedDict):
    P2: NDArray[np.float32]
    R0_rect: NDArray[np.float32]
    Tr_velo_to_cam: NDArray[np.float32]

class _SkipThresholds(TypedDict):
    frame: float
    layers: dict[str, float]
    whole_frame: float

class _SkipCalibration(TypedDict):
    logit_change: float
    mac_fraction: float

class _Report(TypedDict):
    points: int
    dropped: int
    voxels: int
    macs: int
    seconds: _Seconds
    layers: list[_Layer]

__version__: str

class _DetectReport(TypedDict):
    points: int
    dropped: int
    macs: int
    seconds: _DetectSeconds
    layers: list[_Layer]

class Error(Exception): ...
class InvalidArgument(Error, ValueError): ...
class BackendUnavailable(Error, RuntimeError): ...
class IoError(Error, OSError): ...
class OutOfMemory(Error, MemoryError): ...
class DeviceError(Error, RuntimeError): ...

class DeviceArray:
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> Any: ...
    @property
    def device(self) -> str: ...
    def numpy(self) -> NDArray[Any]: ...
    @property
    def __cuda_array_interface__(self) -> dict[str, Any]: ...
    def __dlpack__(self, stream: Optional[int] = None, **options: Any) -> Any: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __len__(self) -> int: ...

class OpaqueObject:
    @property
    def name(self) -> str: ...
    @property
    def is_object(self) -> bool: ...
    @property
    def arguments(self) -> Optional[tuple[Any, ...]]: ...
    @property
    def state(self) -> Any: ...
    @property
    def items(self) -> list[Any]: ...
    @property
    def entries(self) -> dict[Any, Any]: ...

class Coordinates:
    def __init__(self, coords: _Array, stride: _Axes = 1, shape: Optional[_Axes] = None) -> None: ...
    @property
    def coords(self) -> NDArray[np.int32]: ...
    @property
    def inverse(self) -> NDArray[np.int32]: ...
    @property
    def stride(self) -> tuple[int, ...]: ...
    @property
    def shape(self) -> Optional[tuple[int, ...]]: ...
    @property
    def size(self) -> int: ...
    @property
    def dims(self) -> int: ...
    @property
    def device(self) -> str: ...
    def to(self, device: str) -> Coordinates: ...
    def find(self, coords: _Array) -> NDArray[np.int32]: ...
    def same_coordinates(self, other: _OnCoordinates) -> bool: ...
    def __len__(self) -> int: ...
    def __array__(self, dtype: Any = None, copy: Optional[bool] = None) -> NDArray[Any]: ...

class SparseTensor:
    def __init__(
        self,
        coords: Union[_Array, Coordinates],
        feats: _Array,
        stride: _Axes = 1,
        shape: Optional[_Axes] = None,
        reduce: Optional[_Reduce] = None,
    ) -> None: ...
    @property
    def coordinates(self) -> Coordinates: ...
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
    def to(self, device: str) -> SparseTensor: ...
    def find(self, coords: _Array) -> NDArray[np.int32]: ...
    def same_coordinates(self, other: _OnCoordinates) -> bool: ...
    def __len__(self) -> int: ...

class Voxels:
    @property
    def tensor(self) -> SparseTensor: ...
    @property
    def inverse(self) -> NDArray[np.int32]: ...
    @property
    def dropped(self) -> int: ...

class PointCloud:
    @property
    def points(self) -> NDArray[np.float32]: ...
    @property
    def rgb(self) -> Optional[NDArray[np.uint8]]: ...
    @property
    def label(self) -> Optional[NDArray[np.uint32]]: ...
    @property
    def ring(self) -> Optional[NDArray[np.int32]]: ...
    @property
    def time(self) -> Optional[NDArray[np.float64]]: ...
    @property
    def origin(self) -> list[float]: ...
    @property
    def has_remission(self) -> bool: ...
    def __len__(self) -> int: ...

class ClassInfo:
    @property
    def name(self) -> str: ...
    @property
    def raw_id(self) -> int: ...
    @property
    def rgb(self) -> tuple[int, int, int]: ...

class NearestNeighbors:
    @property
    def indices(self) -> NDArray[np.int32]: ...
    @property
    def distances(self) -> NDArray[np.float32]: ...
    @property
    def dropped(self) -> int: ...

class RaggedNeighbors:
    @property
    def indices(self) -> NDArray[np.int32]: ...
    @property
    def row_splits(self) -> NDArray[np.int64]: ...
    @property
    def distances(self) -> NDArray[np.float32]: ...
    @property
    def dropped(self) -> int: ...

class Interpolation:
    def __init__(self, indices: _Array, weights: _Array, rows: int) -> None: ...
    @property
    def indices(self) -> NDArray[np.int32]: ...
    @property
    def weights(self) -> NDArray[np.float32]: ...
    @property
    def rows(self) -> int: ...

class ThreadPool:
    def __init__(self, threads: Optional[int] = None, cpus: Optional[Sequence[int]] = None) -> None: ...
    @property
    def threads(self) -> int: ...
    def close(self) -> None: ...
    def __enter__(self) -> ThreadPool: ...
    def __exit__(self, *args: object) -> None: ...

class Model:
    @staticmethod
    def load(
        path: _Path,
        device: str = "cpu",
        threads: Optional[_Threads] = None,
        profile: Optional[str] = None,
        dtype: str = "auto",
    ) -> Model: ...
    @staticmethod
    def new(
        arch: str = "minkunet",
        width: float = 1.0,
        classes: Optional[int] = None,
        seed: int = 0,
        device: str = "cpu",
        threads: Optional[_Threads] = None,
        profile: Optional[str] = None,
        config: Optional[_Path] = None,
        parameters: Optional[dict[str, _Array]] = None,
        shift: _Shift = "online",
        dtype: str = "auto",
        style: Literal["", "mmdet3d", "openpcdet"] = "",
    ) -> Model: ...
    @staticmethod
    def pretrained(
        name: str = "minkunet-lidar", device: str = "cpu", threads: Optional[_Threads] = None, dtype: str = "auto"
    ) -> Model: ...
    @staticmethod
    def from_graph(
        graph: dict[str, Any],
        parameters: dict[str, _Array],
        profile: Union[str, _Profile, None] = "spvnas",
        classes: Union[int, Sequence[Union[str, ClassInfo, tuple[str, int, tuple[int, int, int]]]]] = 19,
        arch: str = "custom",
        device: str = "cpu",
        threads: Optional[_Threads] = None,
        dtype: str = "auto",
        detection: Optional[dict[str, Any]] = None,
    ) -> Model: ...
    def with_parameters(self, parameters: dict[str, _Array]) -> Model: ...
    def save(self, path: _Path, half: bool = False) -> None: ...
    def parameters(self) -> dict[str, NDArray[np.float32]]: ...
    def forward(
        self, x: Union[SparseTensor, _Array], row_splits: Optional[_Array] = None
    ) -> NDArray[np.float32]: ...
    def run(
        self,
        x: Union[SparseTensor, _Array, dict[str, Union[SparseTensor, _Array, tuple[_Array, _Array]]]],
        row_splits: Optional[_Array] = None,
    ) -> dict[str, tuple[_Array, Optional[_Array]]]: ...
    @overload
    def segment(
        self,
        points: _Array,
        scores: Literal[False] = False,
        sensor: Optional[str] = None,
        remission_scale: Optional[float] = None,
        origin: Optional[Sequence[float]] = None,
        frame: Optional[Sequence[float]] = None,
    ) -> NDArray[np.uint8]: ...
    @overload
    def segment(
        self,
        points: _Array,
        scores: Literal[True],
        sensor: Optional[str] = None,
        remission_scale: Optional[float] = None,
        origin: Optional[Sequence[float]] = None,
        frame: Optional[Sequence[float]] = None,
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]: ...
    def recognize(self, frames: _Array) -> NDArray[np.float32]: ...
    def recognize_frames(self, frames: _Array) -> NDArray[np.float32]: ...
    @property
    def skip_thresholds(self) -> Optional[_SkipThresholds]: ...
    @property
    def video_layers(self) -> list[_VideoLayer]: ...
    @property
    def graph(self) -> dict[str, Any]: ...
    @property
    def detection(self) -> Optional[dict[str, Any]]: ...
    @property
    def report(self) -> _Report: ...
    @property
    def classes(self) -> list[ClassInfo]: ...
    @property
    def arch(self) -> str: ...
    @property
    def profile(self) -> Optional[_Profile]: ...
    @property
    def parameter_count(self) -> int: ...
    @property
    def device(self) -> str: ...
    @property
    def threads(self) -> int: ...
    @property
    def dtype(self) -> str: ...

class Detections:
    @property
    def boxes(self) -> NDArray[np.float32]: ...
    @property
    def scores(self) -> NDArray[np.float32]: ...
    @property
    def classes(self) -> NDArray[np.int32]: ...
    def __len__(self) -> int: ...

class Detector:
    def __init__(self, model: Model, threads: Optional[_Threads] = None) -> None: ...
    def detect(
        self,
        points: _Array,
        sensor: Optional[str] = None,
        remission_scale: Optional[float] = None,
        origin: Optional[Sequence[float]] = None,
    ) -> Detections: ...
    @property
    def report(self) -> _DetectReport: ...

class FrameCost:
    @property
    def skipped(self) -> bool: ...
    @property
    def key_frame(self) -> bool: ...
    @property
    def dense(self) -> bool: ...
    @property
    def macs(self) -> int: ...
    @property
    def dense_macs(self) -> int: ...
    @property
    def mac_fraction(self) -> float: ...
    @property
    def changed_pixels(self) -> int: ...
    @property
    def seconds(self) -> float: ...

class FrameResult:
    @property
    def label(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def logits(self) -> NDArray[np.float32]: ...
    @property
    def scores(self) -> NDArray[np.float32]: ...
    @property
    def cost(self) -> FrameCost: ...

class Recognizer:
    def __init__(
        self,
        model: Model,
        skip: _Skip = "off",
        whole_frames: bool = True,
        key_frame_interval: int = 0,
        threads: Optional[_Threads] = None,
        always_compare: bool = False,
    ) -> None: ...
    def push(self, frame: _Array) -> FrameResult: ...
    def reset(self) -> None: ...
    def layer_output(self, layer: str) -> NDArray[np.float32]: ...
    @property
    def cost(self) -> FrameCost: ...
    @property
    def changed_pixels(self) -> NDArray[np.bool_]: ...
    @property
    def state_bytes(self) -> int: ...
    @property
    def threads(self) -> int: ...

class LabelSmoother:
    def __init__(self, window: int = 12) -> None: ...
    def push(self, logits: _Array) -> int: ...
    def reset(self) -> None: ...

class StreamingShift:
    def __init__(self, shift_div: int = 8) -> None: ...
    def push(self, x: _Array) -> NDArray[np.float32]: ...
    def reset(self) -> None: ...

class MaskedLayer:
    @staticmethod
    def conv2d(
        height: int,
        width: int,
        weight: _Array,
        bias: Optional[_Array] = None,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        activation: _Activation = None,
        negative_slope: float = 0.01,
        threshold: float = 0.0,
    ) -> MaskedLayer: ...
    @staticmethod
    def max_pool2d(
        height: int,
        width: int,
        channels: int,
        kernel_size: int,
        stride: Optional[int] = None,
        padding: int = 0,
        threshold: float = 0.0,
    ) -> MaskedLayer: ...
    @staticmethod
    def avg_pool2d(
        height: int,
        width: int,
        channels: int,
        kernel_size: int,
        stride: Optional[int] = None,
        padding: int = 0,
        threshold: float = 0.0,
    ) -> MaskedLayer: ...
    def push(self, changed: SparseTensor) -> SparseTensor: ...
    def output(self) -> NDArray[np.float32]: ...
    def macs(self) -> int: ...
    def dense_macs(self) -> int: ...
    def reset(self) -> None: ...

class _Page:  # of voxshift.Page
    def __init__(
        self,
        classes: Sequence[tuple[str, Optional[Sequence[int]]]],
        title: str,
        max_points: int,
        max_frames: int,
    ) -> None: ...
    def add(
        self,
        points: _Array,
        labels: Optional[_Array],
        boxes: _Array,
        scores: Optional[_Array],
        classes: Optional[_Array],
        name: str,
        seconds: Optional[float],
        has_remission: bool,
        origin: Sequence[float],
    ) -> None: ...
    def html(self) -> str: ...
    def save(self, path: _Path) -> None: ...
    @staticmethod
    def spread_colour(index: int) -> list[int]: ...
    @property
    def notes(self) -> list[str]: ...

class _DetectedBoxes(TypedDict):
    boxes: _Array
    classes: Union[Sequence[str], Sequence[int], NDArray[Any]]
    scores: _Array

class _TrueBoxes(TypedDict, total=False):
    boxes: _Array
    classes: Union[Sequence[str], Sequence[int], NDArray[Any]]
    types: Sequence[str]
    points: _Array
    occlusion: _Array

class ConfusionMatrix:
    def __init__(self, classes: int) -> None: ...
    def add(self, predicted: _Array, truth: _Array) -> None: ...
    def merge(self, other: ConfusionMatrix) -> None: ...
    def iou(self, absent: _Absent = "zero") -> NDArray[np.float64]: ...
    def mean_iou(self, absent: _Absent = "zero") -> float: ...
    @property
    def accuracy(self) -> float: ...
    @property
    def classes(self) -> int: ...
    @property
    def matrix(self) -> NDArray[np.int64]: ...
    @property
    def predicted_unlabelled(self) -> NDArray[np.int64]: ...

def boxes_iou_bev(a: _Array, b: _Array) -> NDArray[np.float32]: ...
def boxes_iou3d(a: _Array, b: _Array) -> NDArray[np.float32]: ...
def nms_bev(
    boxes: _Array,
    scores: _Array,
    threshold: float,
    classes: Optional[_Array] = None,
    candidates: int = 4096,
    most: int = 500,
) -> NDArray[np.int32]: ...
def circle_nms(
    boxes: _Array,
    scores: _Array,
    radius: float,
    classes: Optional[_Array] = None,
    candidates: int = 4096,
    most: int = 500,
) -> NDArray[np.int32]: ...
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
    output_padding: _Axes = 0,
) -> SparseTensor: ...
def kernel_map(
    x: _OnCoordinates,
    kernel_size: _Axes = 3,
    stride: _Axes = 1,
    dilation: _Axes = 1,
    padding: _Axes = 0,
    semantics: _Semantics = "floor",
) -> NDArray[np.int32]: ...
def conv_backward(
    x: SparseTensor,
    weight: _Array,
    grad: _Array,
    kernel_size: _Axes = 3,
    stride: _Axes = 1,
    dilation: _Axes = 1,
    padding: _Axes = 0,
    semantics: _Semantics = "floor",
    input_gradient: bool = True,
    weight_gradient: bool = True,
    added: Optional[_Array] = None,
) -> tuple[Optional[NDArray[np.float32]], Optional[NDArray[np.float32]]]: ...
def conv_transpose_backward(
    x: SparseTensor,
    weight: _Array,
    grad: _Array,
    kernel_size: _Axes = 3,
    stride: _Axes = 1,
    dilation: _Axes = 1,
    padding: _Axes = 0,
    semantics: _Semantics = "floor",
    input_gradient: bool = True,
    weight_gradient: bool = True,
    added: Optional[_Array] = None,
) -> tuple[Optional[NDArray[np.float32]], Optional[NDArray[np.float32]]]: ...
def generative_conv_transpose_backward(
    x: SparseTensor,
    weight: _Array,
    grad: _Array,
    kernel_size: _Axes = 3,
    stride: _Axes = 1,
    dilation: _Axes = 1,
    padding: _Axes = 0,
    semantics: _Semantics = "floor",
    input_gradient: bool = True,
    weight_gradient: bool = True,
    added: Optional[_Array] = None,
    output_padding: _Axes = 0,
) -> tuple[Optional[NDArray[np.float32]], Optional[NDArray[np.float32]]]: ...
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
def max_pool_backward(
    x: SparseTensor,
    grad: _Array,
    kernel_size: _Axes,
    stride: _Axes = 1,
    dilation: _Axes = 1,
    padding: _Axes = 0,
    semantics: _Semantics = "floor",
) -> NDArray[np.float32]: ...
def avg_pool_backward(
    x: SparseTensor,
    grad: _Array,
    kernel_size: _Axes,
    stride: _Axes = 1,
    dilation: _Axes = 1,
    padding: _Axes = 0,
    semantics: _Semantics = "floor",
) -> NDArray[np.float32]: ...
def sum_pool_backward(
    x: SparseTensor,
    grad: _Array,
    kernel_size: _Axes,
    stride: _Axes = 1,
    dilation: _Axes = 1,
    padding: _Axes = 0,
    semantics: _Semantics = "floor",
) -> NDArray[np.float32]: ...
def global_max_pool_backward(x: SparseTensor, grad: _Array) -> NDArray[np.float32]: ...
def global_avg_pool_backward(x: SparseTensor, grad: _Array) -> NDArray[np.float32]: ...
def global_sum_pool_backward(x: SparseTensor, grad: _Array) -> NDArray[np.float32]: ...
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
def linear_backward(
    x: _Array, weight: _Array, grad: _Array, input_gradient: bool = True, weight_gradient: bool = True
) -> tuple[Optional[NDArray[np.float32]], Optional[NDArray[np.float32]]]: ...
def sum_rows(x: _Array) -> NDArray[np.float32]: ...
def batch_norm(
    x: _Array,
    weight: _Array,
    bias: _Array,
    eps: float = 1e-5,
    residual: Optional[_Array] = None,
    activation: _Activation = None,
    negative_slope: float = 0.01,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]: ...
def batch_norm_backward(
    x: _Array,
    out: Optional[_Array],
    grad: _Array,
    mean: _Array,
    variance: _Array,
    weight: _Array,
    eps: float = 1e-5,
    activation: _Activation = None,
    negative_slope: float = 0.01,
    residual_gradient: bool = False,
    bias: Optional[_Array] = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], Optional[NDArray[np.float32]]]: ...
def argmax(x: _Array) -> NDArray[np.uint8]: ...
def voxelize(
    points: _Array,
    voxel_size: Union[float, Sequence[float]] = 0.05,
    rounding: _Rounding = "half_even",
    range: Optional[tuple[_Corner, _Corner]] = None,
    reduce: _Reduce = "first",
    origin: _Origin = "sensor",
    row_splits: Optional[_Array] = None,
    axes: _CellAxes = "cartesian",
) -> Voxels: ...
def voxelize_features(
    features: _Array, inverse: _Array, voxels: int, reduce: _Reduce = "mean"
) -> NDArray[np.float32]: ...
def voxelize_features_backward(
    features: Optional[_Array], inverse: _Array, grad: _Array, reduce: _Reduce = "mean"
) -> NDArray[np.float32]: ...
def knn_search(
    points: _Array,
    queries: _Array,
    k: int,
    row_splits: Optional[_Array] = None,
    query_splits: Optional[_Array] = None,
) -> NearestNeighbors: ...
def fixed_radius_search(
    points: _Array,
    queries: _Array,
    radius: float,
    row_splits: Optional[_Array] = None,
    query_splits: Optional[_Array] = None,
) -> RaggedNeighbors: ...
def hybrid_search(
    points: _Array,
    queries: _Array,
    radius: float,
    max_neighbors: int,
    row_splits: Optional[_Array] = None,
    query_splits: Optional[_Array] = None,
) -> NearestNeighbors: ...
def ball_query(
    points: _Array,
    centers: _Array,
    radius: float,
    num_neighbors: int,
    row_splits: Optional[_Array] = None,
    center_splits: Optional[_Array] = None,
) -> NDArray[np.int32]: ...
def furthest_point_sample(
    points: _Array, num_samples: int, ties: _Ties = "lowest", row_splits: Optional[_Array] = None
) -> NDArray[np.int32]: ...
def gather(features: _Array, indices: _Array) -> NDArray[np.float32]: ...
def group(
    points: _Array, centers: _Array, indices: _Array, features: Optional[_Array] = None
) -> NDArray[np.float32]: ...
def gather_backward(indices: _Array, grad: _Array, rows: int) -> NDArray[np.float32]: ...
def group_backward(indices: _Array, grad: _Array, rows: int) -> NDArray[np.float32]: ...
def trilinear(voxels: _OnCoordinates, points: _Array, mode: _Trilinear = "renormalized") -> Interpolation: ...
def devoxelize(voxels: SparseTensor, points: _Array, mode: _Trilinear = "renormalized") -> NDArray[np.float32]: ...
def devoxelize_backward(
    voxels: _OnCoordinates, points: _Array, grad: _Array, mode: _Trilinear = "renormalized"
) -> NDArray[np.float32]: ...
def three_nearest(
    points: _Array,
    centers: _Array,
    row_splits: Optional[_Array] = None,
    center_splits: Optional[_Array] = None,
) -> Interpolation: ...
def interpolate(features: _Array, interpolation: Interpolation) -> NDArray[np.float32]: ...
def interpolate_backward(interpolation: Interpolation, grad: _Array) -> NDArray[np.float32]: ...
def dense_grid_coords(
    points: _Array,
    resolution: int,
    normalize: bool = True,
    eps: float = 0.0,
    row_splits: Optional[_Array] = None,
) -> NDArray[np.float32]: ...
def voxelize_dense(
    features: _Array, coords: _Array, resolution: int, row_splits: Optional[_Array] = None
) -> NDArray[np.float32]: ...
def devoxelize_dense(
    grid: _Array, coords: _Array, row_splits: Optional[_Array] = None
) -> NDArray[np.float32]: ...
def voxelize_dense_backward(
    coords: _Array, grad: _Array, row_splits: Optional[_Array] = None
) -> NDArray[np.float32]: ...
def devoxelize_dense_backward(
    coords: _Array, grad: _Array, resolution: int, row_splits: Optional[_Array] = None
) -> NDArray[np.float32]: ...
def evaluate_detections(
    predictions: Sequence[Union[_DetectedBoxes, Detections]],
    truths: Sequence[_TrueBoxes],
    protocol: Literal["kitti", "nuscenes"] = "kitti",
    class_names: Optional[Sequence[str]] = None,
    max_distance: Optional[float] = None,
) -> dict[str, Any]: ...
def train_ids(
    labels: NDArray[np.integer[Any]], protocol: _Protocol = "semantickitti", predicted: bool = False
) -> NDArray[np.uint8]: ...
def conv2d(
    x: _Array,
    weight: _Array,
    bias: Optional[_Array] = None,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    activation: _Activation = None,
    negative_slope: float = 0.01,
) -> NDArray[np.float32]: ...
def conv2d_backward(
    x: _Array,
    weight: _Array,
    grad: _Array,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    input_gradient: bool = True,
    weight_gradient: bool = True,
) -> tuple[Optional[NDArray[np.float32]], Optional[NDArray[np.float32]]]: ...
def max_pool2d(
    x: _Array, kernel_size: int, stride: Optional[int] = None, padding: int = 0
) -> NDArray[np.float32]: ...
def avg_pool2d(
    x: _Array, kernel_size: int, stride: Optional[int] = None, padding: int = 0
) -> NDArray[np.float32]: ...
def global_avg_pool2d(x: _Array) -> NDArray[np.float32]: ...
def temporal_shift(
    x: _Array, n_segment: int, shift_div: int = 8, bidirectional: bool = True
) -> NDArray[np.float32]: ...
def temporal_shift_backward(
    grad: _Array, n_segment: int, shift_div: int = 8, bidirectional: bool = True
) -> NDArray[np.float32]: ...
def calibrate_skip(
    model: Model,
    clips: Sequence[_Array],
    budget: float = 0.01,
    progress: Optional[Callable[[int, int], None]] = None,
) -> tuple[Model, _SkipCalibration]: ...
def synth_video(
    seed: int,
    frames: int = 32,
    height: int = 224,
    width: int = 224,
    frames_per_second: float = 25.0,
    label: Optional[int] = None,
    panning_camera: bool = False,
    noise: float = 2.0,
) -> tuple[NDArray[np.uint8], int]: ...
def synth_video_classes() -> list[str]: ...
def convert(
    path: _Path,
    source: str = "auto",
    arch: str = "",
    layout: str = "",
    classes: Optional[Sequence[str]] = None,
    profile: Optional[str] = None,
    device: str = "cpu",
    threads: Optional[_Threads] = None,
    dtype: str = "auto",
    notes: Optional[list[str]] = None,
    outputs: Optional[Sequence[str]] = None,
) -> Model: ...
def quantize(
    model: Model,
    data: Optional[Iterable[Union[_Array, SparseTensor, tuple[_Array, _Array], dict[str, Any]]]] = None,
    dtype: str = "i8",
    keep: Sequence[str] = (),
    max_loss: Optional[float] = None,
    synthetic: int = 0,
    seed: int = 1,
    equalize: bool = True,
    correct_bias: bool = True,
    sensitivity: bool = False,
    threads: Optional[_Threads] = None,
    progress: Optional[Callable[[int, int, str], None]] = None,
) -> tuple[Model, _Quantization]: ...
def save_onnx(model: Model, path: _Path) -> None: ...
def prepare_points(
    points: _Array,
    profile: _Profile,
    sensor: Optional[str] = None,
    remission_scale: Optional[float] = None,
    origin: Optional[Sequence[float]] = None,
) -> NDArray[np.float32]: ...
def read_kitti_labels(path: _Path, calibration: Optional[_Path] = None) -> _KittiLabels: ...
def read_kitti_calibration(path: _Path) -> _KittiCalibration: ...
def read_checkpoint(path: _Path) -> Any: ...
def _read_points(
    path: _Path, extension: str, columns: Optional[int] = None, data: Optional[bytes] = None
) -> tuple[PointCloud, dict[str, NDArray[Any]]]: ...
def read_points(path: _Path, columns: Optional[int] = None) -> PointCloud: ...
@overload
def synth_lidar(
    seed: int, vary_sensor: bool = False, boxes: Literal[False] = False
) -> tuple[NDArray[np.float32], NDArray[np.uint32]]: ...
@overload
def synth_lidar(
    seed: int, vary_sensor: bool = False, *, boxes: Literal[True]
) -> tuple[NDArray[np.float32], NDArray[np.uint32], _SynthObjects]: ...
def to_device(x: _Array, device: str = "cuda") -> Union[NDArray[Any], DeviceArray]: ...
def graph_ops() -> dict[str, _GraphOp]: ...
def synchronize(device: str = "cuda") -> None: ...
def set_memory_cache(bytes: int, device: str = "cpu") -> None: ...
def set_num_threads(threads: int) -> None: ...
def num_threads() -> int: ...
def build_info() -> _BuildInfo: ...

_FIELD_NAMES: dict[str, tuple[str, ...]]
_COLOUR_NAMES: tuple[tuple[str, str, str], ...]

def _cloud_of_fields(fields: dict[str, NDArray[Any]], columns: Optional[NDArray[Any]] = None) -> PointCloud: ...
def _run_command(arguments: list[bytes], package: str) -> int: ...
