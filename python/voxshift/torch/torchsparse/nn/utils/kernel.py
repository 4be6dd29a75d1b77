"""Offsets of windows."""

from typing import Sequence, Union

import numpy as np
import torch

from voxshift.torch.torchsparse.utils.utils import make_ntuple
from voxshift.torch.windows import Offsets, box

Axes = Union[int, Sequence[int]]


def window(size: Sequence[int], lowest: Sequence[int]) -> Offsets:
    """The offsets of a window from `lowest` on, in the order of its weights: x fastest if there is an odd number, else z."""
    return box(lowest, size, first_axis_fastest=np.prod(size) % 2 == 1)


def get_kernel_offsets(size: Axes, stride: Axes = 1, dilation: Axes = 1, device="cpu") -> torch.Tensor:
    """int32 [K, 3]: -(size - 1) // 2 .. size // 2 per axis, times stride and dilation, in the order of weights."""
    size, stride, dilation = (make_ntuple(x, 3) for x in (size, stride, dilation))
    offsets = torch.tensor(window(size, [1 - (n + 1) // 2 for n in size]), dtype=torch.int, device=device)
    return offsets * torch.tensor([a * b for a, b in zip(stride, dilation)], dtype=torch.int, device=device)
