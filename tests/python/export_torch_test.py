"""Networks of plain torch modules as model files: what each function becomes runs as the module does."""

import numpy as np
import pytest
import voxshift.torch as vst
from sparse_torch import torch
from torch import nn
from torch.nn import functional


class Of(nn.Module):
    """A function with the parameters of a layer."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x):
        return self.function(self, x)


def trained(module):
    """Statistics and slopes other than the first ones."""
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean.uniform_(-1, 1)
            part.running_var.uniform_(0.5, 2)
            if part.affine:
                part.weight.data.uniform_(0.5, 2)
                part.bias.data.uniform_(-1, 1)
    return module.eval()


def exported(module, example, **options):
    torch.manual_seed(5)
    return vst.export(trained(module), example, **options)


def pointwise(function):
    return lambda: Of(lambda self, x: function(x))


ELEMENTWISE = {
    "relu": torch.relu,
    "relu_": lambda x: torch.relu_(x * 2),
    "relu6": functional.relu6,
    "hardtanh": lambda x: functional.hardtanh(x, -0.5, 0.25),
    "leaky_relu": lambda x: functional.leaky_relu(x, 0.3),
    "elu": lambda x: functional.elu(x, 0.7),
    "gelu": functional.gelu,
    "silu": functional.silu,
    "selu": functional.selu,
    "celu": lambda x: functional.celu(x, 0.7),
    "tanhshrink": functional.tanhshrink,
    "softsign": functional.softsign,
    "softshrink": lambda x: functional.softshrink(x, 0.3),
    "softmin": lambda x: functional.softmin(x, 1),
    "rrelu": lambda x: functional.rrelu(x, 0.1, 0.4),
    "sigmoid": lambda x: x.sigmoid(),
    "tanh": torch.tanh,
    "hardswish": functional.hardswish,
    "hardsigmoid": functional.hardsigmoid,
    "softmax": lambda x: functional.softmax(x, 1),
    "log_softmax": lambda x: x.log_softmax(1),
    "normalize": lambda x: functional.normalize(x, dim=1),
    "over norm": lambda x: x / torch.norm(x, p=2, dim=1, keepdim=True),
    "clamp": lambda x: x.clamp(min=-0.1, max=0.6),
    "pow": lambda x: x.clamp(min=1e-6).pow(3) ** (1 / 3),
    "sqrt": lambda x: torch.sqrt(x * x + 1),
    "constants": lambda x: 1 - (2 * x + 0.5) / 4 - x.neg(),
    "less a constant": lambda x: torch.sub(x - 0.3, torch.arange(4.0).reshape(4, *[1] * (x.dim() - 2)), alpha=2),
    "over": lambda x: 1 / (x.abs() + 1),
    "quotient": lambda x: x / (x.square() + 2),
    "channel constants": lambda x: x * torch.arange(4.0).reshape(4, *[1] * (x.dim() - 2)),
    "sums of channels": lambda x: x * x.mean(1, keepdim=True) + x.sum(dim=1, keepdim=True),
    "slices": lambda x: torch.cat([x[:, 2:], x[:, :1], x[:, ::2], x[:, [3, 1]]], 1),
    "chunks": lambda x: torch.cat([a * b for a, b in zip(x.chunk(2, 1), x.split([2, 2], 1))], dim=-x.dim() + 1),
    "glu by hand": lambda x: (lambda a, b: a * torch.sigmoid(b))(*torch.split(x, 2, dim=1)),
    "shuffle": lambda x: x.view(len(x), 2, 2, -1).transpose(1, 2).reshape(x.shape).tanh() + x,
    "maximum": lambda x: torch.maximum(x, -x),
    "in place": lambda x: (x + 0).mul_(3).add_(1).clamp_(min=0),
    "first": lambda x: x[:, 0:1] + x[:, 1].unsqueeze(1),
    "cat of one": lambda x: torch.cat([x], 0) + 1,
    "dropout": lambda x: functional.dropout(x + 1, 0.5, False).contiguous().float(),
}


def shuffled(x):
    """ShuffleNet's channels, six in groups of two and three."""
    n, c, *rest = x.shape
    return x.view(n, 2, 3, -1).transpose(1, 2).reshape(n, c, *rest).relu() * torch.arange(6.0).reshape(6, *[1] * len(rest))


def test_channels_in_another_order():
    for shape in ((9, 6), (2, 6, 7), (2, 6, 3, 4)):
        module = Of(lambda self, x: shuffled(x))
        x = torch.randn(shape)
        model = exported(module, x)
        given = x.movedim(1, -1).reshape(-1, 6).numpy()
        operand = {2: lambda: (given, [0, 9]), 3: lambda: (given, [0, 7, 14]), 4: lambda: given.reshape(2, 3, 4, 6)}
        operand = operand[x.dim()]()
        operand = operand if x.dim() == 4 else (operand[0], np.array(operand[1], np.int64))
        [(found, _)] = model.run({"input": operand}).values()
        expected = np.maximum(given[:, [0, 3, 1, 4, 2, 5]], 0) * np.arange(6)
        np.testing.assert_allclose(found.reshape(-1, 6), expected, rtol=1e-6)


def test_zeros_around_images_lie_on_their_sides():
    x = torch.randn(1, 2, 3, 4)
    model = exported(Of(lambda self, x: functional.pad(x, (1, 2, 3, 4))), x)
    [(found, _)] = model.run(x.permute(0, 2, 3, 1).contiguous().numpy()).values()
    np.testing.assert_array_equal(found[0, 3:6, 1:5], x[0].permute(1, 2, 0).numpy())
    assert found.shape == (1, 10, 7, 2) and np.count_nonzero(found) == x.numel()


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_functions_of_rows_points_and_images(name):
    for shape in ((30, 4), (2, 4, 9), (2, 4, 5, 6)):
        module = pointwise(ELEMENTWISE[name])()
        model = exported(module, torch.randn(shape))
        assert model.graph["nodes"]


def conv(cin, cout, kernel=3, **named):
    return nn.Sequential(
        nn.Conv2d(cin, cout, kernel, padding=kernel // 2, bias=False, **named), nn.BatchNorm2d(cout), nn.ReLU(True)
    )


class Neck(nn.Module):
    """SECOND's neck in small: blocks at two scales, brought together, and heads that permute at the end."""

    def __init__(self, channels):
        super().__init__()
        self.down = nn.ModuleList([conv(channels, 8), nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(8, 12, 3, 2), nn.ReLU())])
        self.up = nn.ModuleList(
            [conv(8, 6, 1), nn.Sequential(nn.ConvTranspose2d(12, 6, 2, 2, bias=False), nn.BatchNorm2d(6, eps=1e-3))]
        )
        self.heads = nn.ModuleDict({"heatmap": nn.Conv2d(12, 3, 3, padding=1), "box": nn.Conv2d(12, 8, 1)})

    def forward(self, x):
        ups = []
        for down, up in zip(self.down, self.up):
            x = down(x)
            ups.append(up(x))
        x = torch.cat(ups, dim=1)
        box = self.heads["box"](x).permute(0, 2, 3, 1).contiguous()
        return {"heatmap": self.heads["heatmap"](x).sigmoid(), "box": box.view(len(box), -1, 4)}


class SqueezeExcite(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.pool, self.down, self.up = nn.AdaptiveAvgPool2d(1), nn.Linear(channels, 2), nn.Conv2d(2, channels, 1)

    def forward(self, x):
        y = self.down(self.pool(x).flatten(1)).relu()
        return x * self.up(y[..., None, None]).sigmoid().expand_as(x)


class Pyramid(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8, stride=2)
        self.squeeze = SqueezeExcite(8)
        self.depthwise = conv(8, 8, groups=8)
        self.norm = nn.InstanceNorm2d(8, affine=True)
        self.last = nn.Conv2d(24, 4, 3, padding="same", dilation=2)

    def forward(self, x):
        x = self.squeeze(self.stem(x))
        deep = functional.max_pool2d(self.depthwise(x), 2)
        deep = functional.interpolate(deep, size=x.shape[2:], mode="bilinear", align_corners=False)
        context = functional.interpolate(functional.adaptive_avg_pool2d(x, 1), size=x.shape[-2:])
        x = torch.cat((self.norm(x), deep, context), 1)
        x = self.last(x)
        pooled = nn.AdaptiveAvgPool2d((2, 4))(x)
        return x, [pooled, functional.avg_pool2d(x, 3, 1, 1), x.mean((2, 3)), x.amax(dim=(-2, -1), keepdim=True)]


class Shortcut(nn.Module):
    """The residual of CIFAR's ResNets: every second pixel, channels of zeros on both sides."""

    def __init__(self):
        super().__init__()
        self.conv = conv(3, 7, stride=2)

    def forward(self, x):
        return self.conv(x) + functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))


class LayerNorm2d(nn.Module):
    """ConvNeXt's block: channels last in between."""

    def __init__(self):
        super().__init__()
        self.mix, self.norm = nn.Conv2d(4, 4, 5, padding=2, groups=4), nn.LayerNorm(4)
        self.wide, self.narrow = nn.Linear(4, 16), nn.Linear(16, 4)
        self.gamma = nn.Parameter(torch.rand(4))

    def forward(self, x):
        y = self.norm(self.mix(x).permute(0, 2, 3, 1))
        return x + (self.gamma * self.narrow(functional.gelu(self.wide(y)))).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    "module, shape",
    [
        (lambda: Neck(5), (2, 5, 8, 12)),
        (Pyramid, (2, 3, 16, 32)),
        (Pyramid, (1, 3, 32, 16)),
        (Shortcut, (2, 3, 9, 8)),
        (LayerNorm2d, (2, 4, 6, 7)),
    ],
)
def test_networks_on_images(module, shape):
    exported(module(), torch.randn(shape))


class Transform(nn.Module):
    """PointNet's T-Net."""

    def __init__(self, k):
        super().__init__()
        self.k, self.conv, self.norm = k, nn.Conv1d(k, 16, 1), nn.BatchNorm1d(16)
        self.first, self.last = nn.Linear(16, 8), nn.Linear(8, k * k)

    def forward(self, x):
        batch = x.size(0)
        x = functional.relu(self.norm(self.conv(x)))
        x = torch.max(x, 2, keepdim=True)[0].view(-1, 16)
        x = self.last(functional.relu(self.first(x)))
        return (x + torch.eye(self.k).flatten().view(1, -1).repeat(batch, 1)).view(-1, self.k, self.k)


class PointNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.transform, self.features = Transform(3), Transform(8)
        self.first, self.norm, self.second = nn.Conv1d(5, 8, 1), nn.BatchNorm1d(8), nn.Conv1d(8, 12, 1)
        self.last = nn.Sequential(nn.Conv1d(20, 9, 1), nn.BatchNorm1d(9), nn.ReLU(), nn.Conv1d(9, 4, 1))
        self.classify = nn.Linear(12, 3)

    def forward(self, x):
        points = x.size(2)
        turned = torch.bmm(x.transpose(2, 1)[:, :, :3], self.transform(x[:, :3]))
        x = torch.cat([turned, x.transpose(2, 1)[:, :, 3:]], dim=2).transpose(2, 1)
        x = functional.relu(self.norm(self.first(x)))
        x = torch.bmm(x.transpose(2, 1), self.features(x)).transpose(2, 1)
        whole = torch.max(self.second(x), 2, keepdim=True)[0]
        y = torch.cat([whole.view(-1, 12, 1).repeat(1, 1, points), x], 1)
        y = self.last(y).transpose(2, 1).contiguous()
        labels = functional.log_softmax(y.view(-1, 4), dim=-1).view(x.shape[0], points, 4)
        return labels, functional.log_softmax(self.classify(whole.squeeze(2)), -1)


class Rows(nn.Module):
    """A network on one cloud of points [N, C]."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.act = nn.Linear(4, 8), nn.BatchNorm1d(8), nn.PReLU(8)
        self.last = nn.Linear(16, 3, bias=False)

    def forward(self, x):
        y = self.act(self.norm(self.first(x)))
        return self.last(torch.cat([y, y.max(0, keepdim=True)[0].expand(len(y), -1)], 1)) @ torch.ones(3, 2)


@pytest.mark.parametrize("module, shape", [(PointNet, (3, 5, 20)), (PointNet, (1, 5, 32)), (Rows, (40, 4))])
def test_networks_on_points(module, shape):
    exported(module(), torch.randn(shape))
