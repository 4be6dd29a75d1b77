"""torch_scatter's functions against loops over rows."""

import numpy as np
import pytest
from sparse_torch import torch
from voxshift.torch import scatter as ts

INDEX = torch.tensor([2, 0, 2, 5, 0, 0, 2])
EMPTY = {"sum": 0.0, "mean": 0.0, "max": 0.0, "min": 0.0}
FUNCTIONS = {"sum": np.sum, "mean": np.mean, "max": np.max, "min": np.min}


def looped(src, index, rows, reduce):
    out = np.full((rows, src.shape[1]), EMPTY[reduce], np.float32)
    for row in range(rows):
        members = src[index == row]
        if len(members):
            out[row] = FUNCTIONS[reduce](members, axis=0)
    return out


@pytest.mark.parametrize("reduce", FUNCTIONS)
def test_against_loops(random, reduce):
    src = random.standard_normal((len(INDEX), 3)).astype(np.float32) - 0.5
    for size in (None, 8):
        expected = looped(src, INDEX.numpy(), size or 6, reduce)
        found = ts.scatter(torch.from_numpy(src), INDEX, dim=0, dim_size=size, reduce=reduce)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)
        turned = ts.scatter(torch.from_numpy(src.T.copy()), INDEX, dim=-1, dim_size=size, reduce=reduce)
        np.testing.assert_allclose(turned.numpy(), expected.T, rtol=1e-6)
    order = torch.argsort(INDEX, stable=True)
    pointers = torch.tensor([0, 3, 3, 6, 6, 6, 7])
    found = ts.segment_csr(torch.from_numpy(src)[order], pointers, reduce=reduce)
    np.testing.assert_allclose(found.numpy(), looped(src, INDEX.numpy(), 6, reduce), rtol=1e-6)
    spread = INDEX[:, None].expand(-1, 3)
    assert torch.equal(
        ts.scatter(torch.from_numpy(src), spread, 0, reduce=reduce),
        ts.scatter(torch.from_numpy(src), INDEX, 0, reduce=reduce),
    )


def test_places_and_gradients_of_extremes():
    src = torch.tensor([[3.0], [1.0], [3.0], [7.0], [1.0], [0.0], [2.0]], requires_grad=True)
    most, place = ts.scatter_max(src, INDEX, dim=0)
    assert most.flatten().tolist() == [1, 0, 3, 0, 0, 7] and place.flatten().tolist() == [1, 7, 0, 7, 7, 3]
    most.sum().backward()
    assert src.grad.flatten().tolist() == [1, 1, 0, 1, 0, 0, 0]
    least, place = ts.scatter_min(src, INDEX, dim=0)
    assert least.flatten().tolist() == [0, 0, 2, 0, 0, 7] and place.flatten().tolist() == [5, 7, 6, 7, 7, 3]


def test_into_a_tensor_and_softmax(random):
    src = torch.from_numpy(random.standard_normal((len(INDEX), 2)).astype(np.float32))
    out = torch.ones(6, 2)
    assert ts.scatter_add(src, INDEX, dim=0, out=out) is out
    np.testing.assert_allclose(out.numpy(), 1 + looped(src.numpy(), INDEX.numpy(), 6, "sum"), rtol=1e-6)
    most, _ = ts.scatter_max(src, INDEX, 0, torch.full((6, 2), 0.25))
    wanted = np.where(np.isin(np.arange(6), INDEX)[:, None], looped(src.numpy(), INDEX.numpy(), 6, "max"), -9)
    np.testing.assert_allclose(most.numpy(), np.maximum(wanted, 0.25))
    parts = ts.scatter_softmax(src, INDEX, dim=0)
    np.testing.assert_allclose(ts.scatter_sum(parts, INDEX, 0)[[0, 2, 5]].numpy(), 1, rtol=1e-6)
    np.testing.assert_allclose((parts[0] / parts[2]).numpy(), torch.exp(src[0] - src[2]).numpy(), rtol=1e-5)
    assert torch.equal(ts.gather_csr(src[:3], torch.tensor([0, 2, 2, 3])), src[[0, 0, 2]])


def test_nothing_and_errors():
    assert ts.scatter_max(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), 0, dim_size=2)[0].tolist() == [[0] * 3] * 2
    assert ts.scatter_mean(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), 0).shape == (0, 3)
    with pytest.raises(ValueError, match="reduce expects sum, add, mean, max or min, found 'mul'"):
        ts.scatter(torch.zeros(2), torch.zeros(2, dtype=torch.long), reduce="mul")
    with pytest.raises(ValueError, match="indptr expects one dimension"):
        ts.segment_csr(torch.zeros(2), torch.zeros(1, 2, dtype=torch.long))
