"""Which dtype operators compute in: what torch.autocast asks for, as of torch's own.

On CUDA within torch.autocast, of float16 or bfloat16, convolutions and linear layers take and give its dtype. Their weights
are the float32 ones that an optimizer has, rounded on the way, and get float32 gradients; sums are float32. Batch norm,
pools, cat, shifts and operators between points and voxels keep the dtype of their rows, statistics are float32. All else is
computed in float32, and so is everything on the CPU. Without autocast an operator computes in the dtype of its features.
"""

from contextlib import nullcontext
from typing import Any, Optional

import torch
from torch.autograd import Function

HALVES = (torch.float16, torch.bfloat16)


def autocast_dtype(device: torch.device) -> Optional[torch.dtype]:
    """The dtype of torch.autocast for a device, None outside of it."""
    if device.type not in ("cpu", "cuda"):
        return None
    if hasattr(torch, "get_autocast_dtype"):  # torch 2.4
        return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None
    if device.type == "cpu":
        return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else None
    return torch.get_autocast_gpu_dtype() if torch.is_autocast_enabled() else None


def decides(tensor: torch.Tensor) -> bool:
    """Whether an operator's own dtype is the one for these features: within autocast, and of halves on CUDA."""
    return autocast_dtype(tensor.device) is not None or (tensor.is_cuda and tensor.dtype in HALVES)


def of_product(x: torch.Tensor) -> torch.Tensor:
    """Features as a convolution or a linear layer computes on them."""
    wanted = autocast_dtype(x.device)
    if wanted is None or x.dtype not in (torch.float32, *HALVES):
        return x
    return x.to(wanted) if x.is_cuda else x.float()


def of_rows(x: torch.Tensor) -> torch.Tensor:
    """Features as an operator computes on them that keeps their dtype where it has kernels for it, on CUDA."""
    return x if x.is_cuda else wide(x)


def _without_autocast(device):
    """A context in which torch's operators keep the dtypes of their operands."""
    is_torchs = device.type == "cpu" or torch.cuda.is_available()
    is_on = is_torchs and autocast_dtype(device) is not None
    return torch.autocast(device.type, enabled=False) if is_on else nullcontext()


def wide(x: Any) -> Any:
    """Within autocast halves as float32; anything else stays."""
    if not isinstance(x, torch.Tensor) or x.dtype not in HALVES or autocast_dtype(x.device) is None:
        return x
    return x.float()


class WideFunction(Function):
    """A Function of operators that compute in float32, also within autocast."""

    @classmethod
    def apply(cls, *args):
        given = [wide(x) for x in args]
        with _without_autocast(next(x.device for x in given if isinstance(x, torch.Tensor))):
            return super().apply(*given)
