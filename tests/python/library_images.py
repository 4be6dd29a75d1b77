"""Networks on single images in PyTorch, by the names of their checkpoints' tensors. Knows nothing of voxshift."""

from sparse_torch import torch

F = torch.nn.functional


class ImageNetwork:
    def __init__(self, state):
        self.p = {name: tensor.double() for name, tensor in state.items()}

    def conv(self, name, x, stride=1, depthwise=False):
        weight = self.p[name + ".weight"]
        groups = x.shape[1] if depthwise else 1
        return F.conv2d(x, weight, self.p.get(name + ".bias"), stride, weight.shape[2] // 2, groups=groups)

    def norm(self, name, x):
        roles = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(self.p[f"{name}.{role}"] for role in roles), eps=1e-5)


def cifar_resnet(state, x):
    """Logits [N, classes] of images [N, 3, 32, 32]; akamaster's ResNet, shortcuts of option A."""
    net = ImageNetwork(state)
    x = net.norm("bn1", net.conv("conv1", x)).relu()
    for stage in (1, 2, 3):
        block = 0
        while f"layer{stage}.{block}.conv1.weight" in state:
            name, stride = f"layer{stage}.{block}.", 2 if stage > 1 and block == 0 else 1
            y = net.norm(name + "bn1", net.conv(name + "conv1", x, stride)).relu()
            y = net.norm(name + "bn2", net.conv(name + "conv2", y))
            if stride == 2:
                more = y.shape[1] // 4
                x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, more, more))
            x = (y + x).relu()
            block += 1
    return F.linear(x.mean((2, 3)), net.p["linear.weight"], net.p["linear.bias"])


def slim_faces(state, x):
    """{layer: map [N, C, H, W]} of images [N, 3, H, W]; the slim network of Ultra-Light-Fast-Generic-Face-Detector-1MB."""
    net, sources = ImageNetwork(state), []
    separable = lambda name, x, stride=1: net.conv(name + ".2", net.conv(name + ".0", x, stride, depthwise=True).relu())
    x = net.norm("base_net.0.1", net.conv("base_net.0.0", x, 2)).relu()
    for i in range(1, 13):
        name = f"base_net.{i}."
        x = net.norm(name + "1", net.conv(name + "0", x, 2 if i in (2, 4, 8, 11) else 1, depthwise=True)).relu()
        x = net.norm(name + "4", net.conv(name + "3", x)).relu()
        if i in (7, 10, 12):
            sources.append(x)
    sources.append(separable("extras.0.2", net.conv("extras.0.0", x).relu(), 2).relu())
    maps = {}
    for i, source in enumerate(sources):
        for heads in ("classification_headers", "regression_headers"):
            name = f"{heads}.{i}"
            if i < 3:
                maps[name + ".2"] = separable(name, source)
            else:
                maps[name] = net.conv(name, source)
    return maps
