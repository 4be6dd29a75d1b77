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
from voxshift.torch.precision import HALVES, wide

Array = Union[np.ndarray, torch.Tensor]  # what operators take: numpy's on the CPU, torch's on a CUDA device

_DEVICES = ("cpu", "cuda")
_ALIGNMENT = 16  # bytes that kernels read at a time
_on_the_host: "weakref.WeakKeyDictionary" = weakref.WeakKeyDictionary()


def array(op: str, what: str, tensor: Optional[torch.Tensor], halves: bool = False) -> Optional[Array]:
    """What operators take on a tensor's memory; None stays None. Raises ValueError unless it is float32, on the CPU or on CUDA.

    halves: whether it may be of a half dtype on CUDA.
    """
    if tensor is None:
        return None
    tensor = tensor if halves else wide(tensor)
    if not is_taken(tensor, halves):
        raise vs.InvalidArgument(
            f"[{op}] {what} expects float32 on the CPU or on CUDA, found {str(tensor.dtype)[6:]} on {tensor.device}"
        )
    return _taken(tensor)


def is_taken(tensor: torch.Tensor, halves: bool = False) -> bool:
    """Whether operators take its dtype and device; halves: those that take rows of a half dtype on CUDA, too."""
    if halves and tensor.is_cuda and tensor.dtype in HALVES:
        return True
    return tensor.device.type in _DEVICES and tensor.dtype == torch.float32


def _taken(tensor):
    tensor = tensor.detach().contiguous()
    if tensor.device.type == "cpu":
        return tensor.numpy()
    return tensor if tensor.data_ptr() % _ALIGNMENT == 0 else tensor.clone()


def tensor_of(values: Any) -> Optional[torch.Tensor]:
    """The tensor on the memory of what operators take or give, a numpy array or a voxshift.DeviceArray; None stays None."""
    if values is None or isinstance(values, torch.Tensor):
        return values
    return torch.from_numpy(values) if isinstance(values, np.ndarray) else torch.from_dlpack(values)


def taken(op: str, what: str, tensor: torch.Tensor) -> torch.Tensor:
    """The tensor. Raises ValueError where it is on a device without operators, or none of torch's."""
    if not isinstance(tensor, torch.Tensor):
        raise vs.InvalidArgument(f"[{op}] {what} expects a tensor of torch, found {type(tensor).__name__}")
    if tensor.device.type not in _DEVICES:
        raise vs.InvalidArgument(f"[{op}] {what} expects a tensor on the CPU or on CUDA, found one on {tensor.device}")
    return tensor


def taken_together(op: str, named: dict) -> None:
    """Raises ValueError unless all tensors, by what they are, are on one device that has operators."""
    devices = {what: taken(op, what, tensor).device for what, tensor in named.items()}
    if len(set(devices.values())) > 1:
        found = ", ".join(f"{what} on {device}" for what, device in devices.items())
        raise vs.InvalidArgument(f"[{op}] expects tensors on one device, found {found}")


def copied(values: Any) -> torch.Tensor:
    """A tensor of the values of a read-only array, as coords are, on its device."""
    return torch.from_numpy(values.copy()) if isinstance(values, np.ndarray) else torch.from_dlpack(values).clone()


def numbers(op: str, what: str, values: Any, device: torch.device) -> Any:
    """Places, rows or flags as operators take them beside features on the device. A numpy array goes where those are.

    Raises ValueError for a tensor on another device.
    """
    if isinstance(values, np.ndarray) and device.type != "cpu":
        return torch.tensor(values, device=device)
    if not isinstance(values, torch.Tensor):
        return values
    if values.device != device:
        raise vs.InvalidArgument(f"[{op}] {what} expects numbers on {device}, found them on {values.device}")
    return _taken(values)


def rows(values: Any, device: torch.device) -> torch.Tensor:
    """int32 on the device: numbers of rows, of which no tensor has more, from a list or a numpy array."""
    return torch.from_numpy(np.ascontiguousarray(values, np.int32)).to(device)


def counted(count: int, device: torch.device, every: int = 1) -> torch.Tensor:
    """int32 [count] on the device: i // every."""
    return torch.div(torch.arange(count, dtype=torch.int32, device=device), every, rounding_mode="floor")


def on_host(values: Any) -> np.ndarray:
    """A numpy array of a tensor, an operator's result or numbers, which comes from a device."""
    if isinstance(values, torch.Tensor):
        return values.detach().cpu().numpy()
    return values.numpy() if isinstance(values, vs.DeviceArray) else np.asarray(values)


def device_of(coordinates: vs.Coordinates) -> torch.device:
    """Where the rows of coordinates are."""
    return torch.device(coordinates.device)


def last_batch(coordinates: vs.Coordinates) -> int:
    """The highest batch that has a row, -1 where there is none. Rows are in order of their batch."""
    if not len(coordinates):
        return -1
    coords = coordinates.coords
    return int(coords[-1, 0] if isinstance(coords, np.ndarray) else tensor_of(coords)[-1, 0])


def host_coords(coordinates: vs.Coordinates) -> np.ndarray:
    """int32 [N, 1 + D], read-only: for decisions that the CPU makes. Coordinates on a device are copied once."""
    if coordinates.device == "cpu":
        return coordinates.coords
    if coordinates not in _on_the_host:
        _on_the_host[coordinates] = on_host(coordinates.coords)
    return _on_the_host[coordinates]
