"""Where there is no CUDA: what model code does with it, on the CPU."""

import functools
from contextlib import contextmanager, nullcontext
from typing import Any, Iterator

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.storage import _StorageBase


def _is_cuda(device: Any) -> bool:
    if isinstance(device, torch.device):
        return device.type == "cuda"
    if isinstance(device, int) and not isinstance(device, bool):  # a GPU's number, or what get_device() gives: -1
        return True
    return isinstance(device, str) and (device == "cuda" or device.startswith("cuda:"))


def _moved(value):
    return "cpu" if _is_cuda(value) else value


class _OnTheCpu(TorchFunctionMode):
    """device="cuda" of any function is the CPU."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = {key: _moved(value) if key == "device" else value for key, value in (kwargs or {}).items()}
        if func.__name__ == "cuda":
            return args[0]
        if func.__name__ == "to":
            args = (args[0], *map(_moved, args[1:]))
        return func(*args, **kwargs)


class _Device:
    """torch.cuda.device, a context and a class that is asked for."""

    def __init__(self, device=None):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


def _loading(load):
    """torch.load, with what was saved on CUDA devices on the CPU."""

    @functools.wraps(load)
    def on_cpu(f, map_location=None, *args, **named):
        if map_location is None or isinstance(map_location, dict) or _is_cuda(map_location):
            map_location = "cpu"
        return load(f, map_location, *args, **named)

    return on_cpu


class _Nothing:
    """A stream or an event: every method does nothing."""

    def __init__(self, *args, **named):
        pass

    def __getattr__(self, name):
        return lambda *args, **named: 0 if name == "elapsed_time" else None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


def _nothing(*args, **named):
    return None


def _zero(*args, **named):
    return 0


_FUNCTIONS = {
    **dict.fromkeys(("synchronize", "empty_cache", "set_device", "manual_seed", "manual_seed_all", "init"), _nothing),
    **dict.fromkeys(("reset_peak_memory_stats", "reset_max_memory_allocated", "ipc_collect"), _nothing),
    **dict.fromkeys(("current_device", "memory_allocated", "max_memory_allocated", "memory_reserved"), _zero),
    "current_stream": _Nothing,
    "default_stream": _Nothing,
    "Stream": _Nothing,
    "Event": _Nothing,
    "stream": lambda stream=None: nullcontext(),
    "device": _Device,
    "get_device_name": lambda device=None: "cpu",
    "get_device_capability": lambda device=None: (0, 0),
}
_TYPES = ("Float", "Double", "Half", "Int", "Long", "Short", "Byte", "Char", "Bool")


@contextmanager
def on_the_cpu() -> Iterator[None]:
    """Within the context .cuda(), device="cuda", files of tensors on CUDA devices and the usual calls of torch.cuda are
    the CPU's. is_available() stays False.
    """
    wanted = [(torch.cuda, name, function) for name, function in _FUNCTIONS.items()]
    wanted += [(torch.cuda, f"{name}Tensor", getattr(torch, f"{name}Tensor")) for name in _TYPES]
    wanted += [(torch.Tensor, "cuda", lambda self, *args, **named: self)]
    wanted += [(nn.Module, "cuda", lambda self, device=None: self)]
    wanted += [(_StorageBase, "cuda", lambda self, *args, **named: self), (torch, "load", _loading(torch.load))]
    before = [(owner, name, getattr(owner, name, None), name in vars(owner)) for owner, name, _ in wanted]
    for owner, name, value in wanted:
        setattr(owner, name, value)
    try:
        with _OnTheCpu():
            yield
    finally:
        for owner, name, value, is_own in before:
            if is_own:
                setattr(owner, name, value)
            else:
                delattr(owner, name)
