"""Tensors of halves on a CUDA device for tests, and what is expected of results on them."""

import numpy as np
import voxshift as vs
from emulated_cuda import CUDA
from sparse_torch import torch

HALVES = [torch.float16, torch.bfloat16]


def coords_of(random, rows):
    cells = random.choice(8 * 8 * 8, rows, replace=False)
    places = np.stack([np.zeros(rows, np.int64), cells // 64, cells // 8 % 8, cells % 8], 1).astype(np.int32)
    return vs.Coordinates(places).coords.copy()  # in their order


def whole(random, *shape):
    """Whole numbers, whose products have sums that are exact in float32."""
    return torch.from_numpy(random.integers(-3, 4, shape).astype(np.float32))


def on_cuda(tensor):
    return tensor.to(CUDA).requires_grad_()


def same(found, expected):
    assert torch.equal(found.detach().cpu().float(), expected.detach().float())


def told(op, dtypes):
    """The op of voxshift; the dtypes of its results are added to the set."""

    def run(*given, **options):
        made = op(*given, **options)
        first = made[0] if isinstance(made, tuple) else made
        dtypes.update([] if first is None else [str(first.dtype)])
        return made

    return run
