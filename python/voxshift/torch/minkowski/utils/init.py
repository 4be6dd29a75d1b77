"""Initial weights."""

import math

import torch

import voxshift as vs


def kaiming_normal_(
    tensor: torch.Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> torch.Tensor:
    """torch.nn.init.kaiming_normal_ for weights [K, Cin, Cout], in place. Two-dimensional ones count as [out, in]."""
    if tensor.dim() < 2 or mode not in ("fan_in", "fan_out"):
        raise vs.InvalidArgument(f"[kaiming_normal_] expects a matrix or more, fan_in or fan_out, found {mode}")
    if tensor.dim() == 2:
        fans = {"fan_in": tensor.shape[1], "fan_out": tensor.shape[0]}
    else:
        fans = {"fan_in": tensor.shape[1] * tensor.shape[0], "fan_out": tensor.shape[2] * tensor.shape[0]}
    deviation = torch.nn.init.calculate_gain(nonlinearity, a) / math.sqrt(fans[mode])
    with torch.no_grad():
        return tensor.normal_(0, deviation)
