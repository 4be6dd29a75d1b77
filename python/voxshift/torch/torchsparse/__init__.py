"""torchsparse's names over voxshift's operators: `import voxshift.torch.torchsparse as torchsparse`.

Names, arguments and the names, shapes and order of parameters are torchsparse's, so that its model code runs and its
checkpoints load. Which version's rules hold where versions differ is said by `set_version` ("1.4", "2.0" or "2.1", the
default): the column of the batch, the units of coords, and which voxels a strided layer makes. Features are float32, on
the CPU or on a CUDA device.
"""

from voxshift.torch.torchsparse import backends
from voxshift.torch.torchsparse.operators import cat, generative_add
from voxshift.torch.torchsparse.rules import following, set_version, version
from voxshift.torch.torchsparse.tensor import (
    PointTensor,
    SparseTensor,
    get_allow_negative_coordinates,
    set_allow_negative_coordinates,
)
from voxshift.torch.torchsparse.utils.tune import tune

from voxshift.torch.torchsparse import backend, nn, utils  # isort: skip
from voxshift.torch.torchsparse.utils import collate, quantize  # isort: skip

__all__ = [
    "PointTensor",
    "SparseTensor",
    "backend",
    "backends",
    "cat",
    "collate",
    "following",
    "generative_add",
    "get_allow_negative_coordinates",
    "nn",
    "quantize",
    "set_allow_negative_coordinates",
    "set_version",
    "tune",
    "utils",
    "version",
]


def __getattr__(name: str) -> str:
    if name == "__version__":
        return f"{version()}.0"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
