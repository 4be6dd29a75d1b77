"""Small networks whose ONNX files have what exporters write of image networks, and torch's outputs of them."""

import warnings
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F


def settled(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module in eval mode, batch norms with statistics and weights other than those they begin with."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm2d, nn.BatchNorm1d)):
            for tensor, low in ((part.running_var, 0.5), (part.running_mean, -0.5), (part.weight, 0.5), (part.bias, -0.5)):
                tensor.data.copy_(torch.rand(tensor.shape, generator=generator) + low)
    return module.eval()


def export(module: nn.Module, path: Path, size=(16, 20), channels=3, opset=13, batch=1, **options) -> Path:
    """Writes module's ONNX file, of inputs [batch, channels, height, width]."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, torch.zeros(batch, channels, *size), str(path), opset_version=opset, **options)
    return path


def image(size=(16, 20), channels=3, seed=1) -> torch.Tensor:
    return torch.randn(1, channels, *size, generator=torch.Generator().manual_seed(seed))


class Call(nn.Module):
    """A function with the modules that it takes as arguments before x."""

    def __init__(self, function, *modules):
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(modules)

    def forward(self, x):
        return self.function(*self.parts, x)


class Mobile(nn.Module):
    """MobileNetV3 in miniature: depthwise, squeeze and excitation, hard_swish, a residual, a classifier."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish())
        self.wide = nn.Sequential(nn.Conv2d(8, 16, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6())
        self.deep = nn.Sequential(nn.Conv2d(16, 16, 5, padding=2, groups=16, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 4, 1), nn.ReLU(), nn.Conv2d(4, 16, 1), nn.Hardsigmoid())
        self.back = nn.Sequential(nn.Conv2d(16, 8, 1, bias=False), nn.BatchNorm2d(8))
        self.head = nn.Sequential(nn.Linear(8, 12), nn.Hardswish(), nn.Dropout(), nn.Linear(12, 5))

    def forward(self, x):
        x = self.stem(x)
        y = self.deep(self.wide(x))
        x = x + self.back(y * self.squeeze(y))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Flattened(nn.Module):
    """AlexNet's end: pixels and channels as one row of numbers."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc1, self.fc2 = nn.Conv2d(3, 6, 3, 4), nn.Linear(6 * 4 * 5, 7), nn.Linear(7, 4)

    def forward(self, x):
        x = F.relu(self.conv(x))
        return F.log_softmax(self.fc2(F.relu(self.fc1(x.view(x.size(0), -1)))), dim=1)


class Shuffle(nn.Module):
    """ShuffleNet's block: halves, channels in another order."""

    def __init__(self, groups=2, channels=12):
        super().__init__()
        self.groups, self.conv = groups, nn.Conv2d(3, channels, 3, padding=1)
        self.one = nn.Conv2d(channels // 2, channels // 2, 1)

    def forward(self, x):
        a, b = self.conv(x).chunk(2, dim=1)
        x = torch.cat([a, self.one(b)], 1)
        n, c, h, w = x.shape
        return x.view(n, self.groups, c // self.groups, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


class Detector(nn.Module):
    """Heads at two scales as SSD writes them: [N, anchors, 2] softmax, [N, anchors, 4]."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, 2, 1), nn.Conv2d(6, 8, 3, 2, 1)
        self.scores = nn.ModuleList([nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(8, 4, 1)])
        self.boxes = nn.ModuleList([nn.Conv2d(6, 12, 3, padding=1), nn.Conv2d(8, 8, 1)])

    def forward(self, x):
        first = F.relu(self.first(x))
        maps = [first, F.relu(self.second(first))]
        flat = lambda heads, n: torch.cat(
            [head(x).permute(0, 2, 3, 1).contiguous().view(x.size(0), -1, n) for head, x in zip(heads, maps)], 1
        )
        return F.softmax(flat(self.scores, 2), dim=2), flat(self.boxes, 4) * 0.5


class Pyramid(nn.Module):
    """Maps of several strides that meet, resized both ways, and a bilinear mask."""

    def __init__(self):
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(3, 6, 3, 2, 1), nn.Conv2d(6, 6, 3, 2, 1)
        self.up, self.last = nn.ConvTranspose2d(6, 6, 2, 2), nn.Conv2d(12, 2, 1)
        self.all = nn.Conv2d(6, 6, 1)

    def forward(self, x):
        a = F.leaky_relu(self.down1(x), 0.1)
        b = F.elu(self.down2(a))
        pooled = self.all(F.adaptive_avg_pool2d(b, 1))
        b = b + F.interpolate(pooled, size=b.shape[2:], mode="bilinear", align_corners=False)
        both = torch.cat([a, F.interpolate(b, scale_factor=2.0, mode="nearest")], 1)
        mask = F.interpolate(self.last(both), size=x.shape[2:], mode="bilinear", align_corners=True)
        return torch.sigmoid(mask), torch.tanh(self.up(b)) - a


def attention(conv, gate, x):
    """CBAM's gate: mean and maximum over all pixels, a gate of one channel from a mean over channels."""
    x = conv(x)
    x = x * torch.sigmoid(x.mean((2, 3), keepdim=True) + F.adaptive_max_pool2d(x, 1))
    return x * torch.sigmoid(gate(x.mean(1, keepdim=True)))


def numbers(bias, x):
    """Arithmetic with numbers of the file, per channel and for all."""
    x = (x - torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1)) / torch.tensor([0.2, 0.25, 0.3]).view(1, 3, 1, 1)
    x = 2 - bias(x) * 0.5
    return torch.clamp(x, -1.5, 2.5) ** 2 + (-x)


def padded(conv, x):
    return conv(F.pad(x, (1, 0, 2, 1)))


def focus(conv, x):
    """YOLOv5's first layer: every other pixel, four times."""
    return conv(torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1))


def networks():
    """name -> (module, size)."""
    torch.manual_seed(7)
    wide = (16, 20)
    found = {
        "mobile": (Mobile(), wide),
        "flattened": (Flattened(), (18, 21)),
        "shuffle": (Shuffle(), wide),
        "shuffle_many": (Shuffle(groups=2, channels=48), wide),
        "detector": (Detector(), wide),
        "pyramid": (Pyramid(), wide),
        "attention": (Call(attention, nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(1, 1, 7, padding=3)), wide),
        "numbers": (Call(numbers, nn.Conv2d(3, 5, 1)), wide),
        "padded": (Call(padded, nn.Conv2d(3, 4, 3, stride=2)), wide),
        "focus": (Call(focus, nn.Conv2d(12, 5, 3, padding=1)), wide),
        "groups": (nn.Conv2d(3, 6, (1, 3), (2, 1), padding=(0, 1), dilation=(1, 2), groups=3), wide),
        "prelu": (nn.Sequential(nn.Conv2d(3, 6, 3), nn.PReLU(6), nn.Conv2d(6, 4, 1), nn.PReLU()), wide),
        "pools": (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.AvgPool2d((2, 3), (1, 2), (1, 1), count_include_pad=False)),
            wide,
        ),
        "ceil": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)), (17, 22)),
        "average": (nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.AvgPool2d((4, 5)), nn.Flatten(), nn.Linear(4, 3)), wide),
        "instance": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4, affine=True), nn.SiLU()), wide),
        "transposed": (nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1), wide),
        "last": (Call(lambda fc, x: fc(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), nn.Linear(3, 5)), wide),
        "vgg": (nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.Flatten(), nn.Linear(4 * 4 * 5, 6), nn.BatchNorm1d(6), nn.Sigmoid()), wide),
    }
    return {name: (settled(module), size) for name, (module, size) in found.items()}


def profile(size, mean=0.5, std=0.25):
    """Preprocessing of frames of this size, as JSON has it."""
    frames = {"height": size[0], "width": size[1], "resize": max(size), "mean": [mean] * 3, "std": [std] * 3, "segments": 1}
    return {"name": "plain", "frames": frames}
