"""voxshift.torch's operators on several sparse tensors want equal coordinates; batch norm wants rows, as torch's does."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="voxshift.torch needs PyTorch")

import voxshift.torch as vst  # noqa: E402


def on(coords, *columns):
    return vst.SparseTensor(torch.tensor(columns).t().contiguous(), np.array(coords, np.int32))


PLACES = [[0, 0, 0, 0], [0, 1, 0, 0]]
TOGETHER = {
    "add": lambda a, b: a + b,
    "cat": lambda a, b: vst.cat([a, b]),
    "batch_norm": lambda a, b: vst.BatchNorm(1).eval()(a, residual=b),
    "batch_norm in training": lambda a, b: vst.BatchNorm(1)(a, residual=b),
}


@pytest.mark.parametrize("op", TOGETHER)
def test_operands_have_the_same_coordinates(op):
    a = on(PLACES, [1.0, 2.0])
    others = {
        "whose coordinates differ": on([[0, 1, 0, 0], [0, 5, 0, 0]], [10.0, 20.0]),
        "whose coordinates differ ": on(PLACES[:1], [10.0]),
        "of other strides": vst.SparseTensor(a.feats, np.array(PLACES, np.int32), stride=2),
    }
    for how, b in others.items():
        with pytest.raises(ValueError, match=rf"\[{op.split()[0]}\] expects tensors on the same coordinates, .*{how.strip()}"):
            TOGETHER[op](a, b)
    equal = on(PLACES, [10.0, 20.0])
    assert torch.equal(TOGETHER[op](a, equal).feats, TOGETHER[op](a, a.with_feats(equal.feats)).feats)
    if op != "cat":
        with pytest.raises(ValueError, match=r"tensors have 1 and 2 channels"):
            TOGETHER[op](a, on(PLACES, [1.0, 2.0], [3.0, 4.0]))


def test_the_residual_of_a_recorded_networks_norm_has_its_coordinates():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.down, self.norm = vst.Conv3d(1, 1, 2, stride=2), vst.BatchNorm(1, activation="relu")

        def forward(self, x):
            return self.norm(x, residual=self.down(x))

    with pytest.raises(ValueError, match=r"\[batch_norm\] expects tensors on the same coordinates"):
        Net().eval()(on(PLACES, [1.0, 2.0]))


def test_cat_of_nothing():
    with pytest.raises(ValueError, match=r"\[cat\] expects at least one tensor"):
        vst.cat([])


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_batch_norm_of_few_rows_in_training_is_torchs(rows):
    ours, theirs = vst.BatchNorm(1), torch.nn.BatchNorm1d(1)
    x = on([[0, i, 0, 0] for i in range(rows)], [5.0] * rows) if rows else vst.SparseTensor(torch.zeros(0, 1), np.zeros((0, 4), np.int32))
    if rows == 1:
        for norm, given in ((ours, x), (theirs, x.feats)):
            with pytest.raises(ValueError, match="xpect.* more than "):
                norm(given)
    else:
        feats = x.feats.clone().requires_grad_()
        out = ours(x.with_feats(feats)).feats
        assert out.shape == theirs(x.feats).shape == (rows, 1)
        out.sum().backward()
        assert feats.grad.shape == (rows, 1) and ours.weight.grad is not None
    assert torch.equal(ours.running_mean, theirs.running_mean) and torch.equal(ours.running_var, theirs.running_var)
    x = on([[0, 0, 0, 0]], [5.0])
    assert ours.eval()(x).feats.shape == (1, 1)
