"""Extents of what layers give, and the operators' names that model code asks spconv.pytorch.ops for."""

from typing import List, Sequence

import torch

from voxshift.torch.spconv.algo import ConvAlgo

__all__ = ["ConvAlgo", "get_conv_output_size", "get_deconv_output_size", "maximum_value_int_"]


def get_conv_output_size(
    input_size: Sequence[int],
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> List[int]:
    """floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1 per axis; 1 where the kernel is -1."""
    sizes = zip(input_size, kernel_size, stride, padding, dilation)
    return [1 if k == -1 else (n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes]


def get_deconv_output_size(
    input_size: Sequence[int],
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    output_padding: Sequence[int],
) -> List[int]:
    """(size - 1) stride - 2 padding + kernel + output_padding per axis: spconv leaves the dilation out."""
    sizes = zip(input_size, kernel_size, stride, padding, output_padding)
    return [(n - 1) * s - 2 * p + k + more for n, k, s, p, more in sizes]


def maximum_value_int_(ten: torch.Tensor, value: int) -> None:
    """ten = max(ten, value), in place."""
    ten.clamp_(min=value)
