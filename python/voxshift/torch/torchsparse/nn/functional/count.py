"""Histograms."""

import torch


def spcount(coords: torch.Tensor, num: int) -> torch.Tensor:
    """int32 [num]: how often each of 0 .. num - 1 stands in coords; others are skipped."""
    coords, num = coords.flatten().long(), int(num)
    return torch.bincount(coords[(coords >= 0) & (coords < num)], minlength=num).int()
