"""Batch normalisation by the library, for modules of torch's class."""

import torch
from torch import nn

from voxshift.torch import functional
from voxshift.torch.memory import is_taken


def batch_norm(module: nn.BatchNorm1d, x: torch.Tensor) -> torch.Tensor:
    """The module's value of rows [N, C], in training with the library's kernel where that computes the same."""
    plain = module.affine and module.track_running_stats and module.momentum is not None
    if not (plain and is_taken(x, halves=True) and x.dim() == 2 and len(x) > 1):
        return nn.BatchNorm1d.forward(module, x)
    if module.training and module.num_batches_tracked is not None:
        module.num_batches_tracked.add_(1)
    return functional.batch_norm(
        x,
        module.running_mean,
        module.running_var,
        module.weight,
        module.bias,
        training=module.training,
        momentum=module.momentum,
        eps=module.eps,
    )
