"""TSM networks in PyTorch for the tests of whole networks: nothing folded or fused. Structure, parameter names and the
shift: the TSM code (ops/temporal_shift.py, online_demo/mobilenet_v2_tsm.py), the networks of torchvision. Knows nothing
of voxshift.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: Debian's python3-torch")

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def normalized(frames):
    """uint8 [T, H, W, 3] as float32 [T, 3, H, W]."""
    x = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255
    return (x - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


class Bidirectional:
    """The shift of a whole clip, both ways."""

    def __call__(self, name, x):
        fold, out = x.shape[1] // 8, x.clone()
        out[:, : 2 * fold] = 0
        out[:-1, :fold] = x[1:, :fold]
        out[1:, fold : 2 * fold] = x[:-1, fold : 2 * fold]
        return out


class OneDirection:
    """The online shift of a whole clip."""

    def __call__(self, name, x):
        fold, out = x.shape[1] // 8, x.clone()
        out[0, :fold] = 0
        out[1:, :fold] = x[:-1, :fold]
        return out


class Cached:
    """The online shift frame by frame, x [1, C, H, W]: a cache for each place of a network."""

    def __init__(self):
        self.caches = {}

    def __call__(self, name, x):
        fold = x.shape[1] // 8
        past = self.caches.get(name, torch.zeros_like(x[:, :fold]))
        self.caches[name] = x[:, :fold].clone()
        return torch.cat([past, x[:, fold:]], dim=1)


class VideoNetwork:
    """Layers by the names of their tensors. `shift` is called with a name of the place and its input [T, C, H, W]."""

    def __init__(self, parameters, shift, dtype=torch.float64):
        self.parameters = {name: torch.tensor(value, dtype=dtype) for name, value in parameters.items()}
        self.shift, self.dtype = shift, dtype

    def conv(self, name, x, stride=1):
        weight = self.parameters[name + ".weight"]
        groups = x.shape[1] // weight.shape[1]
        return torch.nn.functional.conv2d(x, weight, stride=stride, padding=weight.shape[2] // 2, groups=groups)

    def norm(self, name, x):
        names = ("running_mean", "running_var", "weight", "bias")
        return torch.nn.functional.batch_norm(x, *(self.parameters[f"{name}.{role}"] for role in names), eps=1e-5)

    def conv_norm(self, conv, norm, x, stride=1):
        return self.norm(norm, self.conv(conv, x, stride))

    def mean_and_linear(self, name, x):
        return torch.nn.functional.linear(
            x.mean(dim=(2, 3)), self.parameters[name + ".weight"], self.parameters[name + ".bias"]
        )

    def logits(self, frames):
        """float [T, classes] of uint8 frames [T, H, W, 3]."""
        with torch.no_grad():
            return self.forward(normalized(frames).to(self.dtype)).numpy()


class TsmMobileNetV2(VideoNetwork):
    stages = ((1, 1), (2, 2), (3, 2), (4, 2), (3, 1), (3, 2), (1, 1))  # blocks, stride of the first one

    def block(self, name, x, stride, residual):
        y = self.shift(name, x) if residual else x  # the expanded blocks with a residual
        y = torch.nn.functional.relu6(self.conv_norm(f"{name}.0", f"{name}.1", y))
        y = torch.nn.functional.relu6(self.conv_norm(f"{name}.3", f"{name}.4", y, stride))
        y = self.conv_norm(f"{name}.6", f"{name}.7", y)
        return x + y if residual else y

    def forward(self, x):
        relu6 = torch.nn.functional.relu6
        x = relu6(self.conv_norm("features.0.0", "features.0.1", x, 2))
        x = relu6(self.conv_norm("features.1.conv.0", "features.1.conv.1", x))
        x = self.conv_norm("features.1.conv.3", "features.1.conv.4", x)
        index = 2
        for blocks, stride in self.stages[1:]:
            for block in range(blocks):
                x = self.block(f"features.{index}.conv", x, 1 if block else stride, block > 0)
                index += 1
        x = relu6(self.conv_norm("features.18.0", "features.18.1", x))
        return self.mean_and_linear("classifier", x)


class TsmResNet50(VideoNetwork):
    layers = ((3, 1), (4, 2), (6, 2), (3, 2))  # bottlenecks, stride of the first one

    def bottleneck(self, name, x, stride):
        y = torch.relu(self.conv_norm(f"{name}.conv1", f"{name}.bn1", self.shift(name, x)))
        y = torch.relu(self.conv_norm(f"{name}.conv2", f"{name}.bn2", y, stride))
        y = self.conv_norm(f"{name}.conv3", f"{name}.bn3", y)
        if f"{name}.downsample.0.weight" in self.parameters:
            x = self.conv_norm(f"{name}.downsample.0", f"{name}.downsample.1", x, stride)
        return torch.relu(x + y)

    def forward(self, x):
        x = torch.relu(self.conv_norm("conv1", "bn1", x, 2))
        x = torch.nn.functional.max_pool2d(x, 3, 2, 1)
        for layer, (bottlenecks, stride) in enumerate(self.layers, 1):
            for i in range(bottlenecks):
                x = self.bottleneck(f"layer{layer}.{i}", x, 1 if i else stride)
        return self.mean_and_linear("new_fc", x)
