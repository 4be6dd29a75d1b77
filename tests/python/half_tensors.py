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


def expect_gradients(found, leaves, expected, wide, grad, half):
    """found, within autocast, and its gradients of grad: those of expected, which were computed in float32, rounded once.

    leaves, wide: features, weight and bias of found, and of expected, which have their gradients already.
    """
    assert found.dtype == half
    same(found, expected.to(half))
    found.backward(grad.to(CUDA).to(half))
    assert [leaf.grad.dtype for leaf in leaves] == [torch.float32] * 3
    same(leaves[0].grad, wide[0].grad.to(half))
    same(leaves[1].grad, wide[1].grad)
    same(leaves[2].grad, wide[2].grad)


def expect_halves(step, ops, half, autocast, monkeypatch):
    """step(device) -> a network's loss and gradients: within autocast voxshift's ops of these names give halves, the loss is
    near the CPU's, and a second step has the same bits."""
    expected, _ = step("cpu")
    autocast(half)
    dtypes = set()
    for name in ops:
        monkeypatch.setattr(vs, name, told(getattr(vs, name), dtypes))
    loss, gradients = step(CUDA)
    assert dtypes == {str(half)[6:]}
    np.testing.assert_allclose(loss, expected, rtol=0.02 if half == torch.float16 else 0.1)
    again, others = step(CUDA)
    assert again == loss and all(torch.equal(a, b) for a, b in zip(gradients, others))


def told(op, dtypes):
    """The op of voxshift; the dtypes of its results are added to the set."""

    def run(*given, **options):
        made = op(*given, **options)
        first = made[0] if isinstance(made, tuple) else made
        dtypes.update([] if first is None else [str(first.dtype)])
        return made

    return run
