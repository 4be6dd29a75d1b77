"""Other libraries' names for model code that imports them: `with voxshift.torch.compat(): from their_repository
import net`.
"""

import importlib.util
import pkgutil
import sys
from contextlib import ExitStack, contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Iterator, Optional, Union

import torch

import voxshift as vs
from voxshift.torch import placeholders, without_cuda


def _modules_of(package: ModuleType) -> dict[str, ModuleType]:
    """A package's modules by their names within it."""
    found = {"": package}
    for info in pkgutil.walk_packages(getattr(package, "__path__", []), package.__name__ + "."):
        importlib.import_module(info.name)
    own = package.__name__ + "."
    return {
        **found,
        **{name[len(own) - 1 :]: module for name, module in list(sys.modules.items()) if name.startswith(own)},
    }


def _bundle(name: str, **members: Any) -> ModuleType:
    """A module of these members."""
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None, is_package=True)
    module.__path__ = []
    module.__dict__.update(members)
    return module


def _spconv(version: int) -> dict[str, Optional[ModuleType]]:
    from voxshift.torch import spconv

    if version == 1:
        names = {name: value for name, value in vars(spconv.v1).items() if not name.startswith("__")}
        top = _bundle("spconv", **names, __version__="1.2.1")
        parts = ("conv", "modules", "functional", "ops", "pool", "tables", "utils", "identity")
        return {
            "spconv": top,
            "spconv.pytorch": None,
            **{f"spconv.{part}": getattr(spconv.v1, part, top) for part in parts},
        }
    found = {f"spconv.pytorch{name}": module for name, module in _modules_of(spconv).items()}
    found["spconv"] = _bundle(
        "spconv", pytorch=spconv, __version__="2.3.6", utils=spconv.utils, constants=spconv.constants
    )
    found.update({"spconv.utils": spconv.utils, "spconv.constants": spconv.constants, "spconv.core": spconv.algo})
    return found


def _torchsparse() -> dict[str, ModuleType]:
    from voxshift.torch import torchsparse

    return {f"torchsparse{name}": module for name, module in _modules_of(torchsparse).items()}


def _minkowski() -> dict[str, ModuleType]:
    from voxshift.torch import minkowski

    return {f"MinkowskiEngine{name}": module for name, module in _modules_of(minkowski).items()}


def _mmcv_ops() -> dict[str, ModuleType]:
    """mmcv.ops where mmcv has none: its sparse part, which is spconv 1; the rest are placeholders."""
    from voxshift.torch.spconv import v1

    ops = placeholders.module("mmcv.ops")
    ops.__dict__.update({name: value for name, value in vars(v1).items() if isinstance(value, type)})
    found = {"mmcv.ops": ops}
    if "mmcv" not in sys.modules and importlib.util.find_spec("mmcv") is None:
        found["mmcv"] = placeholders.module("mmcv")
    return found


def _stand_ins(spconv: int) -> dict[str, ModuleType]:
    from voxshift.torch import scatter

    found = {**_spconv(spconv), **_torchsparse(), **_minkowski(), **_mmcv_ops()}
    found["torch_scatter"] = scatter
    found["torch_scatter.scatter"] = scatter
    return found


@contextmanager
def _in_place_of(modules: dict[str, ModuleType]) -> Iterator[None]:
    """The modules under these names; those of the same packages that there are come back at the end."""
    roots = {name.partition(".")[0] for name in modules if not name.startswith("mmcv")}

    def is_ours(name):
        return name.partition(".")[0] in roots or name == "mmcv.ops" or name.startswith("mmcv.ops.")

    before = {name: module for name, module in sys.modules.items() if is_ours(name) or name in modules}
    for name in before:
        del sys.modules[name]
    sys.modules.update(modules)
    parent = sys.modules.get("mmcv")
    had = vars(parent).get("ops") if parent else None
    if parent:
        vars(parent)["ops"] = modules["mmcv.ops"]
    try:
        yield
    finally:
        for name in [name for name in sys.modules if is_ours(name) or name in modules]:
            del sys.modules[name]
        sys.modules.update(before)
        if parent:
            vars(parent).pop("ops", None)
            if had is not None:
                vars(parent)["ops"] = had


@contextmanager
def compat(spconv: int = 2, torchsparse: Union[str, None] = None) -> Iterator[None]:
    """Within the context, imports of other libraries give voxshift's layers, so that their model code runs unchanged.

    spconv (spconv.pytorch, spconv.utils ..), torchsparse, MinkowskiEngine, the sparse part of mmcv.ops and
    torch_scatter are voxshift.torch's; libraries of these names that are installed are hidden. Other compiled
    extensions that are missing (pointops, flash_attn, the *_cuda of pcdet.ops, mmcv._ext ..) can be imported, and
    using what they hold raises ImportError with its name. Where there is no CUDA, .cuda(), device="cuda" and what
    model code calls in torch.cuda stay on the CPU.

    spconv: 1 or 2, torchsparse: "1.4", "2.0" or "2.1" (the version that is set, unless given), whose rules hold where
    they differ. Everything is restored at the end; modules that were imported keep what they have. Raises ValueError
    for others.
    """
    if spconv not in (1, 2):
        raise vs.InvalidArgument(f"[compat] spconv expects 1 or 2, found {spconv!r}")
    with ExitStack() as stack:
        if torchsparse is not None:
            from voxshift.torch.torchsparse import following

            stack.enter_context(following(torchsparse))
        stack.enter_context(_in_place_of(_stand_ins(spconv)))
        stack.enter_context(placeholders.found_last())
        if not torch.cuda.is_available():
            stack.enter_context(without_cuda.on_the_cpu())
        yield
