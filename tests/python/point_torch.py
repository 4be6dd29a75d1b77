"""Networks on point clouds in PyTorch for the tests of whole networks: one cloud at a time, brute force, nothing
folded or fused. Operators, structure and parameter names: PVCNN's code (modules/, models/). Knows nothing of voxshift.

What decides an index is float32 arithmetic as the operators define it; everything else is float64, or float32 to see
what that costs.
"""

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: Debian's python3-torch")


def fma(a, b, c):
    """float32; the product is exact in float64."""
    return (a.astype(np.float64) * b + c).astype(np.float32)


def squared_distances(a, b):
    """float32 [N, M] between the rows of a and b."""
    d = a[:, None, :] - b[None, :, :]
    return fma(d[..., 2], d[..., 2], fma(d[..., 1], d[..., 1], d[..., 0] * d[..., 0]))


def furthest_points(xyz, count):
    """Rows of the points; ties to the lowest."""
    rows, nearest = [0], np.full(len(xyz), np.inf, np.float32)
    while len(rows) < count:
        nearest = np.minimum(nearest, squared_distances(xyz, xyz[rows[-1:]])[:, 0])
        rows.append(int(np.argmax(nearest)))
    return np.array(rows)


def ball(xyz, centers, radius, count):
    """Rows [M, count] of the first points within the radius, filled up with the first."""
    within = squared_distances(centers, xyz) < np.float32(radius) * np.float32(radius)
    rows = []
    for row in within:
        found = np.flatnonzero(row)[:count]
        rows.append(np.concatenate([found, np.repeat(found[:1], count - len(found))]))
    return np.stack(rows)


def grid_coords(xyz, resolution, normalize):
    """float32 in [0, resolution - 1]."""
    p = xyz - xyz.astype(np.float64).mean(axis=0).astype(np.float32)
    if normalize:
        width = 2 * np.sqrt((p.astype(np.float64) ** 2).sum(axis=1).max()).astype(np.float32)
        p = p / width + np.float32(0.5)
    else:
        p = (p + np.float32(1)) / np.float32(2)
    return np.clip(p * np.float32(resolution), np.float32(0), np.float32(resolution - 1))


class PointNetwork:
    """Layers by the names of their tensors; x [N, C] are features, xyz float32 [N, 3] the points they belong to."""

    def __init__(self, parameters, dtype=torch.float64):
        self.dtype = dtype
        self.parameters = {name: self.tensor(value) for name, value in parameters.items()}

    def forward(self, points):
        """Logits as numpy's array; `logits` is the network."""
        return self.logits(points).numpy()

    def tensor(self, values):
        return torch.tensor(values, dtype=self.dtype)

    def linear(self, name, x):
        return torch.nn.functional.linear(x, self.parameters[name + ".weight"], self.parameters.get(name + ".bias"))

    def norm(self, name, x, eps=1e-5):
        p = self.parameters
        names = ("running_mean", "running_var", "weight", "bias")
        return torch.nn.functional.batch_norm(x, *(p[f"{name}.{role}"] for role in names), training=False, eps=eps)

    def shared_mlp(self, name, x):
        """As many layers as there are tensors; x [..., C]."""
        shape, x = x.shape[:-1], x.reshape(-1, x.shape[-1])
        i = 0
        while f"{name}.layers.{i}.weight" in self.parameters:
            x = torch.relu(self.norm(f"{name}.layers.{i + 1}", self.linear(f"{name}.layers.{i}", x)))
            i += 3
        assert i > 0, name
        return x.reshape(*shape, -1)

    def conv3d(self, name, grid):
        weight = self.parameters[name + ".weight"]
        weight = weight.reshape(3, 3, 3, *weight.shape[1:]).permute(4, 3, 0, 1, 2)
        return torch.nn.functional.conv3d(grid, weight, self.parameters[name + ".bias"], padding=1)

    def pv_conv(self, name, x, xyz, resolution, normalize=True):
        coords = grid_coords(xyz, resolution, normalize)
        strides = np.array([resolution**2, resolution, 1])
        cell = torch.from_numpy(np.rint(coords).astype(np.int64) @ strides)
        sums = torch.zeros(resolution**3, x.shape[1], dtype=x.dtype).index_add_(0, cell, x)
        grid = sums / torch.bincount(cell, minlength=resolution**3).clamp(min=1)[:, None]
        grid = grid.T.reshape(1, -1, resolution, resolution, resolution)
        for i in (0, 3):
            grid = self.norm(f"{name}.voxel_layers.{i + 1}", self.conv3d(f"{name}.voxel_layers.{i}", grid), eps=1e-4)
            grid = torch.nn.functional.leaky_relu(grid, 0.1)
        if f"{name}.voxel_layers.6.fc.0.weight" in self.parameters:
            mean = torch.relu(self.linear(f"{name}.voxel_layers.6.fc.0", grid.mean(dim=(2, 3, 4))))
            grid = grid * torch.sigmoid(self.linear(f"{name}.voxel_layers.6.fc.2", mean))[:, :, None, None, None]
        cells = grid.reshape(grid.shape[1], -1).T
        low = np.floor(coords).astype(np.int64)
        high = coords.astype(np.float64) - low
        at_points = 0
        for corner in itertools.product((0, 1), repeat=3):
            weight = self.tensor(np.where(corner, high, 1 - high).prod(axis=1))
            place = np.minimum(low + np.array(corner), resolution - 1)  # beyond the last cell the weight is 0
            at_points = at_points + weight[:, None] * cells[torch.from_numpy(place @ strides)]
        return at_points + self.shared_mlp(f"{name}.point_features", x)

    def set_abstraction(self, name, x, xyz, count, scales):
        """scales: (radius, neighbours) each. Gives features and the centers."""
        centers = xyz[furthest_points(xyz, count)]
        parts = []
        for k, (radius, neighbors) in enumerate(scales):
            rows = ball(xyz, centers, radius, neighbors)
            relative = self.tensor(xyz[rows] - centers[:, None, :])
            grouped = torch.cat([relative, x[torch.from_numpy(rows)]], dim=2)
            parts.append(self.shared_mlp(f"{name}.mlps.{k}", grouped).max(dim=1).values)
        return torch.cat(parts, dim=1), centers

    def set_abstraction_all(self, name, x, xyz):
        """One row."""
        both = torch.cat([x, self.tensor(xyz)], dim=1)
        return self.shared_mlp(f"{name}.mlps.0", both).max(dim=0, keepdim=True).values

    def feature_propagation(self, name, x, centers, skip, xyz):
        if len(x) == 1:  # of the whole cloud
            mixed = x.repeat(len(skip), 1)
        else:
            distances = squared_distances(xyz, centers)
            rows = np.argsort(distances, axis=1, kind="stable")[:, :3]
            weight = 1 / np.clip(np.take_along_axis(distances, rows, axis=1).astype(np.float64), 1e-10, 1e10)
            weight = self.tensor(weight / weight.sum(axis=1, keepdims=True))
            mixed = (weight[:, :, None] * x[torch.from_numpy(rows)]).sum(dim=1)
        return self.shared_mlp(f"{name}.mlp", torch.cat([mixed, skip], dim=1))


class PvcnnS3dis(PointNetwork):
    blocks = (32, 16, 16, 16, None)

    def logits(self, points):
        xyz, x = points[:, :3], self.tensor(points)
        parts = []
        for i, resolution in enumerate(self.blocks):
            name = f"point_features.{i}"
            x = self.pv_conv(name, x, xyz, resolution) if resolution else self.shared_mlp(name, x)
            parts.append(x)
        cloud = x.max(dim=0, keepdim=True).values
        for i in range(2):
            name = f"cloud_features.{i}"
            cloud = torch.relu(self.norm(f"{name}.1", self.linear(f"{name}.0", cloud)))
        x = torch.cat([*parts, cloud.repeat(len(points), 1)], dim=1)
        x = self.shared_mlp("classifier.2", self.shared_mlp("classifier.0", x))
        return self.linear("classifier.4", x)


class PvcnnShapeNet(PointNetwork):
    blocks = (32, 16, 16, None, None)

    def logits(self, points):
        xyz, features = points[:, :3], self.tensor(points)
        x, shape = features[:, :6], features[:, 6:]
        parts = [shape]
        for i, resolution in enumerate(self.blocks):
            name = f"point_features.{i}"
            x = self.pv_conv(name, x, xyz, resolution, normalize=False) if resolution else self.shared_mlp(name, x)
            parts.append(x)
        parts.append(x.max(dim=0, keepdim=True).values.repeat(len(points), 1))
        x = torch.cat(parts, dim=1)
        for i in (0, 2, 4):
            x = self.shared_mlp(f"classifier.{i}", x)
        return self.linear("classifier.5", x)


class PvcnnPlusPlus(PointNetwork):
    abstractions = ((2, 32, 1024, 0.1), (3, 16, 256, 0.2), (3, 8, 64, 0.4), (0, 0, 16, 0.8))
    propagations = ((1, 8), (1, 8), (2, 16), (1, 32))

    def logits(self, points):
        xyz, x = points[:, :3], self.tensor(points)
        skips = []
        for i, (convolutions, resolution, count, radius) in enumerate(self.abstractions):
            name = f"sa_layers.{i}"
            skips.append((x if i else x[:, 3:], xyz))
            for j in range(convolutions):
                x = self.pv_conv(f"{name}.{j}", x, xyz, resolution)
            name = f"{name}.{convolutions}" if convolutions else name
            x, xyz = self.set_abstraction(name, x, xyz, count, [(radius, 32)])
        for i, (convolutions, resolution) in enumerate(self.propagations):
            centers, (skip, xyz) = xyz, skips.pop()
            x = self.feature_propagation(f"fp_layers.{i}.0", x, centers, skip, xyz)
            for j in range(convolutions):
                x = self.pv_conv(f"fp_layers.{i}.{1 + j}", x, xyz, resolution)
        return self.linear("classifier.2", self.shared_mlp("classifier.0", x))


class PointNet2(PointNetwork):
    abstractions = ((512, ((0.1, 32), (0.2, 64), (0.4, 128))), (128, ((0.4, 64), (0.8, 128))))

    def logits(self, points):
        xyz, features = points[:, :3], self.tensor(points)
        x, skips = features[:, 3:6], []
        for i, (count, scales) in enumerate(self.abstractions):
            skips.append((x if i else features, xyz))
            x, xyz = self.set_abstraction(f"sa_layers.{i}", x, xyz, count, scales)
        skips.append((x, xyz))
        x = self.set_abstraction_all("sa_layers.2", x, xyz)
        for i in range(3):
            centers, (skip, xyz) = xyz, skips.pop()
            x = self.feature_propagation(f"fp_layers.{i}", x, centers, skip, xyz)
        return self.linear("classifier.2", self.shared_mlp("classifier.0", x))
