"""torchsparse.nn.Conv3d."""

import math

import torch
from torch import nn

import voxshift as vs
from voxshift.torch.torchsparse.nn.functional.conv import conv3d
from voxshift.torch.torchsparse.rules import rules
from voxshift.torch.torchsparse.tensor import SparseTensor
from voxshift.torch.torchsparse.utils.utils import make_ntuple
from voxshift.torch.windows import LaidOut

_OPTIONS = {"kernel_size": 3, "stride": 1, "padding": 0, "dilation": 1, "bias": False, "transposed": False}
_OPTIONS.update(generative=False, config=None)


class Conv3d(nn.Module):
    """Conv3d(in_channels, out_channels, kernel_size=3, stride=1, padding=0, dilation=1, bias=False, transposed=False,
    generative=False, config=None): a layer of conv3d's; before 2.1 there is no padding among the positional arguments.

    kernel: float32 [K, Cin, Cout], two-dimensional for a window of one tap (in 2.1 of stride 1 only). bias: float32 [Cout].
    """

    def __init__(self, in_channels: int, out_channels: int, *args, **kwargs) -> None:
        super().__init__()
        order = [name for name in _OPTIONS if rules().bounded or name not in ("padding", "generative")]
        unknown = kwargs.keys() - _OPTIONS.keys()
        if len(args) > len(order) or unknown:
            raise TypeError(f"Conv3d takes {', '.join(order)}, found {len(args)} and {', '.join(kwargs)}")
        options = {**_OPTIONS, **kwargs, **dict(zip(order, args))}
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, padding = (
            make_ntuple(options[name], 3) for name in ("kernel_size", "stride", "padding")
        )
        self.padding = tuple(
            (n - 1) // 2 if n % 2 == 1 and step == 1 else p for n, step, p in zip(self.kernel_size, self.stride, padding)
        )
        self.dilation, self.transposed, self.generative = options["dilation"], options["transposed"], options["generative"]
        if self.generative and not self.transposed:
            raise vs.InvalidArgument("[Conv3d] a generative convolution expects transposed=True")
        self.config = options["config"]
        self.kernel_volume = math.prod(self.kernel_size)
        has_offsets = self.kernel_volume > 1 or (rules().bounded and self.stride != (1, 1, 1))
        shape = (self.kernel_volume, in_channels, out_channels) if has_offsets else (in_channels, out_channels)
        self.kernel = nn.Parameter(torch.zeros(shape))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if options["bias"] else None
        self._laid_out = LaidOut()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in 1 / sqrt(fan) of either sign."""
        bound = 1 / math.sqrt((self.out_channels if self.transposed else self.in_channels) * self.kernel_volume)
        nn.init.uniform_(self.kernel, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, input: SparseTensor) -> SparseTensor:
        return conv3d(
            input,
            self.kernel,
            self.kernel_size,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.config,
            self.transposed,
            self.generative,
            self.training,
            self._laid_out,
        )

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        parts += [f"dilation={self.dilation}"] * (self.dilation != 1) + ["bias=False"] * (self.bias is None)
        parts += ["transposed=True"] * self.transposed + ["generative=True"] * self.generative
        return ", ".join(parts)
