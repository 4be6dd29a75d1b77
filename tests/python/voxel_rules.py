"""spconv's rules as plain loops: features by coordinates, {(c0, c1, c2): [channels]}, in float64."""

import itertools

import numpy as np


def taps(kernel):
    return itertools.product(*(range(k) for k in kernel))


def submanifold(x, weight, dilation=(1, 1, 1)):
    """weight [Cout, k0, k1, k2, Cin]; out of the voxels that are there."""
    kernel, out = weight.shape[1:4], {}
    for c in x:
        total = np.zeros(weight.shape[0])
        for tap in taps(kernel):
            near = tuple(c[d] + (tap[d] - kernel[d] // 2) * dilation[d] for d in range(3))
            if near in x:
                total += weight[(slice(None), *tap)] @ x[near]
        out[c] = total
    return out


def pairs(x, kernel, shape, stride, padding, dilation=(1, 1, 1)):
    """(output, tap, input) where in = out * stride - padding + tap * dilation; and the extent of the outputs."""
    extent = [(shape[d] + 2 * padding[d] - dilation[d] * (kernel[d] - 1) - 1) // stride[d] + 1 for d in range(3)]
    found = []
    for c in x:
        for tap in taps(kernel):
            at = [c[d] + padding[d] - tap[d] * dilation[d] for d in range(3)]
            if all(at[d] % stride[d] == 0 and 0 <= at[d] // stride[d] < extent[d] for d in range(3)):
                found.append((tuple(at[d] // stride[d] for d in range(3)), tap, c))
    return found, extent


def strided(x, weight, shape, stride, padding, dilation=(1, 1, 1)):
    found, extent = pairs(x, weight.shape[1:4], shape, stride, padding, dilation)
    out = {}
    for to, tap, source in found:
        out[to] = out.get(to, np.zeros(weight.shape[0])) + weight[(slice(None), *tap)] @ x[source]
    return out, extent


def inverse(x, weight, fine, shape, stride, padding):
    """Back to the voxels `fine`, by the pairs of the strided layer that led from them to those of x."""
    out = {c: np.zeros(weight.shape[0]) for c in fine}
    for coarse, tap, source in pairs(fine, weight.shape[1:4], shape, stride, padding)[0]:
        out[source] = out[source] + weight[(slice(None), *tap)] @ x[coarse]
    return out


def each(x, function):
    return {c: function(value) for c, value in x.items()}


def relu(x):
    return each(x, lambda value: np.maximum(value, 0))


def plus(x, y):
    return {c: x[c] + y[c] for c in x}


def dense(x, extent, channels):
    """[C, extent]"""
    grid = np.zeros([channels, *extent])
    for c, value in x.items():
        grid[(slice(None), *c)] = value
    return grid


def voxels(random, shape, count, channels):
    """Random ones, with coordinates sorted."""
    flat = np.sort(random.choice(np.prod(shape), count, replace=False))
    coords = np.stack(np.unravel_index(flat, shape), 1)
    return {tuple(int(v) for v in c): random.normal(size=channels).astype(np.float32).astype(np.float64) for c in coords}
