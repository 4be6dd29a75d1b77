"""Cylinder3D as its authors and mmdetection3d write it down, with the maps of spconv 1: layers with one key share the
map of the first, whose taps they multiply by their own first weights. Knows nothing of voxshift.
"""

import numpy as np
from convert_oracle import Net, Voxels, convolve, matrices, offsets, relu, stored_shape, torch

GRID = np.array([480, 360, 32])
LOW, HIGH = np.array([0, -np.pi, -4], np.float32), np.array([50, np.pi, 2], np.float32)
AUTHORS = {
    "norm": "cylinder_3d_generator.PPmodel.0",
    "layers": [(f"cylinder_3d_generator.PPmodel.{i}", f"cylinder_3d_generator.PPmodel.{i + 1}") for i in (1, 4, 7)],
    "last": "cylinder_3d_generator.PPmodel.10",
    "compression": "cylinder_3d_generator.fea_compression.0",
    "context": "cylinder_3d_spconv_seg.downCntx",
    "down": [f"cylinder_3d_spconv_seg.resBlock{i}" for i in (2, 3, 4, 5)],
    "up": [f"cylinder_3d_spconv_seg.upBlock{i}" for i in (3, 2, 1, 0)],
    "gate": "cylinder_3d_spconv_seg.ReconNet",
    "logits": "cylinder_3d_spconv_seg.logits",
    "block": [("conv1", "bn0"), ("conv1_2", "bn0_2"), ("conv2", "bn1"), ("conv3", "bn2")],
    "first": ("trans_dilao", "trans_bn"),
    "gates": [("conv1", "bn0"), ("conv1_2", "bn0_2"), ("conv1_3", "bn0_3")],
}
MMDET3D = {
    "norm": "voxel_encoder.pre_norm",
    "layers": [(f"voxel_encoder.vfe_layers.{i}.0", f"voxel_encoder.vfe_layers.{i}.1") for i in range(3)],
    "last": "voxel_encoder.vfe_layers.3",
    "compression": "voxel_encoder.compression_layers.0",
    "context": "backbone.down_context",
    "down": [f"backbone.down_block_list.{i}" for i in range(4)],
    "up": [f"backbone.up_block_list.{i}" for i in range(4)],
    "gate": "backbone.ddcm",
    "logits": "decode_head.conv_seg",
    "block": [("conv0_0", "bn0_0"), ("conv0_1", "bn0_1"), ("conv1_0", "bn1_0"), ("conv1_1", "bn1_1")],
    "first": ("trans_conv", "trans_bn"),
    "gates": [("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3")],
}


def polar_of(points):
    x, y, z = points[:, :3].T
    return np.stack([np.sqrt(x * x + y * y), np.arctan2(y, x), z], 1).astype(np.float32)


def size_of_cells():
    return ((HIGH - LOW) / (GRID - 1).astype(np.float32)).astype(np.float32)


class Cylinder3d:
    def __init__(self, names, library="spconv1", seed=0, base=4, classes=20):
        self.net, self.names, self.base, self.classes = Net(library, seed), names, base, classes
        self.extents = {}

    def conv(self, name, x, out, own, shared=None):
        """Taps `own`; where maps are shared, at the places of `shared`."""
        channels = x.features.shape[1]
        bound = (3 / channels / 9) ** 0.5
        weight = self.net.tensor(f"{name}.weight", stored_shape(self.net.library, own, channels, out), -bound, bound)
        places = offsets("spconv1", shared if shared and self.net.library == "spconv1" else own)
        kernel = matrices(self.net.library, weight, int(np.prod(own)))[: len(places)]
        return x.with_features(convolve(x, x, places, 1, kernel, x.features, False))

    def pooled(self, x, stride, shape):
        """spconv: every cell that one of the 3^3 taps touches, with padding 1."""
        cells = set()
        for cell in x.cells.tolist():
            reach = [[o for o in range((c - 1) // s, c // s + 2) if 0 <= o < (n - 1) // s + 1 and 0 <= c - o * s + 1 < 3]
                     for c, s, n in zip(cell[1:], stride, shape)]
            cells |= {(cell[0], a, b, c) for a in reach[0] for b in reach[1] for c in reach[2]}
        return Voxels(np.array(sorted(cells)), None, x), [(n - 1) // s + 1 for n, s in zip(shape, stride)]

    def norm(self, name, x):
        return self.net.norm(name, x.with_features(torch.nn.functional.leaky_relu(x.features, 0.01)))

    def block(self, name, x, out, taps):
        ends = []
        for first in (0, 2):
            y = x
            for (conv, norm), own in zip(self.names["block"][first : first + 2], taps[first : first + 2]):
                y = self.norm(f"{name}.{norm}", self.conv(f"{name}.{conv}", y, out, own, taps[0]))
            ends.append(y)
        return x.with_features(ends[0].features + ends[1].features)

    def pool(self, name, x, coarse, stride, back=False):
        channels = x.features.shape[1]
        weight = self.net.tensor(f"{name}.weight", stored_shape(self.net.library, 3, channels, channels), -0.2, 0.2)
        fine, coarse = (coarse, x) if back else (x, coarse)
        features = convolve(fine, coarse, offsets("spconv1", 3), stride, matrices(self.net.library, weight, 27), x.features, back)
        return (fine if back else coarse).with_features(features)

    def voxels(self, points):
        polar = polar_of(points)
        size = size_of_cells()
        cells = np.floor((np.clip(polar, LOW, HIGH) - LOW) / size).astype(int)
        centers = (cells + 0.5) * size + LOW
        x = torch.from_numpy(np.concatenate([polar - centers, polar, points[:, :2], points[:, 3:]], 1)).double()
        x = self.net.norm(self.names["norm"], x)
        for (linear, norm), out in zip(self.names["layers"], (6, 8, 10)):
            x = relu(self.net.norm(norm, self.net.linear(linear, x, out)))
        x = self.net.linear(self.names["last"], x, 8)
        unique, inverse = np.unique(np.insert(cells, 0, 0, axis=1), axis=0, return_inverse=True)
        pooled = torch.stack([x[torch.from_numpy(inverse == v)].max(0).values for v in range(len(unique))])
        return Voxels(unique, relu(self.net.linear(self.names["compression"], pooled, 5))), inverse

    def __call__(self, points):
        """Logits of each point."""
        x, inverse = self.voxels(points)
        a, b, names, base = (1, 3, 3), (3, 1, 3), self.names, self.base
        x = self.block(names["context"], x, base, (a, b, b, a))
        skips, shape = [], GRID.tolist()
        for level, name in enumerate(names["down"]):
            skips.append(self.block(name, x, base << (level + 1), (b, a, a, b)))
            stride = (2, 2, 2 if level < 2 else 1)
            coarse, shape = self.pooled(skips[-1], stride, shape)
            offset = coarse
            x = self.pool(f"{name}.pool", skips[-1], offset, stride)
        for level in (3, 2, 1, 0):
            name, stride = names["up"][level], (2, 2, 2 if level < 2 else 1)
            out = base << (level + 1)
            y = self.norm(f"{name}.{names['first'][1]}", self.conv(f"{name}.{names['first'][0]}", x, out, (3, 3, 3)))
            y = self.pool(f"{name}.up_subm", y, skips[level], stride, back=True)
            y = y.with_features(y.features + skips[level].features)
            for i, own in enumerate((a, b, (3, 3, 3)), 1):
                y = self.norm(f"{name}.bn{i}", self.conv(f"{name}.conv{i}", y, out, own, a))
            x = y
        gates = 0
        for (conv, norm), own in zip(names["gates"], ((3, 1, 1), (1, 3, 1), (1, 1, 3))):
            y = self.net.norm(f"{names['gate']}.{norm}", self.conv(f"{names['gate']}.{conv}", x, 2 * base, own, (3, 1, 1)))
            gates = gates + torch.sigmoid(y.features)
        x = x.with_features(torch.cat([gates * x.features, x.features], 1))
        logits = self.conv(names["logits"], x, self.classes, (3, 3, 3)).features + self.net.tensor(f"{names['logits']}.bias", (self.classes,))
        return logits.numpy()[inverse]


def points_in_cells(count, seed=0):
    """Points not too near to the borders of cells, some of them beyond the grid."""
    random = np.random.default_rng(seed)
    cells = np.stack([random.integers(100, 108, count), random.integers(170, 178, count), random.integers(10, 15, count)], 1)
    polar = LOW + (cells + random.uniform(0.1, 0.9, (count, 3))) * size_of_cells()
    polar[: count // 10, 0] = random.uniform(51, 80, count // 10)
    polar[count // 20 : count // 10, 2] = random.uniform(-9, -5, count // 10 - count // 20)
    xyz = np.stack([polar[:, 0] * np.cos(polar[:, 1]), polar[:, 0] * np.sin(polar[:, 1]), polar[:, 2]], 1)
    return np.concatenate([xyz, random.uniform(0, 1, (count, 1))], 1).astype(np.float32)
