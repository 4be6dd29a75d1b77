"""MinkowskiEngine.MinkowskiFunctional: torch.nn.functional's functions on sparse tensors and tensor fields."""

from typing import Any

import torch
from torch.nn import functional as F

from voxshift.torch.minkowski.tensor import Tensor


def _of_features(name: str):
    function = getattr(torch if name in ("tanh", "sigmoid") else F, name)  # those of nn.functional warn of their age

    def apply(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return input.with_rows(function(input.rows(), *args, **kwargs))

    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = f"torch.nn.functional.{name} of the features."
    return apply


_FUNCTIONS = (
    "threshold relu hardtanh hardswish relu6 elu selu celu leaky_relu prelu rrelu glu gelu logsigmoid hardshrink "
    "tanhshrink softsign softplus softmin softmax softshrink gumbel_softmax log_softmax tanh sigmoid hardsigmoid "
    "silu normalize dropout alpha_dropout"
).split()
for _name in _FUNCTIONS:
    globals()[_name] = _of_features(_name)


def batch_norm(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """torch.nn.functional.batch_norm of the features."""
    return input.with_rows(F.batch_norm(input.rows(), *args, **kwargs))


def linear(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """torch.nn.functional.linear of the features."""
    return input.with_rows(F.linear(input.rows(), *args, **kwargs))


def _loss(name: str):
    function = getattr(F, name)

    def apply(input: Tensor, target: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        return function(input.F, target, *args, **kwargs)

    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = f"torch.nn.functional.{name} of the features."
    return apply


_LOSSES = (
    "binary_cross_entropy binary_cross_entropy_with_logits poisson_nll_loss cross_entropy hinge_embedding_loss "
    "kl_div l1_loss mse_loss multilabel_margin_loss multilabel_soft_margin_loss multi_margin_loss nll_loss "
    "smooth_l1_loss soft_margin_loss"
).split()
for _name in _LOSSES:
    globals()[_name] = _loss(_name)
