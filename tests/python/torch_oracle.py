"""Sparse operators in PyTorch, from gathers, products and index_add, float64, for autograd. Knows nothing of voxshift."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: Debian's python3-torch")


def long(indices):
    return torch.from_numpy(np.asarray(indices, np.int64))


def double(tensor):
    """A float64 leaf with the values, of which gradients are wanted."""
    return tensor.detach().double().requires_grad_()


def convolution(feats, weight, bias, pairs, rows):
    """pairs [M, 3]: offset, input row, output row."""
    offsets, inputs, outputs = (long(column) for column in pairs.T)
    out = torch.zeros(rows, weight.shape[2], dtype=feats.dtype)
    for k in range(len(weight)):
        at = offsets == k
        out = out.index_add(0, outputs[at], feats[inputs[at]] @ weight[k])
    return out if bias is None else out + bias


def reduced(values, index, rows, how):
    """[rows, C]: the values of equal index reduced; 0 where there are none."""
    index = long(index)
    if how == "max":
        members = [values[index == row] for row in range(rows)]
        return torch.stack([m.max(0).values if len(m) else values.new_zeros(values.shape[1]) for m in members])
    out = torch.zeros((rows, values.shape[1]), dtype=values.dtype).index_add(0, index, values)
    return out / torch.bincount(index, minlength=rows).clamp(min=1)[:, None] if how == "mean" else out


def mixed(feats, indices, weights):
    """sum_j weights[i, j] * feats[indices[i, j]]; -1 adds nothing."""
    weights = torch.from_numpy(np.where(indices >= 0, weights, 0).astype(np.float64))
    return (feats[long(np.maximum(indices, 0))] * weights[:, :, None]).sum(1)


def batch_norm(x, weight, bias, residual, activation, eps=1e-5):
    out = torch.nn.functional.batch_norm(x, None, None, weight, bias, training=True, eps=eps)
    out = out if residual is None else out + residual
    functions = {"relu": torch.relu, "relu6": torch.nn.functional.relu6, "leaky_relu": torch.nn.functional.leaky_relu}
    return functions[activation](out) if activation else out


def close(found, expected, tolerance=2e-5):
    """Equal within the tolerance of the largest number, as sums in float32 are."""
    assert found.shape == expected.shape
    scale = max(1.0, float(expected.detach().abs().max())) if expected.numel() else 1.0
    assert (found.detach().double() - expected.detach()).abs().max() <= tolerance * scale if expected.numel() else True
