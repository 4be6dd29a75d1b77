"""The rules of torchsparse, MinkowskiEngine and spconv written out as plain loops, and a network that makes its random
tensors up as it runs: one definition gives a state dict, as the library stores it, and the outputs. Knows nothing of
voxshift.
"""

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")

SPCONV = ("spconv1", "spconv2.0", "spconv2.1", "spconv2.2")


def offsets(library, size):
    """Of the taps of a cube or box in the order in which the library stores them; axes x, y, z."""
    size = (size,) * 3 if isinstance(size, int) else size
    start = [-(s // 2) if s % 2 else 0 for s in size]
    taps = [range(first, first + s) for first, s in zip(start, size)]
    x_first = library == "minkowski" or (library == "torchsparse" and np.prod(size) % 2 == 1)
    if x_first:
        return [(x, y, z) for z, y, x in itertools.product(*reversed(taps))]
    return list(itertools.product(*taps))


def matrices(library, weight, taps):
    """The [Cin, Cout] matrix of each stored tap."""
    if library in ("torchsparse", "minkowski"):
        return list(weight) if weight.dim() == 3 else [weight]
    if library == "spconv1":
        return list(weight.reshape(taps, *weight.shape[-2:]))
    if taps == 1:  # spconv/pytorch/conv.py: weight.view(in_channels, out_channels)
        out, channels = (weight.shape[-2] if library == "spconv2.0" else weight.shape[0]), weight.shape[-1]
        return [weight.reshape(channels, out)]
    if library == "spconv2.0" or (library == "spconv2.1" and taps > 32):
        return [tap.T for tap in weight.reshape(taps, *weight.shape[-2:])]
    return [weight.reshape(weight.shape[0], taps, -1)[:, k].T for k in range(taps)]


def stored_shape(library, size, channels, out):
    size = (size,) * 3 if isinstance(size, int) else size
    taps = int(np.prod(size))
    if library in ("torchsparse", "minkowski"):
        return (channels, out) if taps == 1 else (taps, channels, out)
    native = library == "spconv2.0" or (library == "spconv2.1" and taps > 32)
    return (*size, channels, out) if library == "spconv1" else (*size, out, channels) if native else (out, *size, channels)


class Voxels:
    """Features on the cells of one stride; `cells` [N, 4] with the batch first, unique and sorted."""

    def __init__(self, cells, features, finer=None, shape=None):
        self.cells, self.features, self.finer, self.shape = cells, features, finer, shape
        self.rows = {tuple(cell): row for row, cell in enumerate(cells.tolist())}

    def with_features(self, features):
        return Voxels(self.cells, features, self.finer, self.shape)

    def coarser(self, stride):
        cells = self.cells.copy()
        cells[:, 1:] //= np.array(stride)
        cells, shape = np.unique(cells, axis=0), None
        if self.shape is not None:  # spconv, of windows as large as their stride: those that reach beyond are no voxels
            shape = self.shape // stride
            cells = cells[(cells[:, 1:] < shape).all(1)]
        return Voxels(cells, None, self, shape)


def convolve(fine, coarse, taps, stride, kernel, features, transposed):
    """Sums over pairs fine = coarse * stride + offset, from fine to coarse or back."""
    stride = np.array((stride,) * 3 if isinstance(stride, int) else stride)
    out = torch.zeros(len(fine.cells) if transposed else len(coarse.cells), kernel[0].shape[1], dtype=torch.float64)
    for offset, matrix in zip(taps, kernel):
        for row, cell in enumerate(coarse.cells):
            other = fine.rows.get((cell[0], *(cell[1:] * stride + offset).tolist()))
            if other is not None:
                i, o = (row, other) if transposed else (other, row)
                out[o] += features[i] @ matrix
    return out


class Net:
    """Layers of one library. Tensors that are not in `state` are made up."""

    def __init__(self, library, seed=0):
        self.library, self.state = library, {}
        self.generator = torch.Generator().manual_seed(seed)
        self.role = "weight" if library in SPCONV else "kernel"

    def tensor(self, name, shape, low=-1.0, high=1.0):
        if name not in self.state:
            self.state[name] = torch.rand(shape, generator=self.generator) * (high - low) + low
        assert tuple(self.state[name].shape) == tuple(shape), name
        return self.state[name].double()

    def conv(self, name, x, out, size, stride=1, back=False, bias=False):
        """`back`: transposed, to the voxels that x came from."""
        channels, taps = x.features.shape[1], offsets(self.library, size)
        bound = (3 / channels / len(taps) ** 0.5) ** 0.5
        weight = self.tensor(f"{name}.{self.role}", stored_shape(self.library, size, channels, out), -bound, bound)
        kernel = matrices(self.library, weight, len(taps))
        y = x.finer if back else x if stride == 1 else x.coarser(stride)
        fine, coarse = (y, x) if back else (x, y)
        features = convolve(fine, coarse, taps, stride, kernel, x.features, back)
        if bias:
            features = features + self.tensor(f"{name}.bias", (1, out) if self.library == "minkowski" else (out,))
        return y.with_features(features)

    def norm(self, name, x, eps=1e-5):
        features = x if torch.is_tensor(x) else x.features
        count = features.shape[1]
        weight, bias = self.tensor(f"{name}.weight", (count,), 0.5, 1.5), self.tensor(f"{name}.bias", (count,))
        mean, var = self.tensor(f"{name}.running_mean", (count,)), self.tensor(f"{name}.running_var", (count,), 0.5, 1.5)
        self.state[f"{name}.num_batches_tracked"] = torch.tensor(3)
        result = (features - mean) / torch.sqrt(var + eps) * weight + bias
        return result if torch.is_tensor(x) else x.with_features(result)

    def linear(self, name, features, out):
        bound = features.shape[1] ** -0.5
        weight = self.tensor(f"{name}.weight", (out, features.shape[1]), -bound, bound)
        return features @ weight.T + self.tensor(f"{name}.bias", (out,))

    def layer(self, conv, norm, x, out, size, stride=1, back=False, eps=1e-5):
        return relu(self.norm(norm, self.conv(conv, x, out, size, stride, back), eps))

    def residual(self, first, second, shortcut, x, out, eps=1e-5):
        """Each a pair of names, of a convolution and its norm."""
        y = self.layer(*first, x, out, 3, eps=eps)
        y = self.norm(second[1], self.conv(second[0], y, out, 3), eps)
        if x.features.shape[1] != out:
            x = self.norm(shortcut[1], self.conv(shortcut[0], x, out, 1), eps)
        return relu(y.with_features(y.features + x.features))


def relu(x):
    return torch.relu(x) if torch.is_tensor(x) else x.with_features(torch.relu(x.features))


def cat(x, skip):
    return x.with_features(torch.cat([x.features, skip.features], 1))


def scan(channels, seed=0, count=150, extent=27):
    """Voxels of two batches around a diagonal, close enough that most have neighbours on every level."""
    random = np.random.default_rng(seed)
    x = random.integers(0, extent, (count, 1))
    cells = np.concatenate([random.integers(0, 2, (count, 1)), x, x + random.integers(0, 3, (count, 2))], 1)
    cells = np.unique(cells, axis=0)
    features = torch.from_numpy(random.standard_normal((len(cells), channels))).float()
    return Voxels(cells, features.double())


def devoxelize(x, stride, points):
    """torchsparse: the corners of the lattice of `stride` around a point, trilinear, renormalised over those that exist."""
    result = torch.zeros(len(points.cells), x.features.shape[1], dtype=torch.float64)
    for row, cell in enumerate(points.cells):
        low, total = cell[1:] // stride, 0.0
        part = cell[1:] / stride - low
        for corner in itertools.product((0, 1), repeat=3):
            weight = float(np.prod([f if c else 1 - f for f, c in zip(part, corner)]))
            found = x.rows.get((cell[0], *(low + corner).tolist()))
            if found is not None and weight > 0:
                result[row] += weight * x.features[found]
                total += weight
        if total > 0:
            result[row] /= total + 1e-8
    return result


def voxelize(features, points, x, stride):
    """The mean of the points of each voxel of x."""
    result, count = torch.zeros(len(x.cells), features.shape[1], dtype=torch.float64), torch.zeros(len(x.cells), 1)
    for row, cell in enumerate(points.cells):
        voxel = x.rows[(cell[0], *(cell[1:] // stride).tolist())]
        result[voxel] += features[row]
        count[voxel] += 1
    return x.with_features(result / count)
