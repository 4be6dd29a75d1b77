"""Containers and modules on features: spconv.pytorch.modules, identity and tables' companions."""

from collections import OrderedDict
from typing import Iterator, Optional

import torch
from torch import distributed, nn

from voxshift.torch import functional
from voxshift.torch.expected import expect
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

    A batch norm of torch's and the ReLU after it are computed in one pass where nobody listens to them by a hook; in inference
    without gradients they are folded into the convolution before them.
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
            module, *following = modules[i : i + 3]
            count = 1
            if not isinstance(input, SparseConvTensor) or is_spconv_module(module):
                count = _foldable(module, following, input)
                input = _folded(modules[i : i + count], input) if count > 1 else module(input)
            elif len(input.at_hand):
                normalizes = _is_normalized(module, input.at_hand)
                count += normalizes and type((*following, None)[0]) is nn.ReLU and not _is_heard(following[:1])
                input = self._on_features(module, normalizes, count > 1, input)
            i += count
        return input

    def _on_features(self, module, normalizes, with_relu, x):
        if normalizes:
            return x.with_rows(normalized(module, x.at_hand, "relu" if with_relu else None))
        return on_features(module, x)


def _is_heard(modules):
    return any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in modules)


def _is_plain(norm):
    """A batch norm that is computed here as torch does."""
    return type(norm) is nn.BatchNorm1d and norm.affine and norm.track_running_stats and norm.momentum is not None


def _is_normalized(module, feats):
    return _is_plain(module) and feats.dtype == torch.float32 and len(feats) > 1 and not _is_heard((module,))


def _foldable(conv, following, x):
    """How many modules from a convolution on, itself included, are one pass where nobody asks for gradients."""
    if torch.is_grad_enabled() or not is_sparse_conv(conv) or not following:
        return 1
    if not isinstance(x, SparseConvTensor) or x.at_hand.dtype != torch.float32:
        return 1
    norm = following[0]
    if not _is_plain(norm) or norm.training or norm.weight.dtype != torch.float32 or conv.act_type is not None:
        return 1
    count = 2 + (len(following) > 1 and type(following[1]) is nn.ReLU)
    return 1 if _is_heard((conv, *following[: count - 1])) else count


def _folded(modules, x):
    from voxshift.torch.spconv.convolution import Folded

    conv, norm, *relu = modules
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    return conv.forward(x, after=Folded(scale, shift, "relu" if relu else None))


def normalized(norm: nn.BatchNorm1d, feats: torch.Tensor, activation: Optional[str]) -> torch.Tensor:
    """activation(norm(feats)) in one pass, and the norm's statistics as it updates them itself."""
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
        activation=activation,
    )


class _OnTensors:
    """A module of torch that takes a SparseConvTensor as well."""

    def forward(self, input):
        if isinstance(input, SparseConvTensor):
            return input.with_rows(super().forward(input.at_hand))
        expect("spconv", input, torch.Tensor)
        return super().forward(input)


class SparseBatchNorm(_OnTensors, nn.BatchNorm1d):
    """torch.nn.BatchNorm1d on features, of a SparseConvTensor or alone."""


class _SyncBatchNorm(nn.SyncBatchNorm):
    """In one process, or on the CPU, what torch before 2.0 raises an error for is a batch norm."""

    def forward(self, input):
        if input.device.type == "cpu" or not (distributed.is_available() and distributed.is_initialized()):
            return nn.modules.batchnorm._BatchNorm.forward(self, input)
        return super().forward(input)


class SparseSyncBatchNorm(_OnTensors, _SyncBatchNorm):
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
        expect("spconv", x, SparseConvTensor)
        return x.dense()


class RemoveGrid(SparseModule):
    """Forgets the tensor's preallocated grid, which nothing here uses."""

    def forward(self, x: SparseConvTensor) -> SparseConvTensor:
        x.grid = None
        return x
