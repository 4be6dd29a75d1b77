"""Normalisation."""

from typing import Optional

import torch
from torch import nn

from voxshift.torch import recording
from voxshift.torch.expected import expect
from voxshift.torch.minkowski.broadcast import rows_of_batches
from voxshift.torch.minkowski.common import MinkowskiModuleBase
from voxshift.torch.minkowski.pooling import pooled_by_batch
from voxshift.torch.minkowski.tensor import Tensor
from voxshift.torch.norms import batch_norm


class MinkowskiBatchNorm(nn.Module):
    """torch.nn.BatchNorm1d of the features, over all voxels; it is the module `bn`."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ):
        super().__init__()
        self.bn = nn.BatchNorm1d(num_features, eps, momentum, affine, track_running_stats)

    def forward(self, input: Tensor) -> Tensor:
        expect("minkowski", input, Tensor)
        return input.with_rows(batch_norm(self.bn, input.rows()))

    def __repr__(self) -> str:
        bn = self.bn
        return (
            f"{type(self).__name__}({bn.num_features}, eps={bn.eps}, momentum={bn.momentum}, affine={bn.affine}, "
            f"track_running_stats={bn.track_running_stats})"
        )


class MinkowskiSyncBatchNorm(MinkowskiBatchNorm):
    """MinkowskiBatchNorm: on the CPU there is one process."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group=None,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats)

    @classmethod
    def convert_sync_batchnorm(cls, module: nn.Module, process_group=None) -> nn.Module:
        """The module with each MinkowskiBatchNorm as one of these, of the same parameters."""
        if isinstance(module, MinkowskiBatchNorm) and not isinstance(module, cls):
            converted = cls(module.bn.num_features, module.bn.eps, module.bn.momentum, module.bn.affine)
            converted.bn = module.bn
            return converted
        for name, child in module.named_children():
            setattr(module, name, cls.convert_sync_batchnorm(child, process_group))
        return module


class MinkowskiInstanceNorm(MinkowskiModuleBase):
    """(x - mean) / sqrt(variance + 1e-8) * weight + bias over each batch's voxels. weight, bias: float32 [1, C]."""

    eps = 1e-8

    def __init__(self, num_features: int, dimension: Optional[int] = None):
        super().__init__()
        self.num_features = num_features
        self.weight = nn.Parameter(torch.ones(1, num_features))
        self.bias = nn.Parameter(torch.zeros(1, num_features))

    def reset_parameters(self) -> None:
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        expect("minkowski", input, Tensor)
        x = input.rows()
        centred = x - rows_of_batches(input, pooled_by_batch(input, "mean"))
        variance = pooled_by_batch(input.with_rows(centred**2), "mean")
        scale = variance.with_rows(torch.rsqrt(variance.rows() + self.eps))
        out = centred * rows_of_batches(input, scale) * self.weight + self.bias
        recording.note("instance_norm", (x,), out, **self._tensors(), eps=self.eps)
        return input.with_rows(out)

    def _tensors(self):
        named = {"weight": self.weight, "bias": self.bias}
        return {name: recording.derived(parameter, parameter.view(-1)) for name, parameter in named.items()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(nchannels={self.num_features})"


class MinkowskiStableInstanceNorm(MinkowskiInstanceNorm):
    """MinkowskiInstanceNorm with 1e-6 beside the variance."""

    eps = 1e-6
