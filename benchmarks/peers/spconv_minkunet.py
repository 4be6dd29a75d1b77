"""MinkUNet in spconv with the module names of spvnas, and the weights of a voxshift model file in it.

VOXSHIFT_SPCONV names what stands for `spconv.pytorch`, as `spconv_triton.pytorch`.
"""

import importlib
import os

import torch
from model_file import read_tensors
from torch import nn

spconv = importlib.import_module(os.environ.get("VOXSHIFT_SPCONV", "spconv.pytorch"))
CHANNELS = [32, 32, 64, 128, 256, 256, 128, 96, 96]


def conv_norm_relu(conv, width):
    return spconv.SparseSequential(conv, nn.BatchNorm1d(width), nn.ReLU())


class Block(spconv.SparseModule):
    """Strided or inverse convolution, called `net` in spvnas."""

    def __init__(self, conv, width):
        super().__init__()
        self.net = conv_norm_relu(conv, width)

    def forward(self, x):
        return self.net(x)


class Residual(spconv.SparseModule):
    def __init__(self, cin, cout, key):
        super().__init__()
        first = spconv.SubMConv3d(cin, cout, 3, bias=False, indice_key=key)
        second = spconv.SubMConv3d(cout, cout, 3, bias=False, indice_key=key)
        self.net = spconv.SparseSequential(first, nn.BatchNorm1d(cout), nn.ReLU(), second, nn.BatchNorm1d(cout))
        self.downsample = None
        if cin != cout:
            self.downsample = spconv.SparseSequential(
                spconv.SubMConv3d(cin, cout, 1, bias=False), nn.BatchNorm1d(cout))

    def forward(self, x):
        y = self.net(x)
        skip = self.downsample(x) if self.downsample else x
        return y.replace_feature(torch.relu(y.features + skip.features))


class MinkUNet(nn.Module):
    """A SparseConvTensor of 4 channels to logits [N, classes]."""

    def __init__(self, classes):
        super().__init__()
        c = CHANNELS
        self.stem = spconv.SparseSequential(
            spconv.SubMConv3d(4, c[0], 3, bias=False, indice_key="level0"), nn.BatchNorm1d(c[0]), nn.ReLU(),
            spconv.SubMConv3d(c[0], c[0], 3, bias=False, indice_key="level0"), nn.BatchNorm1d(c[0]), nn.ReLU())
        for i in range(4):
            down = spconv.SparseConv3d(c[i], c[i], 2, 2, bias=False, indice_key=f"down{i}")
            key = f"level{i + 1}"
            self.add_module(f"stage{i + 1}", nn.ModuleList(
                [Block(down, c[i]), Residual(c[i], c[i + 1], key), Residual(c[i + 1], c[i + 1], key)]))
        for i in range(4):
            cin, cout, skip, key = c[4 + i], c[5 + i], c[3 - i], f"level{3 - i}"
            up = spconv.SparseInverseConv3d(cin, cout, 2, bias=False, indice_key=f"down{3 - i}")
            self.add_module(f"up{i + 1}", nn.ModuleList(
                [Block(up, cout), nn.ModuleList([Residual(cout + skip, cout, key), Residual(cout, cout, key)])]))
        self.classifier = nn.Sequential(nn.Linear(c[8], classes))

    def forward(self, x):
        levels = [self.stem(x)]
        for i in range(1, 5):
            x = levels[-1]
            for layer in self.get_submodule(f"stage{i}"):
                x = layer(x)
            levels.append(x)
        x = levels.pop()
        for i in range(1, 5):
            up, residuals = self.get_submodule(f"up{i}")
            x = up(x)
            x = x.replace_feature(torch.cat([x.features, levels.pop().features], 1))
            for layer in residuals:
                x = layer(x)
        return self.classifier(x.features)


def conv_weight(kernel, like):
    """[K, Cin, Cout], offsets row-major, or [Cin, Cout], as spconv's [Cout, k, k, k, Cin].

    spconv reads the weight of a 1 x 1 convolution as [Cin, Cout] whatever shape it says.
    """
    kernel = torch.from_numpy(kernel.copy())
    if kernel.dim() == 2:
        return kernel.reshape(like.shape)
    size = round(kernel.shape[0] ** (1 / 3))
    return kernel.reshape(size, size, size, *kernel.shape[1:]).permute(4, 0, 1, 2, 3).contiguous()


def load_minkunet(path):
    """The network of a model file made by `voxshift new minkunet`, ready for inference."""
    tensors = read_tensors(path)
    network = MinkUNet(len(tensors["classifier.0.bias"])).eval()
    state = {}
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            state[name] = value
        elif value.dim() == 5:
            state[name] = conv_weight(tensors[name.replace(".weight", ".kernel")], value)
        else:
            state[name] = torch.from_numpy(tensors[name].copy())
    network.load_state_dict(state)
    return network
