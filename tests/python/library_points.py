"""PointNet and PointNet++ in PyTorch as yanx27/Pointnet_Pointnet2_pytorch and vinits5/learning3d have them: modules whose
state dicts are what those save, channels an eighth. The first centre is the first point. Knows nothing of voxshift.
"""

import numpy as np
from sparse_torch import torch

nn, F = torch.nn, torch.nn.functional


def shaken(net, seed=0):
    """Random weights and norms; for evaluation, in double precision."""
    random = torch.Generator().manual_seed(seed)
    for name, tensor in net.state_dict().items():
        if tensor.dtype != torch.float32:
            continue
        unit = torch.rand(tensor.shape, generator=random)
        if tensor.dim() > 1:
            tensor.copy_((2 * unit - 1) * (6 / tensor[0].numel()) ** 0.5)
        elif name.endswith("running_var") or ("bn" in name and name.endswith("weight")):
            tensor.copy_(0.6 + 0.8 * unit)
        else:
            tensor.copy_((2 * unit - 1) * 0.2)
    return net.eval()


class TNet(nn.Module):
    def __init__(self, channels, size):
        super().__init__()
        self.size = size
        for i, (a, b) in enumerate(zip((channels, 64, 128), (64, 128, 1024))):
            setattr(self, f"conv{i + 1}", nn.Conv1d(a, b, 1))
            setattr(self, f"bn{i + 1}", nn.BatchNorm1d(b))
        self.fc1, self.fc2, self.fc3 = nn.Linear(1024, 512), nn.Linear(512, 256), nn.Linear(256, size * size)
        self.bn4, self.bn5 = nn.BatchNorm1d(512), nn.BatchNorm1d(256)

    def forward(self, x):
        for i in "123":
            x = getattr(self, "bn" + i)(getattr(self, "conv" + i)(x)).relu()
        x = x.max(2).values
        x = self.bn5(self.fc2(self.bn4(self.fc1(x)).relu())).relu()
        return self.fc3(x).view(-1, self.size, self.size) + torch.eye(self.size, dtype=x.dtype)


def turned(x, matrix):
    """x [B, C, N], of which x, y and z are multiplied."""
    size = matrix.shape[1]
    return torch.cat([torch.bmm(x[:, :size].transpose(2, 1), matrix).transpose(2, 1), x[:, size:]], 1)


class Encoder(nn.Module):
    def __init__(self, columns):
        super().__init__()
        self.stn, self.fstn = TNet(columns, 3), TNet(64, 64)
        for i, (a, b) in enumerate(zip((columns, 64, 128), (64, 128, 1024))):
            setattr(self, f"conv{i + 1}", nn.Conv1d(a, b, 1))
            setattr(self, f"bn{i + 1}", nn.BatchNorm1d(b))

    def forward(self, x):
        x = self.bn1(self.conv1(turned(x, self.stn(x)))).relu()
        points = turned(x, self.fstn(x))
        x = self.bn3(self.conv3(self.bn2(self.conv2(points)).relu()))
        return x.max(2).values, points


class PointNetClassifier(nn.Module):
    def __init__(self, columns=6, classes=7):
        super().__init__()
        self.feat = Encoder(columns)
        self.fc1, self.fc2, self.fc3 = nn.Linear(1024, 512), nn.Linear(512, 256), nn.Linear(256, classes)
        self.bn1, self.bn2 = nn.BatchNorm1d(512), nn.BatchNorm1d(256)

    def forward(self, x):
        return self.fc3(self.bn2(self.fc2(self.bn1(self.fc1(self.feat(x)[0])).relu())).relu())


class PointNetRooms(nn.Module):
    def __init__(self, columns=9, classes=13):
        super().__init__()
        self.feat = Encoder(columns)
        for i, (a, b) in enumerate(zip((1088, 512, 256), (512, 256, 128))):
            setattr(self, f"conv{i + 1}", nn.Conv1d(a, b, 1))
            setattr(self, f"bn{i + 1}", nn.BatchNorm1d(b))
        self.conv4 = nn.Conv1d(128, classes, 1)

    def forward(self, x):
        cloud, points = self.feat(x)
        x = torch.cat([cloud[:, :, None].repeat(1, 1, x.shape[2]), points], 1)
        for i in "123":
            x = getattr(self, "bn" + i)(getattr(self, "conv" + i)(x)).relu()
        return self.conv4(x)


class PointNetParts(nn.Module):
    def __init__(self, columns=6, kinds=16, classes=50):
        super().__init__()
        self.stn, self.fstn, self.columns = TNet(columns, 3), TNet(128, 128), columns
        for i, (a, b) in enumerate(zip((columns, 64, 128, 128, 512), (64, 128, 128, 512, 2048))):
            setattr(self, f"conv{i + 1}", nn.Conv1d(a, b, 1))
            setattr(self, f"bn{i + 1}", nn.BatchNorm1d(b))
        for i, (a, b) in enumerate(zip((4928 + kinds, 256, 256), (256, 256, 128))):
            setattr(self, f"convs{i + 1}", nn.Conv1d(a, b, 1))
            setattr(self, f"bns{i + 1}", nn.BatchNorm1d(b))
        self.convs4 = nn.Conv1d(128, classes, 1)

    def forward(self, x):
        x, kind = x[:, : self.columns], x[:, self.columns :, 0]
        layer = lambda i, x: getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x))
        out1 = layer(1, turned(x, self.stn(x))).relu()
        out2 = layer(2, out1).relu()
        out3 = layer(3, out2).relu()
        out4 = layer(4, turned(out3, self.fstn(out3))).relu()
        out5 = layer(5, out4)
        cloud = torch.cat([out5.max(2).values, kind], 1)
        x = torch.cat([cloud[:, :, None].repeat(1, 1, x.shape[2]), out1, out2, out3, out4, out5], 1)
        for i in "123":
            x = getattr(self, "bns" + i)(getattr(self, "convs" + i)(x)).relu()
        return self.convs4(x)


def furthest(xyz, count):
    """Rows of xyz [N, 3]: the first one, then each the furthest from those before."""
    rows, distance = [0], np.full(len(xyz), np.inf)
    for _ in range(count - 1):
        distance = np.minimum(distance, ((xyz - xyz[rows[-1]]) ** 2).sum(1))
        rows.append(int(np.argmax(distance)))
    return np.array(rows)


def neighbors(xyz, centers, radius, count):
    """Rows [S, count] within the radius by number, the first one again where there are fewer."""
    result = []
    for center in centers:
        rows = np.flatnonzero(((xyz - center) ** 2).sum(1) <= radius**2)[:count]
        result.append(np.concatenate([rows, np.full(count - len(rows), rows[0])]))
    return np.array(result)


class Abstraction(nn.Module):
    def __init__(self, centers, scales, in_channels, channels, multi):
        super().__init__()
        self.centers, self.scales, self.multi = centers, scales, multi
        convolutions, norms = nn.ModuleList(), nn.ModuleList()
        for widths in channels:
            pairs = list(zip((in_channels + 3, *widths), widths))
            convolutions.append(nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairs))
            norms.append(nn.ModuleList(nn.BatchNorm2d(b) for _, b in pairs))
        if multi:
            self.conv_blocks, self.bn_blocks = convolutions, norms
        else:
            self.mlp_convs, self.mlp_bns = convolutions[0], norms[0]

    def forward(self, xyz, features):
        """xyz [N, 3] numpy, features [C, N] or None; returns the same of the centres."""
        lists = list(zip(self.conv_blocks, self.bn_blocks)) if self.multi else [(self.mlp_convs, self.mlp_bns)]
        centers = xyz[furthest(xyz, self.centers)] if self.centers else np.zeros((1, 3))
        results = []
        for (radius, count), (convolutions, norms) in zip(self.scales, lists):
            rows = neighbors(xyz, centers, radius, count) if self.centers else np.arange(len(xyz))[None]
            offsets = torch.tensor(xyz[rows] - centers[:, None]).permute(2, 1, 0)  # [3, K, S]
            parts = [offsets] if features is None else [offsets, features[:, rows].permute(0, 2, 1)]
            x = torch.cat(parts[::-1] if self.multi else parts)[None]
            for convolution, norm in zip(convolutions, norms):
                x = norm(convolution(x)).relu()
            results.append(x[0].max(1).values)
        return centers, torch.cat(results)


class Propagation(nn.Module):
    def __init__(self, in_channels, channels):
        super().__init__()
        pairs = list(zip((in_channels, *channels), channels))
        self.mlp_convs = nn.ModuleList(nn.Conv1d(a, b, 1) for a, b in pairs)
        self.mlp_bns = nn.ModuleList(nn.BatchNorm1d(b) for _, b in pairs)

    def forward(self, xyz, coarse, skip, features):
        if len(coarse) == 1:
            mixed = features.repeat(1, len(xyz))
        else:
            squared = ((xyz[:, None] - coarse[None]) ** 2).sum(2)
            rows = np.argsort(squared, 1, kind="stable")[:, :3]
            weight = 1 / (np.take_along_axis(squared, rows, 1) + 1e-8)
            weight = torch.tensor(weight / weight.sum(1, keepdims=True))
            mixed = (features[:, rows] * weight).sum(2)
        x = (mixed if skip is None else torch.cat([skip, mixed]))[None]
        for convolution, norm in zip(self.mlp_convs, self.mlp_bns):
            x = norm(convolution(x)).relu()
        return x[0]


SCALES = {
    ("classes", False): [(512, [(0.2, 32)]), (128, [(0.4, 64)]), (0, [(0, 0)])],
    ("classes", True): [(512, [(0.1, 16), (0.2, 32), (0.4, 128)]), (128, [(0.2, 32), (0.4, 64), (0.8, 128)]), (0, [(0, 0)])],
    ("parts", False): [(512, [(0.2, 32)]), (128, [(0.4, 64)]), (0, [(0, 0)])],
    ("parts", True): [(512, [(0.1, 32), (0.2, 64), (0.4, 128)]), (128, [(0.4, 64), (0.8, 128)]), (0, [(0, 0)])],
    ("rooms", False): [(1024, [(0.1, 32)]), (256, [(0.2, 32)]), (64, [(0.4, 32)]), (16, [(0.8, 32)])],
    ("rooms", True): [(1024, [(0.05, 16), (0.1, 32)]), (256, [(0.1, 16), (0.2, 32)]), (64, [(0.2, 16), (0.4, 32)]), (16, [(0.4, 16), (0.8, 32)])],
}  # fmt: skip


class PointNet2(nn.Module):
    """kind: classes of a cloud, parts of an object, rooms. multi: several scales."""

    def __init__(self, kind, multi, columns, classes):
        super().__init__()
        self.kind, self.columns = kind, columns
        known = columns - 3 if kind == "classes" else columns
        widths, self.depth = [known], len(SCALES[kind, multi])
        for i, (centers, scales) in enumerate(SCALES[kind, multi]):
            of_scale = [(4 + k, 5 + k, (8 + k) << min(i, 1)) for k in range(len(scales))]
            level = Abstraction(centers, scales, widths[-1], of_scale, multi and centers > 0)
            setattr(self, f"sa{i + 1}", level)
            widths.append(sum(w[-1] for w in of_scale))
        if kind == "classes":
            self.fc1, self.fc2, self.fc3 = nn.Linear(widths[-1], 512), nn.Linear(512, 256), nn.Linear(256, classes)
            self.bn1, self.bn2 = nn.BatchNorm1d(512), nn.BatchNorm1d(256)
            return
        last = widths[-1]
        for i in range(self.depth, 0, -1):
            skip = widths[i - 1] if i > 1 else (16 + 3 + known if kind == "parts" else 0)
            setattr(self, f"fp{i}", Propagation(skip + last, (12, 9 + i)))
            last = 9 + i
        self.conv1, self.bn1, self.conv2 = nn.Conv1d(last, 128, 1), nn.BatchNorm1d(128), nn.Conv1d(128, classes, 1)

    def forward(self, x):
        """x [1, C, N]; logits [1, classes] or [1, classes, N]."""
        points, kinds = x[0, : self.columns], x[0, self.columns :]
        features = points[3:] if self.kind == "classes" else points
        levels = [(points[:3].T.numpy(), features if len(features) else None)]
        for i in range(self.depth):
            levels.append(getattr(self, f"sa{i + 1}")(*levels[-1]))
        y = levels[-1][1]
        if self.kind == "classes":
            return self.fc3(self.bn2(self.fc2(self.bn1(self.fc1(y.T)).relu())).relu())
        for i in range(self.depth, 0, -1):
            skip = levels[i - 1][1]
            if i == 1:
                skip = torch.cat([kinds, points[:3], points]) if self.kind == "parts" else None
            y = getattr(self, f"fp{i}")(levels[i - 1][0], levels[i][0], skip, y)
        return self.conv2(self.bn1(self.conv1(y[None])).relu())


class Features(nn.Module):
    def __init__(self, norms):
        super().__init__()
        widths = (3, 64, 64, 64, 128, 96)
        for i, (a, b) in enumerate(zip(widths, widths[1:])):
            setattr(self, f"conv{i + 1}", nn.Conv1d(a, b, 1))
            if norms:
                setattr(self, f"bn{i + 1}", nn.BatchNorm1d(b))
        self.norms = norms

    def forward(self, x):
        """The features, and the second entry of its list of layers."""
        for i in "12345":
            x = getattr(self, "conv" + i)(x)
            if self.norms:
                x = getattr(self, "bn" + i)(x)
            if i == "1":
                first = x if self.norms else x.relu()
            x = x.relu()
        return x, first


class Learning3d(nn.Module):
    def __init__(self, norms, points, classes=5):
        super().__init__()
        self.feature_model, self.points = Features(norms), points
        if points:
            for i, (a, b) in enumerate(zip((96 + 64, 512, 256), (512, 256, 128))):
                setattr(self, f"conv{i + 1}", nn.Conv1d(a, b, 1))
                setattr(self, f"bn{i + 1}", nn.BatchNorm1d(b))
            self.conv4 = nn.Conv1d(128, classes, 1)
        else:
            self.linear1, self.linear2, self.linear3 = nn.Linear(96, 512), nn.Linear(512, 256), nn.Linear(256, classes)
            self.bn1, self.bn2 = nn.BatchNorm1d(512), nn.BatchNorm1d(256)

    def forward(self, x):
        x, first = self.feature_model(x)
        cloud = x.max(2).values
        if not self.points:
            return self.linear3(self.bn2(self.linear2(self.bn1(self.linear1(cloud)).relu())).relu())
        x = torch.cat([cloud[:, :, None].repeat(1, 1, first.shape[2]), first], 1)
        for i in "123":
            x = getattr(self, "bn" + i)(getattr(self, "conv" + i)(x)).relu()
        return self.conv4(x)
