"""torch.nn's activations on sparse tensors and tensor fields."""

from typing import Any

import torch
from torch import nn

from voxshift.torch.expected import expect
from voxshift.torch.minkowski.common import MinkowskiModuleBase
from voxshift.torch.minkowski.tensor import Tensor


class MinkowskiNonlinearityBase(MinkowskiModuleBase):
    """MODULE of every row's features; it is the module `module`."""

    MODULE: Any = None

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()
        self.module = self.MODULE(*args, **kwargs)

    def forward(self, input: Tensor) -> Tensor:
        expect("minkowski", input, Tensor)
        return input.with_rows(self.module(input.rows()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


_MODULES = (
    "ELU Hardshrink Hardsigmoid Hardtanh Hardswish LeakyReLU LogSigmoid PReLU ReLU ReLU6 RReLU SELU CELU GELU Sigmoid "
    "SiLU Softplus Softshrink Softsign Tanh Tanhshrink Threshold Softmin Softmax LogSoftmax AdaptiveLogSoftmaxWithLoss "
    "Dropout AlphaDropout"
).split()
NONLINEARITIES = {
    f"Minkowski{name}": type(
        f"Minkowski{name}",
        (MinkowskiNonlinearityBase,),
        {"MODULE": getattr(nn, name), "__doc__": f"torch.nn.{name} of the features.", "__module__": __name__},
    )
    for name in _MODULES
}
globals().update(NONLINEARITIES)


class MinkowskiSinusoidal(MinkowskiModuleBase):
    """sin(x kernel + bias) * coef."""

    def __init__(self, in_channel: int, out_channel: int):
        super().__init__()
        self.in_channel, self.out_channel = in_channel, out_channel
        self.kernel = nn.Parameter(torch.rand(in_channel, out_channel))
        self.bias = nn.Parameter(torch.rand(1, out_channel))
        self.coef = nn.Parameter(torch.rand(1, out_channel))

    def forward(self, input: Tensor) -> Tensor:
        expect("minkowski", input, Tensor)
        return input.with_rows(torch.sin(input.rows() @ self.kernel + self.bias) * self.coef)
