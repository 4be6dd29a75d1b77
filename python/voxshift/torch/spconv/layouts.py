"""How spconv's versions lay a weight out, and one layout from another.

K is the output's channels, C the input's, RS the taps: "KRSC" since spconv 2.2, "RSKC" 2.0 and 2.1, "RSCK" spconv 1 and
mmcv. The weight of one tap is read as [C, K] by all of them, whatever its shape says.
"""

import math
from contextlib import contextmanager
from typing import Iterator, Optional, Sequence

import torch

import voxshift as vs
from voxshift.torch.spconv import constants

LAYOUTS = ("KRSC", "RSKC", "RSCK")
_saved: Optional[str] = None


@contextmanager
def saved_layout(layout: str) -> Iterator[None]:
    """Within, load_state_dict takes weights in this layout, one of LAYOUTS; else the shape tells, and where more than one
    fits, the layer's own is meant. Raises ValueError for other names.
    """
    global _saved
    if layout not in LAYOUTS:
        raise vs.InvalidArgument(f"[saved_layout] expects one of {', '.join(LAYOUTS)}, found {layout}")
    before, _saved = _saved, layout
    try:
        yield
    finally:
        _saved = before


def shape_of(layout: str, kernel_size: Sequence[int], inputs: int, outputs: int) -> list:
    """The shape of a weight in this layout."""
    channels = {"K": [outputs], "C": [inputs], "RS": list(kernel_size)}
    names = {"KRSC": ("K", "RS", "C"), "RSKC": ("RS", "K", "C"), "RSCK": ("RS", "C", "K")}[layout]
    return [size for name in names for size in channels[name]]


def kernel_of(weight: torch.Tensor, layout: str) -> torch.Tensor:
    """[taps, C, K] of a weight in this layout."""
    if layout == "KRSC":
        return weight.flatten(1, -2).permute(1, 2, 0)
    kernel = weight.flatten(0, -3)
    return kernel if layout == "RSCK" else kernel.transpose(1, 2)


def weight_of(kernel: torch.Tensor, layout: str, kernel_size: Sequence[int]) -> torch.Tensor:
    """kernel_of's inverse, contiguous."""
    orders = {"KRSC": (2, 0, 1), "RSKC": (0, 2, 1), "RSCK": (0, 1, 2)}
    _, inputs, outputs = kernel.shape
    return kernel.permute(orders[layout]).reshape(shape_of(layout, kernel_size, inputs, outputs))


def converted(
    weight: torch.Tensor, layout: str, kernel_size: Sequence[int], inputs: int, outputs: int, name: str
) -> torch.Tensor:
    """A stored weight in this layout. Raises ValueError where its own cannot be told; other shapes are left as they are."""
    fitting = [other for other in LAYOUTS if list(weight.shape) == shape_of(other, kernel_size, inputs, outputs)]
    wanted = _saved or constants.SAVED_WEIGHT_LAYOUT or (layout if layout in fitting else None)
    if not fitting or wanted == layout:
        return weight
    if math.prod(kernel_size) == 1:
        return weight.reshape(shape_of(layout, kernel_size, inputs, outputs))
    if wanted is None and len(fitting) > 1:
        raise vs.InvalidArgument(
            f"[load_state_dict] {name} of shape {tuple(weight.shape)} may be {' or '.join(fitting)}; load it within "
            "voxshift.torch.spconv.saved_layout(..)"
        )
    found = wanted or fitting[0]
    if found not in fitting:
        raise vs.InvalidArgument(f"[load_state_dict] {name} of shape {tuple(weight.shape)} is not laid out as {found}")
    return weight_of(kernel_of(weight, found), layout, kernel_size)
