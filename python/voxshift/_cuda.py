"""Takes the compiled module from the package voxshift-cuda where that is installed, in this version."""

import importlib.metadata
import warnings

import voxshift

try:
    import voxshift_cuda

    ours, theirs = (importlib.metadata.version(name) for name in ("voxshift", "voxshift-cuda"))
except ImportError:
    pass
else:
    if ours == theirs:
        voxshift.__path__.insert(0, voxshift_cuda.__path__[0])
    else:
        warnings.warn(
            f"CUDA is left aside: voxshift is {ours}, voxshift-cuda {theirs}; install voxshift-cuda=={ours}",
            RuntimeWarning,
            stacklevel=2,
        )
