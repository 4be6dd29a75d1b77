"""Containers and modules on features: spconv.pytorch.modules, identity and tables' companions."""

from collections import OrderedDict
from typing import Iterator, Optional

import torch
from torch import nn

from voxshift.torch import functional
from voxshift.torch.spconv.core import SparseConvTensor

# What treats every row alike, so that the order of rows does not matter to it.
_ROW_BY_ROW = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Mish, nn.Sigmoid, nn.Tanh, nn.Hardswish, nn.Hardtanh,
    nn.Softplus, nn.BatchNorm1d, nn.SyncBatchNorm, nn.LayerNorm, nn.Linear, nn.Identity,
)  # fmt: skip


class SparseModule(nn.Module):
    """What takes and gives a SparseConvTensor in a SparseSequential."""

    def __init__(self, name: Optional[str] = None):
        super().__init__()
        self.name = name
        self._sparse_unique_name = ""


def is_spconv_module(module: nn.Module) -> bool:
    """Whether a SparseSequential gives the module the tensor, not its features."""
    return isinstance(module, (SparseModule, SparseBatchNorm, SparseSyncBatchNorm, SparseReLU, SparseIdentity))


def is_sparse_conv(module: nn.Module) -> bool:
    """Whether it is a convolution of this package."""
    from voxshift.torch.spconv.conv import SparseConvolution

    return isinstance(module, SparseConvolution)


def assign_name_for_sparse_modules(module: nn.Module) -> None:
    """Writes into every SparseModule its path within the module."""
    for path, part in module.named_modules():
        if isinstance(part, SparseModule):
            part._sparse_unique_name = path


def on_features(module: nn.Module, x: SparseConvTensor) -> SparseConvTensor:
    """The module of torch on the tensor's features."""
    if type(module) in _ROW_BY_ROW or isinstance(module, _SPARSE_FORMS):
        return x.with_rows(module(x.at_hand))
    return x.replace_feature(module(x.features))


class SparseSequential(SparseModule):
    """Modules one after the other: given in order, by keyword or as an OrderedDict. Those of torch get the features.

    A batch norm of torch's and the ReLU after it are computed in one pass, where nobody listens to them by a hook.
    """

    def __init__(self, *args, **kwargs):
        super().__init__()
        named = args[0].items() if len(args) == 1 and isinstance(args[0], OrderedDict) else enumerate(args)
        for name, module in named:
            self.add_module(str(name), module)
        for name, module in kwargs.items():
            if name in self._modules:
                raise ValueError(f"[SparseSequential] two modules are called {name}")
            self.add_module(name, module)

    def __getitem__(self, idx: int) -> nn.Module:
        modules = list(self._modules.values())
        if not -len(modules) <= idx < len(modules):
            raise IndexError(f"[SparseSequential] index {idx} expects less than {len(modules)}")
        return modules[idx]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self._modules.values())

    def add(self, module: nn.Module, name: Optional[str] = None) -> None:
        """One more at the end; its number is its name unless one is given."""
        name = str(len(self._modules)) if name is None else name
        if name in self._modules:
            raise KeyError(f"[SparseSequential] two modules are called {name}")
        self.add_module(name, module)

    def forward(self, input):
        modules = list(self._modules.values())
        i = 0
        while i < len(modules):
            module = modules[i]
            i += 1
            if is_spconv_module(module) or not isinstance(input, SparseConvTensor):
                input = module(input)
            elif len(input.at_hand):
                relu = modules[i] if i < len(modules) and _is_fused(module, modules[i], input.at_hand) else None
                i += relu is not None
                input = self._on_features(module, relu, input)
        return input

    def _on_features(self, module, relu, x):
        if relu is not None:
            return x.with_rows(normalized(module, x.at_hand))
        return on_features(module, x)


def _is_fused(norm, relu, feats):
    if type(norm) is not nn.BatchNorm1d or type(relu) is not nn.ReLU or feats.dtype != torch.float32:
        return False
    hooked = any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in (norm, relu))
    return not hooked and norm.affine and norm.track_running_stats and norm.momentum is not None and len(feats) > 1


def normalized(norm: nn.BatchNorm1d, feats: torch.Tensor) -> torch.Tensor:
    """relu(norm(feats)) in one pass, and the norm's statistics as it updates them itself."""
    if norm.training:
        norm.num_batches_tracked.add_(1)
    return functional.batch_norm(
        feats,
        norm.running_mean,
        norm.running_var,
        norm.weight,
        norm.bias,
        training=norm.training,
        momentum=norm.momentum,
        eps=norm.eps,
        activation="relu",
    )


class _OnTensors:
    """A module of torch that takes a SparseConvTensor as well."""

    def forward(self, input):
        if isinstance(input, SparseConvTensor):
            return input.with_rows(super().forward(input.at_hand))
        return super().forward(input)


class SparseBatchNorm(_OnTensors, nn.BatchNorm1d):
    """torch.nn.BatchNorm1d on features, of a SparseConvTensor or alone."""


class SparseSyncBatchNorm(_OnTensors, nn.SyncBatchNorm):
    """torch.nn.SyncBatchNorm on features, of a SparseConvTensor or alone."""


class SparseReLU(_OnTensors, nn.ReLU):
    """torch.nn.ReLU on features, of a SparseConvTensor or alone."""


class SparseIdentity(_OnTensors, nn.Identity):
    """What it is given."""


_SPARSE_FORMS = (SparseBatchNorm, SparseSyncBatchNorm, SparseReLU, SparseIdentity)


class Identity(nn.Module):
    """What it is given."""

    def forward(self, input):
        return input

    def input_spatial_size(self, out_size):
        """The same."""
        return out_size


class ToDense(SparseModule):
    """SparseConvTensor.dense() as a module."""

    def forward(self, x: SparseConvTensor) -> torch.Tensor:
        return x.dense()


class RemoveGrid(SparseModule):
    """Forgets the tensor's preallocated grid, which nothing here uses."""

    def forward(self, x: SparseConvTensor) -> SparseConvTensor:
        x.grid = None
        return x
