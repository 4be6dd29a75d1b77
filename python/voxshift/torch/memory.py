"""How tensors of torch become what the library's operators take, and how results become tensors: the one place that knows.

On the CPU both share memory through numpy. On a CUDA device the operators take the tensor itself, on torch's current
stream, and give voxshift.DeviceArrays, on whose memory torch makes tensors. Nothing is copied but what is not contiguous or
does not begin at 16 bytes.
"""

import weakref
from typing import Any, Optional, Union

import numpy as np
import torch

import voxshift as vs

Array = Union[np.ndarray, torch.Tensor]  # what operators take: numpy's on the CPU, torch's on a CUDA device

_ALIGNMENT = 16  # bytes that kernels read at a time
_on_the_host: "weakref.WeakKeyDictionary" = weakref.WeakKeyDictionary()


def array(op: str, what: str, tensor: Optional[torch.Tensor]) -> Optional[Array]:
    """What operators take on a tensor's memory; None stays None. Raises ValueError unless it is float32, on the CPU or on CUDA."""
    if tensor is None:
        return None
    if tensor.device.type not in ("cpu", "cuda") or tensor.dtype != torch.float32:
        raise vs.InvalidArgument(
            f"[{op}] {what} expects float32 on the CPU or on CUDA, found {str(tensor.dtype)[6:]} on {tensor.device}"
        )
    return _taken(tensor)


def _taken(tensor):
    tensor = tensor.detach().contiguous()
    if tensor.device.type == "cpu":
        return tensor.numpy()
    return tensor if tensor.data_ptr() % _ALIGNMENT == 0 else tensor.clone()


def tensor_of(values: Any) -> Optional[torch.Tensor]:
    """The tensor on the memory of an operator's result, a numpy array or a voxshift.DeviceArray; None stays None."""
    if values is None:
        return None
    return torch.from_numpy(values) if isinstance(values, np.ndarray) else torch.from_dlpack(values)


def copied(values: Any) -> torch.Tensor:
    """A tensor of the values of a read-only array, as coords are, on its device."""
    return torch.from_numpy(values.copy()) if isinstance(values, np.ndarray) else torch.from_dlpack(values).clone()


def numbers(op: str, what: str, values: Array, device: torch.device) -> Array:
    """Places, rows or flags as operators take them beside features on the device. A numpy array goes where those are.

    Raises ValueError for a tensor on another device.
    """
    if not isinstance(values, torch.Tensor):
        return values if device.type == "cpu" else torch.from_numpy(np.ascontiguousarray(values)).to(device)
    if values.device != device:
        raise vs.InvalidArgument(f"[{op}] {what} expects numbers on {device}, found them on {values.device}")
    return _taken(values)


def device_of(coordinates: vs.Coordinates) -> torch.device:
    """Where the rows of coordinates are."""
    return torch.device(coordinates.device)


def host_coords(coordinates: vs.Coordinates) -> np.ndarray:
    """int32 [N, 1 + D], read-only: for decisions that the CPU makes. Coordinates on a device are copied once."""
    if coordinates.device == "cpu":
        return coordinates.coords
    if coordinates not in _on_the_host:
        _on_the_host[coordinates] = coordinates.coords.numpy()
    return _on_the_host[coordinates]
