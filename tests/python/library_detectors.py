"""SECOND, PointPillars and CenterPoint as torch modules with the names, axes (z, y, x) and layouts of mmdetection3d and
OpenPCDet: their state dicts are what those libraries save. Sparse convolutions are dense ones whose result is kept where
the library has voxels. Narrow: every width is an eighth. Knows nothing of voxshift.
"""

import numpy as np
from detector_torch import hard_voxels
from sparse_torch import torch

nn, F = torch.nn, torch.nn.functional


class SparseConv(nn.Module):
    """weight as spconv stores it: "spconv1" [z, y, x, Cin, Cout], "spconv2.0" [z, y, x, Cout, Cin], "spconv2.2" [Cout, z, y, x, Cin]."""

    _version = 2

    def __init__(self, layout, in_channels, out, size=(3, 3, 3), stride=None, padding=(1, 1, 1), bias=False):
        super().__init__()
        shapes = {"spconv1": (*size, in_channels, out), "spconv2.0": (*size, out, in_channels), "spconv2.2": (out, *size, in_channels)}
        self.layout, self.size, self.stride, self.padding = layout, size, stride, padding
        self.weight = nn.Parameter(torch.empty(shapes[layout]))
        self.bias = nn.Parameter(torch.empty(out)) if bias else None

    def forward(self, voxels):
        """voxels: (dense [1, C, Z, Y, X], which cells hold voxels [1, 1, Z, Y, X])."""
        x, held = voxels
        order = {"spconv1": (4, 3, 0, 1, 2), "spconv2.0": (3, 4, 0, 1, 2), "spconv2.2": (0, 4, 1, 2, 3)}[self.layout]
        weight = self.weight.permute(order)
        if self.stride is not None:
            held = F.conv3d(held, torch.ones(1, 1, *self.size, dtype=held.dtype), stride=self.stride, padding=self.padding).clamp(max=1)
        y = F.conv3d(x, weight, self.bias, stride=self.stride or 1, padding=self.padding)
        return y * held, held


class OnVoxels(nn.Module):
    """A layer on rows, where there are voxels."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, voxels):
        return self.layer(voxels[0]) * voxels[1], voxels[1]


class VoxelNorm(nn.BatchNorm3d):
    def __init__(self, channels):
        super().__init__(channels, eps=1e-3)

    def forward(self, voxels):
        return super().forward(voxels[0]) * voxels[1], voxels[1]


class VoxelReLU(nn.ReLU):
    def forward(self, voxels):
        return super().forward(voxels[0]), voxels[1]


def sparse_block(layout, *arguments, **options):
    conv = SparseConv(layout, *arguments, **options)
    return nn.Sequential(conv, VoxelNorm(arguments[1]), VoxelReLU())


class SparseBasicBlock(nn.Module):
    def __init__(self, layout, channels, bias):
        super().__init__()
        self.conv1, self.bn1 = SparseConv(layout, channels, channels, bias=bias), VoxelNorm(channels)
        self.conv2, self.bn2 = SparseConv(layout, channels, channels, bias=bias), VoxelNorm(channels)

    def forward(self, voxels):
        y = self.bn1(self.conv1(voxels))
        y = self.bn2(self.conv2((torch.relu(y[0]), y[1])))
        return torch.relu(y[0] + voxels[0]), y[1]


class Stage(nn.Sequential):
    """A list of layers under numbers."""


class Encoder(nn.Module):
    """Voxels at 1, 2, 4 and 8 cells, then the image."""

    def __init__(self, style, layout, columns, residual):
        super().__init__()
        openpcdet, down = style == "openpcdet", dict(stride=(2, 2, 2))
        channels = (2, 4, 8, 16) if residual else (2, 4, 8, 8)
        self.conv_input = sparse_block(layout, columns, 2)
        stages, before = [], 2
        for level, c in enumerate(channels):
            padding = (0, 1, 1) if level == 3 else (1, 1, 1)
            layers = []
            if level > 0 and (openpcdet or not residual):
                layers.append(sparse_block(layout, before, c, padding=padding, **down))
            if residual:
                layers += [SparseBasicBlock(layout, c, openpcdet) for _ in range(2)]
                if not openpcdet and level < 3:
                    after = (0, 1, 1) if level == 2 else (1, 1, 1)
                    layers.append(sparse_block(layout, c, channels[level + 1], padding=after, **down))
            else:
                layers += [sparse_block(layout, c, c) for _ in range(1 if level == 0 else 2)]
            stages.append(Stage(*layers))
            before = c
        if openpcdet:
            self.conv1, self.conv2, self.conv3, self.conv4 = stages
        else:
            self.encoder_layers = nn.ModuleDict({f"encoder_layer{i + 1}": stage for i, stage in enumerate(stages)})
        self.stages = lambda: stages
        self.conv_out = sparse_block(layout, channels[3], 16, (3, 1, 1), stride=(2, 1, 1), padding=(0, 0, 0))

    def forward(self, voxels):
        voxels = self.conv_input(voxels)
        for stage in self.stages():
            voxels = stage(voxels)
        return self.conv_out(voxels)[0].flatten(1, 2)  # [1, C * Z, Y, X]


class PillarLayer(nn.Module):
    def __init__(self, in_channels, out):
        super().__init__()
        self.linear, self.norm = nn.Linear(in_channels, out, bias=False), nn.BatchNorm1d(out, eps=1e-3)


class Pillars(nn.Module):
    """`reader`: pfn_layers, or vfe_layers of mmdetection3d's HardVFE."""

    def __init__(self, style, columns, out, reader, layers):
        super().__init__()
        self.legacy = style == "mmdet3d" and columns == 4 and reader == "pfn_layers"  # which overwrites x, y and z
        widths = [out if reader == "vfe_layers" or i == layers - 1 else out // 2 for i in range(layers)]
        inputs = [columns + 6] + [2 * width for width in widths[:-1]]
        self.add_module(reader, nn.ModuleList([PillarLayer(*pair) for pair in zip(inputs, widths)]))
        self.layers = lambda: getattr(self, reader)

    def forward(self, points, settings):
        lowest, highest, size = (np.array(v, np.float64) for v in (*settings["range"], settings["voxel_size"]))
        most = settings["max_points"]
        cells, members = hard_voxels(points, lowest, highest, size, most, settings["max_voxels"])
        room = most or max(map(len, members))
        x = np.zeros((len(cells), room, points.shape[1]))
        for row, m in zip(x, members):
            row[: len(m)] = m
        count = np.array([len(m) for m in members])
        filled = np.arange(room) < count[:, None]
        cluster = x[:, :, :3] - (x[:, :, :3].sum(1) / count[:, None])[:, None]
        center = x[:, :, :3] - (lowest + (cells + 0.5) * size)[:, None]
        parts = [center, x[:, :, 3:], cluster, center] if self.legacy and most else [x, cluster, center]
        y = torch.tensor(np.concatenate(parts, 2) * filled[:, :, None], dtype=self.layers()[0].linear.weight.dtype)
        for layer in self.layers():
            y = layer.norm(layer.linear(y).flatten(0, 1)).relu().reshape(len(cells), room, -1)
            if not most:  # dynamic pillars have no rows of zeros
                y = y.masked_fill(torch.from_numpy(~filled)[:, :, None], 0)
            highest_row = y.max(1).values
            y = torch.cat([y, highest_row[:, None].repeat(1, room, 1)], 2)
        width, height = np.round((highest - lowest) / size).astype(int)[:2]
        image = torch.zeros(1, highest_row.shape[1], height, width, dtype=y.dtype)
        image[0, :, cells[:, 1], cells[:, 0]] = highest_row.T
        return image


def mean_voxels(points, settings, dtype):
    lowest, highest, size = (np.array(v, np.float64) for v in (*settings["range"], settings["voxel_size"]))
    cells, members = hard_voxels(points, lowest, highest, size, settings["max_points"], settings["max_voxels"])
    x, y, z = np.round((highest - lowest) / size).astype(int)
    dense = torch.zeros(1, points.shape[1], z + 1, y, x, dtype=dtype)
    held = torch.zeros(1, 1, z + 1, y, x, dtype=dtype)
    means = torch.tensor(np.stack([m.astype(np.float64).mean(0) for m in members]), dtype=dtype)
    dense[0, :, cells[:, 2], cells[:, 1], cells[:, 0]] = means.T
    held[0, 0, cells[:, 2], cells[:, 1], cells[:, 0]] = 1
    return dense, held


def norm2d(channels, eps=1e-3):
    return nn.BatchNorm2d(channels, eps=eps)


def blocks_2d(openpcdet, in_channels, table):
    """table: (further layers, stride, channels)."""
    blocks = []
    for more, stride, out in table:
        layers = [nn.ZeroPad2d(1)] if openpcdet else []
        layers += [nn.Conv2d(in_channels, out, 3, stride, 0 if openpcdet else 1, bias=False), norm2d(out), nn.ReLU()]
        for _ in range(more):
            layers += [nn.Conv2d(out, out, 3, padding=1, bias=False), norm2d(out), nn.ReLU()]
        blocks.append(nn.Sequential(*layers))
        in_channels = out
    return nn.ModuleList(blocks)


def necks_2d(table, conv_without_stride):
    """table: (channels, stride, channels after)."""
    necks = []
    for in_channels, up, out in table:
        if up > 1 or (up == 1 and not conv_without_stride):
            layer = nn.ConvTranspose2d(in_channels, out, int(up), int(up), bias=False)
        else:
            layer = nn.Conv2d(in_channels, out, int(1 / up), int(1 / up), bias=False)
        necks.append(nn.Sequential(layer, norm2d(out), nn.ReLU()))
    return nn.ModuleList(necks)


class Blocks(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.blocks = blocks


class Necks(nn.Module):
    def __init__(self, necks):
        super().__init__()
        self.deblocks = necks


class Backbone2d(nn.Module):
    """OpenPCDet's, which holds both."""

    def __init__(self, blocks, necks):
        super().__init__()
        self.blocks, self.deblocks = blocks, necks


class AnchorMaps(nn.Module):
    def __init__(self, openpcdet, in_channels, anchors, classes, columns):
        super().__init__()
        self.conv_cls = nn.Conv2d(in_channels, anchors * classes, 1)
        self.add_module("conv_box" if openpcdet else "conv_reg", nn.Conv2d(in_channels, anchors * columns, 1))
        self.conv_dir_cls = nn.Conv2d(in_channels, anchors * 2, 1)

    def forward(self, x):
        return {name: layer(x) for name, layer in self.named_children()}


class ConvModule(nn.Module):
    """mmcv's."""

    def __init__(self, in_channels, out):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(in_channels, out, 3, padding=1, bias=False), norm2d(out, 1e-5)

    def forward(self, x):
        return self.bn(self.conv(x)).relu()


def conv_module(openpcdet, in_channels, out):
    if not openpcdet:
        return ConvModule(in_channels, out)
    return nn.Sequential(nn.Conv2d(in_channels, out, 3, padding=1), norm2d(out, 1e-5), nn.ReLU())


class CenterMaps(nn.Module):
    def __init__(self, openpcdet, in_channels, groups, velocity):
        super().__init__()
        names = ("center", "center_z", "dim", "rot", "vel", "hm") if openpcdet else ("reg", "height", "dim", "rot", "vel", "heatmap")
        sizes = [2, 1, 3, 2, 2, None]
        self.shared_conv = conv_module(openpcdet, in_channels, 8)
        tasks = nn.ModuleList()
        for group in groups:
            maps = {name: size or group for name, size in zip(names, sizes) if velocity or name != "vel"}
            tasks.append(nn.ModuleDict({
                name: nn.Sequential(conv_module(openpcdet, 8, 8), nn.Conv2d(8, size, 3, padding=1)) for name, size in maps.items()
            }))  # fmt: skip
        self.tasks = "heads_list" if openpcdet else "task_heads"
        setattr(self, self.tasks, tasks)

    def forward(self, x):
        x = self.shared_conv(x)
        return {f"{self.tasks}.{i}.{name}.1": layer(x) for i, task in enumerate(getattr(self, self.tasks)) for name, layer in task.items()}


class Detector(nn.Module):
    """arch: second, pointpillars or centerpoint, the latter also on pillars. Weights are random, norms shaken."""

    def __init__(self, arch, style, classes, columns, pillars=False, layout="spconv2.2", seed=0, groups=None, pts=None,
                 reader="pfn_layers", layers=1, first_stride=2):  # fmt: skip
        super().__init__()
        openpcdet, nuscenes = style == "openpcdet", classes == 10
        on_pillars, centers = pillars or arch == "pointpillars", arch == "centerpoint"
        pts = ("pts_" if (centers or nuscenes) and not openpcdet else "") if pts is None else pts
        if on_pillars:
            reader, name, in_channels = Pillars(style, columns, 8, reader, layers), "vfe" if openpcdet else pts + "voxel_encoder", 8
            table, up = ((3, first_stride, 8), (5, 2, 16), (5, 2, 32)), (1, 2, 4)
            if centers:
                table, up = (table, (0.5, 1, 2)) if nuscenes else (((3, 1, 8), (5, 2, 16), (5, 2, 32)), (1, 2, 4))
            after = (16, 16, 16)
        else:
            reader = Encoder(style, layout, columns, centers)
            name, in_channels = "backbone_3d" if openpcdet else pts + "middle_encoder", 32
            table, up, after = ((5, 1, 16), (5, 2, 32)), (1, 2), (32, 32)
        self.add_module(name, reader)
        blocks = blocks_2d(openpcdet, in_channels, table)
        necks = necks_2d([(b[2], u, a) for b, u, a in zip(table, up, after)], centers and not openpcdet)
        if openpcdet:
            self.register_buffer("global_step", torch.zeros(1, dtype=torch.int64))
            self.backbone_2d = Backbone2d(blocks, necks)
        else:
            self.add_module(pts + "backbone", Blocks(blocks))
            self.add_module(pts + "neck", Necks(necks))
        self.head_name = "dense_head" if openpcdet else pts + "bbox_head"
        if centers:
            groups = groups or ((1, 2, 2, 1, 2, 2) if nuscenes else (classes,))
            head = CenterMaps(openpcdet, sum(after), groups, nuscenes)
        else:
            anchors = 14 if nuscenes else 2 * classes
            head = AnchorMaps(openpcdet, sum(after), anchors, classes, 9 if nuscenes else 7)
        self.add_module(self.head_name, head)
        self.parts = lambda: (reader, blocks, necks, head)
        self.shake(seed)

    def shake(self, seed):
        random = torch.Generator().manual_seed(seed)
        uniform = lambda shape, low, high: torch.rand(shape, generator=random) * (high - low) + low
        for name, tensor in self.state_dict().items():
            if tensor.dtype != torch.float32:
                continue
            if name.endswith("running_var") or (name.endswith("weight") and tensor.dim() == 1):
                tensor.copy_(uniform(tensor.shape, 0.6, 1.4))
            elif tensor.dim() == 1:
                tensor.copy_(uniform(tensor.shape, -0.1, 0.1))
            else:
                channels = tensor.shape[0] if tensor.dim() != 5 else max(tensor.shape[0], tensor.shape[4])
                few = 6 if tensor.dim() == 5 else 1  # of the 27 taps
                tensor.copy_(uniform(tensor.shape, -1, 1) * (6 * few / (tensor.numel() / channels)) ** 0.5)
        self.eval()

    @torch.no_grad()
    def maps(self, points, settings):
        """{name of the last layer: float64 [1, C, Y, X]} of float32 points [N, C] by settings of a profile."""
        self.double()
        reader, blocks, necks, head = self.parts()
        if isinstance(reader, Encoder):
            x = reader(mean_voxels(points, settings, torch.float64))
        else:
            x = reader(points, settings)
        ups = []
        for block, neck in zip(blocks, necks):
            x = block(x)
            ups.append(neck(x))
        return {f"{self.head_name}.{name}": y for name, y in head(torch.cat(ups, 1)).items()}
