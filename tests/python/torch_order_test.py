"""Sums on CUDA tensors have one order: torch_scatter's functions in every dtype, against loops in float64, and nothing that
voxshift.torch does is one of torch's operators that add by atomics, which the emulated device refuses.
"""

import emulated_cuda
import numpy as np
import pytest
import voxshift as vs
from sparse_torch import torch
from torch.nn import functional as F
from voxshift.torch import points
from voxshift.torch import scatter as ts

RUNS = 10
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
UNITS = {torch.float16: 2**-11, torch.bfloat16: 2**-8, torch.float32: 2**-24, torch.float64: 2**-53}


@pytest.fixture(autouse=True)
def device(torch_cuda):
    """With torch's own watch over it, too, which a GPU's operators obey."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    yield torch_cuda
    torch.use_deterministic_algorithms(before)


def sums(values, index, size, grad):
    """Of the rows of values by index [N] or [N, C], and the gradient."""
    out, back = np.zeros((size, values.shape[1])), np.zeros(values.shape)
    places, grad = index.numpy(), grad.numpy()
    for i, row in enumerate(values.tolist()):
        for c, value in enumerate(row):
            out[places[i, c], c] += value
            back[i, c] = grad[places[i, c], c]
    return torch.from_numpy(out), torch.from_numpy(back)


def means(values, index, size, grad):
    count = sums(torch.ones_like(values), index, size, grad)[0].clamp(min=1)
    return sums(values, index, size, grad)[0] / count, sums(values, index, size, grad / count)[1]


def extremes(values, index, size, grad, sign=1):
    out, back = torch.zeros(size, values.shape[1], dtype=torch.float64), torch.zeros_like(values)
    for c, (column, places) in enumerate(zip(values.t().tolist(), index.t().tolist())):
        best = {}
        for i, (value, s) in enumerate(zip(column, places)):
            if s not in best or sign * value > sign * column[best[s]]:
                best[s] = i
        for s, i in best.items():
            out[s, c], back[i, c] = column[i], grad[s, c]
    return out, back


def least(values, index, size, grad):
    return extremes(values, index, size, grad, -1)


def softmax(values, index, size, grad):
    leaf = values.clone().requires_grad_()
    total = torch.zeros(size, values.shape[1], dtype=torch.float64).scatter_add(0, index, leaf.exp())
    out = leaf.exp() / total.gather(0, index)
    out.backward(grad[:1].expand_as(out))
    return out.detach(), leaf.grad


ORACLES = {"sum": sums, "mean": means, "max": extremes, "min": least, "softmax": softmax}


class Case:
    """Whole numbers: rows for 9 places, of which the last has none, and one more than a half can count."""

    rows, size, width = 2600, 9, 3

    def __init__(self, dtype, layout):
        random = np.random.default_rng(5)
        rows = 300 if layout == "spread" else self.rows
        index = random.integers(0, self.size - 1, rows)
        index[random.random(rows) < 0.9] = 2
        index = torch.from_numpy(index)[:, None].expand(-1, self.width)
        if layout == "spread":
            index = torch.stack([index[:, c].roll(c) for c in range(self.width)], 1)
        self.index = index.contiguous()
        self.values = torch.from_numpy(random.integers(-3, 4, (rows, self.width)).astype(np.float64))
        self.grad = torch.from_numpy(random.integers(-3, 4, (self.size, self.width)).astype(np.float64))
        self.dtype, self.layout = dtype, layout

    def run(self, reduce, device):
        """(value, gradient) on a device, rows first."""
        turned = self.layout == "last"
        src = (self.values.t() if turned else self.values).to(self.dtype).contiguous().to(device).requires_grad_()
        index = (self.index if self.layout == "spread" else self.index[:, 0].contiguous()).to(device)
        dim = -1 if turned else 0
        if reduce == "softmax":
            out = ts.scatter_softmax(src, index, dim, self.size)
        else:
            out = ts.scatter(src, index, dim, dim_size=self.size, reduce=reduce)
        grad = self.grad[:1].expand_as(self.values) if reduce == "softmax" else self.grad
        out.backward((grad.t() if turned else grad).to(self.dtype).contiguous().to(device))
        assert out.dtype == src.grad.dtype == self.dtype
        found = (out.detach().cpu(), src.grad.cpu())
        return tuple(x.t() for x in found) if turned else found


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("layout", ["rows", "last", "spread"])
@pytest.mark.parametrize("reduce", ORACLES)
def test_scatter_in_every_dtype(device, reduce, layout, dtype):
    case = Case(dtype, layout)
    expected = ORACLES[reduce](case.values, case.index, case.size, case.grad)
    first = case.run(reduce, device)
    for found, wanted in zip(first, expected):
        if reduce in ("sum", "max", "min"):
            assert torch.equal(found, wanted.to(dtype))
        else:  # few operations, each rounded, of numbers below 8
            torch.testing.assert_close(found.double(), wanted, rtol=8 * UNITS[dtype], atol=32 * UNITS[dtype])
    for _ in range(RUNS - 1):
        assert all(torch.equal(*pair) for pair in zip(case.run(reduce, device), first))


@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_whole_numbers_are_exact(device, reduce):
    case = Case(torch.int64, "rows")
    expected = case.values.new_zeros(case.size, case.width).index_add(0, case.index[:, 0], case.values)
    count = case.values.new_zeros(case.size).index_add(0, case.index[:, 0], torch.ones(case.rows, dtype=torch.float64))
    if reduce == "mean":
        expected = torch.floor(expected / count.clamp(min=1)[:, None])
    found = ts.scatter(case.values.long().to(device), case.index[:, 0].to(device), 0, dim_size=case.size, reduce=reduce)
    assert torch.equal(found.cpu(), expected.long())


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_out_rows_by_pointers_and_nothing(device, dtype):
    src = torch.tensor([[1.0], [2.0], [4.0]], dtype=dtype).to(device).requires_grad_()
    index = torch.tensor([1, 1, 0]).to(device)
    out = torch.full((3, 1), 8.0, dtype=dtype).to(device)
    assert ts.scatter_add(src.detach(), index, 0, out=out) is out
    assert out.flatten().tolist() == [12, 11, 8]
    assert ts.scatter_mean(src.detach(), index, 0, out=out).flatten().tolist() == [16, 7, 8]
    pointers = torch.tensor([0, 2, 2, 3]).to(device)
    assert ts.segment_csr(src, pointers, reduce="mean").flatten().tolist() == [1.5, 0, 4]
    spread = ts.gather_csr(src, pointers)
    assert spread.flatten().tolist() == [1, 1, 4]
    spread.sum().backward()
    assert src.grad.flatten().tolist() == [2, 0, 1]
    none, nowhere = torch.zeros(0, 3, dtype=dtype).to(device), torch.zeros(0, dtype=torch.long).to(device)
    for reduce in ("sum", "mean", "max", "min"):
        assert ts.scatter(none, nowhere, 0, dim_size=2, reduce=reduce).tolist() == [[0] * 3] * 2
        assert ts.scatter(none, nowhere[:, None].expand(-1, 3), 0, dim_size=2, reduce=reduce).tolist() == [[0] * 3] * 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_the_librarys_kernels_add_without_a_copy(device, monkeypatch, dtype):
    taken, reduced = [], vs.voxelize_features

    def watched(feats, *rest):
        taken.append(feats.data_ptr())
        return reduced(feats, *rest)

    monkeypatch.setattr(vs, "voxelize_features", watched)
    src = torch.ones(40, 4, dtype=dtype).to(device)
    index = torch.zeros(40, dtype=torch.int32).to(device)
    for call in (ts.scatter_sum, ts.scatter_mean, lambda src, index, _: points.summed(src, index, 1)):
        call(src, index, 0)
    assert taken == [src.data_ptr()] * 3


def test_gradients_of_float64_are_those_of_differences(device):
    src = torch.from_numpy(np.random.default_rng(1).standard_normal((7, 2))).to(device).requires_grad_()
    index = torch.tensor([2, 0, 2, 3, 0, 0, 2]).to(device)
    for call in (ts.scatter_sum, ts.scatter_mean, lambda *given: ts.scatter_max(*given)[0], ts.scatter_softmax):
        expected = call(src, index, 0)
        along = torch.from_numpy(np.random.default_rng(2).standard_normal(tuple(expected.shape))).to(device)
        (found,) = torch.autograd.grad((expected * along).sum(), src)
        for i in range(7):
            for c in range(2):
                step = torch.zeros(7, 2, dtype=torch.float64)
                step[i, c] = 1e-6
                sides = [(call(src.detach() + sign * step.to(device), index, 0) * along).sum().item() for sign in (1, -1)]
                assert abs((sides[0] - sides[1]) / 2e-6 - found[i, c].item()) < 1e-6


# What the emulated device refuses


def at(*places):
    return torch.tensor(places).to(emulated_cuda.CUDA)


ATOMIC = {
    "scatter_add": lambda x: x.scatter_add(0, at([0, 0]), x[:1, :2]),
    "index_add": lambda x: x.index_add(0, at(1, 1), x[:2]),
    "index_copy": lambda x: x.index_copy(0, at(1, 1), x[:2]),
    "index_put": lambda x: x.index_put((at(1, 1), at(2, 2)), x[0, :2]),
    "scatter": lambda x: x.scatter(1, at([0, 0]), x[:1, :2]),
    "scatter_reduce": lambda x: x.scatter_reduce(0, at([0, 0]), x[:1, :2], "mean"),
    "put": lambda x: x.clone().put_(at(1, 1), x[0, :2], accumulate=True),
    "cumsum": lambda x: x.cumsum(0),
    "histc": lambda x: x.histc(),
    "bincount": lambda x: at(0, 0, 1, 2).bincount(x[0]),
    "gather's gradient": lambda x: x.gather(0, at([0, 0])),
    "index_select's gradient": lambda x: x.index_select(0, at(1, 1)),
    "convolution": lambda x: F.conv2d(x[None, None], x[None, None, :2, :2]),
    "max_pool2d's gradient": lambda x: F.max_pool2d(x[None, None], 2, 1),
    "interpolate's gradient": lambda x: F.interpolate(x[None, None], (5, 5), mode="bilinear"),
    "pad's gradient": lambda x: F.pad(x[None, None], (1, 1, 1, 1), mode="reflect"),
    "grid_sample's gradient": lambda x: F.grid_sample(
        x[None, None], x.detach()[None, :, :2, None].expand(-1, -1, -1, 2), align_corners=True
    ),
}


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch has a GPU")
@pytest.mark.parametrize("name", ATOMIC)
def test_the_emulated_device_refuses_atomics(device, name):
    torch.use_deterministic_algorithms(False)
    x = torch.arange(16.0).reshape(4, 4).to(device).requires_grad_()
    with pytest.raises(RuntimeError, match="has no fixed order on CUDA"):
        ATOMIC[name](x).sum().backward()


def test_what_has_one_order_is_taken(device):
    x = torch.arange(16.0).reshape(4, 4).to(device)
    assert x.index_add(0, at(1, 2), x[:2])[2].tolist() == [12, 14, 16, 18]
    assert x.index_put((at(1, 1),), x[:2], accumulate=True)[1].tolist() == [8, 11, 14, 17]
    assert torch.ones(4, dtype=torch.long).to(device).cumsum(0).tolist() == [1, 2, 3, 4]
    assert x.scatter(0, at([0, 0]), x[:1, :2] + 1)[0].tolist() == [1, 2, 2, 3]
