"""torch.nn modules of the operators; argument names are torchsparse's."""

import math
from typing import Optional, Union

import torch
from torch import nn

from voxshift.torch import functional
from voxshift.torch.expected import expect
from voxshift.torch.functional import Axes, per_axis
from voxshift.torch.sparse_tensor import SparseTensor, check_channels, check_together


class Conv3d(nn.Module):
    """Sparse convolution, weights `kernel` [K, Cin, Cout] ([Cin, Cout] where K is 1) initialised as torchsparse does.

    Stride 1 is submanifold; a larger stride gives unique(floor(c / stride)). transposed: back onto the coordinates that a
    convolution of this stride came from. generative: makes all coordinates that a tap reaches. padding belongs to
    semantics="bounded" (spconv). Takes and gives a SparseTensor.
    """

    dims = 3

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Axes = 3,
        stride: Axes = 1,
        padding: Axes = 0,
        dilation: Axes = 1,
        bias: bool = False,
        transposed: bool = False,
        generative: bool = False,
        semantics: str = "floor",
    ):
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = per_axis(kernel_size, self.dims)
        self.stride = per_axis(stride, self.dims)
        self.padding = per_axis(padding, self.dims)
        self.dilation = per_axis(dilation, self.dims)
        self.semantics = semantics
        self.op = "generative_conv_transpose" if generative else "conv_transpose" if transposed else "conv"
        volume = math.prod(self.kernel_size)
        bound = 1 / math.sqrt((in_channels if self.op == "conv" else out_channels) * volume)
        shape = (in_channels, out_channels) if volume == 1 else (volume, in_channels, out_channels)
        self.kernel = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound)) if bias else None

    def forward(self, x: SparseTensor) -> SparseTensor:
        expect(self.op, x, SparseTensor)
        return functional.conv3d(
            x,
            self.kernel,
            self.bias,
            kernel_size=self.kernel_size,
            stride=self.stride,
            dilation=self.dilation,
            padding=self.padding,
            semantics=self.semantics,
            op=self.op,
        )

    def extra_repr(self):
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, op={self.op}"
        )


class SubMConv3d(Conv3d):
    """Convolution that keeps the coordinates (spconv's name for stride 1)."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Axes = 3, dilation: Axes = 1, bias: bool = False
    ):
        super().__init__(in_channels, out_channels, kernel_size, dilation=dilation, bias=bias)


class ConvTranspose3d(Conv3d):
    """Convolution back onto the coordinates that one of the same stride came from."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Axes = 2,
        stride: Axes = 2,
        bias: bool = False,
        generative: bool = False,
    ):
        super().__init__(
            in_channels, out_channels, kernel_size, stride, bias=bias, transposed=True, generative=generative
        )


class BatchNorm(nn.Module):
    """Batch normalisation over all rows, with torch.nn.BatchNorm1d's parameters and running statistics.

    activation: None, "relu", "relu6" or "leaky_relu", applied in the same pass, after an optional residual:
    forward(x, residual=None) on SparseTensors with equal coordinates. Raises ValueError for other coordinates and, in
    training, for one row, whose variance tells nothing; no row leaves the running statistics alone, as in torch.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        activation: Optional[str] = None,
        negative_slope: float = 0.01,
    ):
        super().__init__()
        self.eps, self.momentum, self.activation, self.negative_slope = eps, momentum, activation, negative_slope
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x: SparseTensor, residual: Optional[SparseTensor] = None) -> SparseTensor:
        expect("batch_norm", x, SparseTensor)
        if residual is not None:
            check_together("batch_norm", (x, residual))
            check_channels("batch_norm", x, residual)
        return x.with_feats(
            functional.batch_norm(
                x.feats,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                training=self.training,
                momentum=self.momentum,
                eps=self.eps,
                residual=None if residual is None else residual.feats,
                activation=self.activation,
                negative_slope=self.negative_slope,
            )
        )


class ReLU(nn.Module):
    """max(x, 0) on a SparseTensor."""

    def __init__(self, inplace: bool = False):
        super().__init__()
        self.inplace = inplace

    def forward(self, x: SparseTensor) -> SparseTensor:
        expect("relu", x, SparseTensor)
        return x.with_feats(torch.relu_(x.feats) if self.inplace else torch.relu(x.feats))


class LeakyReLU(nn.Module):
    """max(x, 0) + negative_slope * min(x, 0) on a SparseTensor."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False):
        super().__init__()
        self.negative_slope, self.inplace = negative_slope, inplace

    def forward(self, x: SparseTensor) -> SparseTensor:
        expect("leaky_relu", x, SparseTensor)
        return x.with_feats(nn.functional.leaky_relu(x.feats, self.negative_slope, self.inplace))


class Linear(nn.Linear):
    """torch.nn.Linear on a SparseTensor's features, or on a tensor [N, in_features], by voxshift's kernels."""

    def forward(self, x: Union[SparseTensor, torch.Tensor]) -> Union[SparseTensor, torch.Tensor]:
        if isinstance(x, torch.Tensor):
            return functional.linear(x, self.weight, self.bias)
        expect("linear", x, SparseTensor)
        return x.with_feats(functional.linear(x.feats, self.weight, self.bias))
