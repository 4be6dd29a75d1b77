"""Modules that stand for compiled extensions which are not installed: importing is no error, use is."""

import re
import sys
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Iterator, List

# Names of extensions, and what the ends of names of compiled modules in model repositories look like.
_EXTENSIONS = (
    *("pointops", "pointops2", "pointgroup_ops", "flash_attn", "torch_cluster", "torch_sparse", "torch_points_kernels"),
    *("torch_geometric", "torch_spline_conv", "SharedArray"),
    *("pointnet2_ops", "pytorch3d", "ocnn", "cumm", "MinkowskiEngineBackend", "knn_pytorch", "chamfer", "emd"),
    *("spconv", "torchsparse", "MinkowskiEngine", "torch_scatter", "mmcv.ops", "mmcv._ext", "tensorrt"),
)
_COMPILED = re.compile(r".*(_cuda|_ext|_C|_cuda_ext|_kernels?|_backend)$")


def _missing(place):
    package = place.rpartition(".")[0] or place
    return ImportError(f"[compat] {place} is used, but the compiled extension {package} is not installed", name=package)


class Placeholder:
    """What stands for a function or a class that is not there. It can be a base class and stand in annotations;
    calling it, or making an object of a class that has it as a base, raises ImportError.
    """

    def __init__(self, place: str):
        self._place = place
        self.__name__, self.__module__ = place.rpartition(".")[2], place.rpartition(".")[0]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Placeholder(f"{self._place}.{name}")

    def __call__(self, *args: Any, **named: Any) -> Any:
        raise _missing(self._place)

    def __mro_entries__(self, bases: tuple) -> tuple:
        def refuse(cls, *args, **named):
            raise _missing(self._place)

        return (type(self.__name__, (), {"__new__": refuse}),)

    def __instancecheck__(self, x: Any) -> bool:
        return False

    def __subclasscheck__(self, cls: Any) -> bool:
        return False

    def __or__(self, other: Any) -> Any:
        return other

    __ror__ = __or__

    def __repr__(self) -> str:
        return f"<{self._place}, which is not installed>"


class _Module(ModuleType):
    __all__: List[str]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return Placeholder(f"{self.__name__}.{name}")


def module(name: str) -> ModuleType:
    """A module with a placeholder for every name."""
    made = _Module(name)
    made.__spec__ = ModuleSpec(name, None, is_package=True)
    made.__path__, made.__all__ = [], []
    return made


class _Finder(MetaPathFinder, Loader):
    """Finds extensions that nobody else does."""

    def __init__(self):
        self.made = set()

    def find_spec(self, fullname, path=None, target=None):
        parts = fullname.split(".")
        starts = {".".join(parts[: i + 1]) for i in range(len(parts))}
        if not starts & set(_EXTENSIONS) and not _COMPILED.match(fullname):
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec):
        self.made.add(spec.name)
        return module(spec.name)

    def exec_module(self, module):
        pass


@contextmanager
def found_last() -> Iterator[None]:
    """Has imports of missing extensions find placeholders within the context."""
    finder = _Finder()
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in finder.made:
            if isinstance(sys.modules.get(name), _Module):
                del sys.modules[name]
            parent, _, leaf = name.rpartition(".")
            if isinstance(vars(sys.modules.get(parent, ModuleType(""))).get(leaf), _Module):
                delattr(sys.modules[parent], leaf)
