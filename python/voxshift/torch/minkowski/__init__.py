"""MinkowskiEngine's names over voxshift's operators: `import voxshift.torch.minkowski as ME`.

Names, arguments and the names, shapes and order of parameters are those of MinkowskiEngine 0.5, so that its model code runs
and its checkpoints load. In one to four dimensions. Features are float32, on the CPU or on a
CUDA device.
"""

import torch as _torch

import voxshift as _vs
from voxshift.torch.minkowski import functional as MinkowskiFunctional
from voxshift.torch.minkowski import nonlinearity as MinkowskiNonlinearity
from voxshift.torch.minkowski import ops as MinkowskiOps
from voxshift.torch.minkowski.broadcast import (
    MinkowskiBroadcast,
    MinkowskiBroadcastAddition,
    MinkowskiBroadcastConcatenation,
    MinkowskiBroadcastMultiplication,
)
from voxshift.torch.minkowski.common import (
    BroadcastMode,
    ConvolutionMode,
    CoordinateMapKey,
    CoordinateMapType,
    GPUMemoryAllocatorType,
    MinkowskiAlgorithm,
    MinkowskiModuleBase,
    PoolingMode,
    RegionType,
    convert_to_int_list,
    convert_to_int_tensor,
)
from voxshift.torch.minkowski.convolution import (
    MinkowskiChannelwiseConvolution,
    MinkowskiConvolution,
    MinkowskiConvolutionBase,
    MinkowskiConvolutionFunction,
    MinkowskiConvolutionTranspose,
    MinkowskiConvolutionTransposeFunction,
    MinkowskiGenerativeConvolutionTranspose,
)
from voxshift.torch.minkowski.kernel_generator import KernelGenerator, convert_region_type, get_kernel_volume
from voxshift.torch.minkowski.manager import CoordinateManager
from voxshift.torch.minkowski.network import MinkowskiNetwork
from voxshift.torch.minkowski.nonlinearity import NONLINEARITIES as _NONLINEARITIES
from voxshift.torch.minkowski.nonlinearity import MinkowskiNonlinearityBase, MinkowskiSinusoidal
from voxshift.torch.minkowski.normalization import (
    MinkowskiBatchNorm,
    MinkowskiInstanceNorm,
    MinkowskiStableInstanceNorm,
    MinkowskiSyncBatchNorm,
)
from voxshift.torch.minkowski.ops import (
    MinkowskiLinear,
    MinkowskiStackCat,
    MinkowskiStackMean,
    MinkowskiStackSum,
    MinkowskiStackVar,
    MinkowskiToDenseTensor,
    MinkowskiToFeature,
    MinkowskiToSparseTensor,
    cat,
    dense_coordinates,
    mean,
    sum,
    to_sparse,
    to_sparse_all,
    var,
)
from voxshift.torch.minkowski.pooling import (
    MinkowskiAvgPooling,
    MinkowskiGlobalAvgPooling,
    MinkowskiGlobalMaxPooling,
    MinkowskiGlobalPooling,
    MinkowskiGlobalSumPooling,
    MinkowskiMaxPooling,
    MinkowskiPoolingTranspose,
    MinkowskiSumPooling,
)
from voxshift.torch.minkowski.selection import (
    MinkowskiInterpolation,
    MinkowskiInterpolationFunction,
    MinkowskiPruning,
    MinkowskiPruningFunction,
    MinkowskiUnion,
    MinkowskiUnionFunction,
)
from voxshift.torch.minkowski.sparse_tensor import SparseTensor
from voxshift.torch.minkowski.tensor import (
    SparseTensorOperationMode,
    SparseTensorQuantizationMode,
    clear_global_coordinate_manager,
    global_coordinate_manager,
    set_global_coordinate_manager,
    set_sparse_tensor_operation_mode,
    sparse_tensor_operation_mode,
)
from voxshift.torch.minkowski.tensor_field import TensorField

from voxshift.torch.minkowski import modules, utils  # isort: skip

__version__ = "0.5.4"

globals().update(_NONLINEARITIES)


def set_gpu_allocator(backend: GPUMemoryAllocatorType) -> None:
    """Does nothing: torch and the library manage the memory of devices."""


def set_memory_manager_backend(backend: GPUMemoryAllocatorType) -> None:
    """Does nothing: torch and the library manage the memory of devices."""


def is_cuda_available() -> bool:
    """Whether tensors on CUDA devices are taken."""
    return bool(_torch.cuda.is_available() and _vs.build_info()["cuda"])
