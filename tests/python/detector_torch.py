"""SECOND, PointPillars and CenterPoint in PyTorch, by the structure and names of mmdetection3d and OpenPCDet, from points to
maps. Voxels are x, y, z, weights [K, Cin, Cout] and [Cout, Cin, x, y]. Knows nothing of voxshift.
"""

import itertools

import numpy as np
from sparse_torch import keys_of, pairs_of, torch

F = torch.nn.functional


def hard_voxels(points, lowest, highest, size, max_points, max_voxels):
    """Cells int64 [V, 3] and their points, a list of arrays: the loop of the libraries' voxel generators."""
    lowest, highest, size = (np.asarray(v, np.float32) for v in (lowest, highest, size))
    inside = np.all((points[:, :3] >= lowest) & (points[:, :3] < highest), 1)
    points = points[inside]
    cells = np.floor((points[:, :3] - lowest) / size).astype(np.int64)
    found = {}
    for cell, point in zip(map(tuple, cells), points):
        if cell not in found:
            if max_voxels and len(found) == max_voxels:
                continue
            found[cell] = []
        if not max_points or len(found[cell]) < max_points:
            found[cell].append(point)
    order = sorted(found)
    return np.array(order, np.int64).reshape(-1, 3), [np.array(found[cell]) for cell in order]


def bounded(fine, extents, size, stride, pad):
    """(coarse cells, extents, per tap the rows (fine, coarse)): every output that a tap touches."""
    size, stride, pad = (np.array(v) for v in (size, stride, pad))
    result = (np.array(extents) + 2 * pad - size) // stride + 1
    touched = []
    for tap in itertools.product(*map(range, size)):
        scaled = fine + pad - np.array(tap)
        out = scaled // stride
        fits = np.all((scaled % stride == 0) & (out >= 0) & (out < result), 1)
        touched.append((np.flatnonzero(fits), out[fits]))
    coarse = np.unique(np.concatenate([out for _, out in touched]), axis=0)
    keys = keys_of(coarse)
    pairs = [(torch.from_numpy(rows), torch.from_numpy(np.searchsorted(keys, keys_of(out)))) for rows, out in touched]
    return coarse, tuple(result), pairs


class Detector:
    """Layers by the names of their tensors. `openpcdet`: whose names."""

    def __init__(self, parameters, openpcdet, dtype):
        self.dtype, self.openpcdet = dtype, openpcdet
        self.p = {name: torch.tensor(value, dtype=dtype) for name, value in parameters.items()}

    def norm_relu(self, name, x, eps=1e-3):
        return torch.relu(self.norm(name, x, eps))

    def norm(self, name, x, eps=1e-3):
        roles = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(self.p[f"{name}.{role}"] for role in roles), training=False, eps=eps)

    def conv2d(self, name, x, stride=1):
        weight = self.p[name + ".weight"]
        padding = 1 if weight.shape[2] == 3 else 0
        return F.conv2d(x, weight, self.p.get(name + ".bias"), stride=stride, padding=padding)

    # Voxels

    def sparse(self, name, x, pairs, rows):
        weight = self.p[name + ".weight"]
        out = torch.zeros(rows, weight.shape[2], dtype=self.dtype)
        for k, (fine, coarse) in enumerate(pairs):
            out.index_add_(0, coarse, x[fine] @ weight[k])
        return out + self.p[name + ".bias"] if name + ".bias" in self.p else out

    def begin(self, cells, extents):
        self.cells, self.extents = cells, extents
        self.around = pairs_of(cells, cells, 3, 1)

    def submanifold(self, name, x):
        return self.sparse(name, x, self.around, len(self.cells))

    def down(self, name, x, size=(3, 3, 3), stride=(2, 2, 2), pad=(1, 1, 1)):
        cells, extents, pairs = bounded(self.cells, self.extents, size, stride, pad)
        y = self.norm_relu(name + ".1", self.sparse(name + ".0", x, pairs, len(cells)))
        self.begin(cells, extents)
        return y

    def bird_eye_view(self, x):
        image = torch.zeros(*self.extents, x.shape[1], dtype=self.dtype)
        image[tuple(torch.from_numpy(self.cells).T)] = x
        return image.permute(3, 2, 0, 1).flatten(0, 1)[None]  # [1, C * D, X, Y]

    def mean_voxels(self, points, settings):
        lowest, highest, size = settings["range"][0], settings["range"][1], settings["voxel_size"]
        cells, members = hard_voxels(points, lowest, highest, size, settings["max_points"], settings["max_voxels"])
        extents = np.round((np.array(highest) - np.array(lowest)) / np.array(size)).astype(int)
        self.begin(cells, (extents[0], extents[1], extents[2] + 1))
        return torch.tensor(np.stack([m.astype(np.float64).mean(0) for m in members]), dtype=self.dtype)

    def second_encoder(self, x, prefix):
        stage = prefix + ("conv" if self.openpcdet else "encoder_layers.encoder_layer")
        block = lambda name, x: self.norm_relu(name + ".1", self.submanifold(name + ".0", x))
        x = block(stage + "1.0", block(prefix + "conv_input", x))
        for level, pad in ((2, (1, 1, 1)), (3, (1, 1, 1)), (4, (1, 1, 0))):
            x = self.down(f"{stage}{level}.0", x, pad=pad)
            x = block(f"{stage}{level}.2", block(f"{stage}{level}.1", x))
        return self.bird_eye_view(self.down(prefix + "conv_out", x, (1, 1, 3), (1, 1, 2), (0, 0, 0)))

    def residual_encoder(self, x, prefix):
        def block(name, x):
            y = self.norm_relu(name + ".bn1", self.submanifold(name + ".conv1", x))
            return torch.relu(self.norm(name + ".bn2", self.submanifold(name + ".conv2", y)) + x)

        stage = prefix + ("conv" if self.openpcdet else "encoder_layers.encoder_layer")
        x = self.norm_relu(prefix + "conv_input.1", self.submanifold(prefix + "conv_input.0", x))
        x = block(stage + "1.1", block(stage + "1.0", x))
        for level, pad in ((2, (1, 1, 1)), (3, (1, 1, 1)), (4, (1, 1, 0))):
            if self.openpcdet:
                x = self.down(f"{stage}{level}.0", x, pad=pad)
                x = block(f"{stage}{level}.2", block(f"{stage}{level}.1", x))
            else:
                x = self.down(f"{stage}{level - 1}.2", x, pad=pad)
                x = block(f"{stage}{level}.1", block(f"{stage}{level}.0", x))
        return self.bird_eye_view(self.down(prefix + "conv_out", x, (1, 1, 3), (1, 1, 2), (0, 0, 0)))

    # Pillars

    def pillars(self, points, settings, prefix):
        lowest, highest, size = (np.array(v, np.float64) for v in (*settings["range"], settings["voxel_size"]))
        most = settings["max_points"]
        cells, members = hard_voxels(points, lowest, highest, size, most, settings["max_voxels"])
        room = most or max(map(len, members))
        x = np.zeros((len(cells), room, points.shape[1]))
        count = np.array([len(m) for m in members])
        for row, m in zip(x, members):
            row[: len(m)] = m
        filled = np.arange(room) < count[:, None]
        cluster = x[:, :, :3] - (x[:, :, :3].sum(1) / count[:, None])[:, None]
        center = x[:, :, :3] - (lowest + (cells + 0.5) * size)[:, None]
        if not self.openpcdet and most and points.shape[1] == 4:  # mmdetection3d's legacy form overwrites x, y and z
            parts = [center, x[:, :, 3:], cluster, center]
        else:
            parts = [x, cluster, center]
        features = torch.tensor(np.concatenate(parts, 2) * filled[:, :, None], dtype=self.dtype)
        y = (features @ self.p[prefix + "linear.weight"].T).flatten(0, 1)
        y = self.norm_relu(prefix + "norm", y).reshape(len(cells), room, -1)
        if not most:  # dynamic pillars have no rows of zeros
            y = y.masked_fill(torch.from_numpy(~filled)[:, :, None], 0)
        self.cells, self.extents = cells, tuple(np.round((highest - lowest) / size).astype(int))
        return self.bird_eye_view(y.max(1).values)

    # Pixels

    def backbone(self, x, prefixes, table, conv_without_stride):
        """table: per block (further layers, stride, stride of the neck)."""
        blocks, necks = prefixes
        first = 1 if self.openpcdet else 0
        ups = []
        for b, (layers, stride, up) in enumerate(table):
            for layer in range(layers + 1):
                at = first + 3 * layer
                name = f"{blocks}.{b}."
                x = self.norm_relu(f"{name}{at + 1}", self.conv2d(f"{name}{at}", x, stride if layer == 0 else 1))
            neck = f"{necks}.{b}"
            if up > 1 or (up == 1 and not conv_without_stride):
                y = F.conv_transpose2d(x, self.p[neck + ".0.weight"], stride=int(up))
            else:
                y = self.conv2d(neck + ".0", x, int(1 / up))
            ups.append(self.norm_relu(neck + ".1", y))
        return torch.cat(ups, 1)

    def centers(self, x, prefix, groups, maps):
        conv, norm = ("0.0", "0.1") if self.openpcdet else ("0.conv", "0.bn")
        shared = ("shared_conv.0", "shared_conv.1") if self.openpcdet else ("shared_conv.conv", "shared_conv.bn")
        x = self.norm_relu(prefix + shared[1], self.conv2d(prefix + shared[0], x), 1e-5)
        outputs = {}
        for g in range(groups):
            for name in maps:
                head = f"{prefix}{'heads_list' if self.openpcdet else 'task_heads'}.{g}.{name}."
                y = self.norm_relu(head + norm, self.conv2d(head + conv, x), 1e-5)
                outputs[head + "1"] = self.conv2d(head + "1", y)
        return outputs

    # Networks

    def second(self, points, settings):
        if self.openpcdet:
            x = self.second_encoder(self.mean_voxels(points, settings), "backbone_3d.")
            x = self.backbone(x, ("backbone_2d.blocks", "backbone_2d.deblocks"), ((5, 1, 1), (5, 2, 2)), False)
            heads = [f"dense_head.{name}" for name in ("conv_cls", "conv_box", "conv_dir_cls")]
        else:
            x = self.second_encoder(self.mean_voxels(points, settings), "middle_encoder.")
            x = self.backbone(x, ("backbone.blocks", "neck.deblocks"), ((5, 1, 1), (5, 2, 2)), False)
            heads = [f"bbox_head.{name}" for name in ("conv_cls", "conv_reg", "conv_dir_cls")]
        return {name: self.conv2d(name, x) for name in heads}

    def pointpillars(self, points, settings):
        table = ((3, 2, 1), (5, 2, 2), (5, 2, 4))
        if self.openpcdet:
            x = self.pillars(points, settings, "vfe.pfn_layers.0.")
            x = self.backbone(x, ("backbone_2d.blocks", "backbone_2d.deblocks"), table, False)
            heads = [f"dense_head.{name}" for name in ("conv_cls", "conv_box", "conv_dir_cls")]
        else:
            pts = "pts_" if settings["classes"] == 10 else ""
            x = self.pillars(points, settings, pts + "voxel_encoder.pfn_layers.0.")
            x = self.backbone(x, (pts + "backbone.blocks", pts + "neck.deblocks"), table, False)
            heads = [f"{pts}bbox_head.{name}" for name in ("conv_cls", "conv_reg", "conv_dir_cls")]
        return {name: self.conv2d(name, x) for name in heads}

    def centerpoint(self, points, settings):
        nuscenes = settings["classes"] == 10
        on_pillars = settings["voxel_size"][2] > 1
        names = ("backbone_2d.blocks", "backbone_2d.deblocks") if self.openpcdet else ("pts_backbone.blocks", "pts_neck.deblocks")
        if on_pillars:
            prefix = "vfe.pfn_layers.0." if self.openpcdet else "pts_voxel_encoder.pfn_layers.0."
            x = self.pillars(points, settings, prefix)
            table = ((3, 2, 0.5), (5, 2, 1), (5, 2, 2)) if nuscenes else ((3, 1, 1), (5, 2, 2), (5, 2, 4))
        else:
            prefix = "backbone_3d." if self.openpcdet else "pts_middle_encoder."
            x = self.residual_encoder(self.mean_voxels(points, settings), prefix)
            table = ((5, 1, 1), (5, 2, 2))
        x = self.backbone(x, names, table, not self.openpcdet)
        maps = ["center", "center_z", "dim", "rot", "hm"] if self.openpcdet else ["reg", "height", "dim", "rot", "heatmap"]
        maps += ["vel"] if nuscenes else []
        return self.centers(x, "dense_head." if self.openpcdet else "pts_bbox_head.", 6 if nuscenes else 1, maps)
