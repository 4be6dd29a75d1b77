"""Every layer of voxshift.torch and of the libraries whose names it has, with an example, and what is known to be missing of each:
layer_support_test.py and docs/support.md read it. A layer that is new needs a line.
"""

import inspect
from functools import partial
from typing import Callable, NamedTuple, Optional

import numpy as np
import voxshift as vs
import voxshift.torch as vst
from sparse_torch import torch
from torch import nn
from voxshift.torch import minkowski as ME
from voxshift.torch import spconv, torchsparse
from voxshift.torch.spconv import v1
from voxshift.torch.torchsparse import nn as spnn

STEP = 2e-3  # of differences; nothing that is not smooth may lie so near to a feature
KINKS = np.array([-3, -1, -0.5, 0, 0.5, 1, 3, 6])  # of activations
EXTENTS = {1: (60,), 2: (9, 8), 3: (5, 6, 4), 4: (4, 3, 4, 3)}


class Example(NamedTuple):
    """make: the layer, or a module around it. given: what it takes, of features and coords; None, the library's tensor. The
    reasons are texts of docs/support.md; tests fail for a layer that has what it is said not to have.
    """

    make: Callable[[], nn.Module]
    dims: int = 3
    given: Optional[Callable] = None
    is_random: bool = False  # in training mode
    row: str = ""  # layers of the same share a line of docs/support.md
    does_not_run: str = ""
    without_gradient: str = ""
    not_exported: str = ""


NO_OP = "graphs have no op for it"


class Of(nn.Module):
    """A function of layers and what is given."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x):
        return self.function(self, x)


def coords_of(dims: int) -> torch.Tensor:
    """int32 [N, 1 + D], batch first, about half the cells of two batches in no order."""
    random = np.random.default_rng(5)
    cells = np.stack(np.meshgrid(*map(range, (2, *EXTENTS[dims])), indexing="ij"), -1).reshape(-1, 1 + dims)
    return torch.from_numpy(random.permutation(cells)[: len(cells) // 2].astype(np.int32))


def feats_of(count: int, channels: int = 4) -> torch.Tensor:
    """float32 [count, channels]; those of a channel differ by more than steps, and none is near a kink."""
    random = np.random.default_rng(7)
    lattice = np.linspace(-4.1, 7.1, 2 * count)
    lattice = lattice[(np.abs(lattice[:, None] - KINKS) > 2 * STEP).all(1)]
    assert len(lattice) > count and np.diff(lattice).min() > 4 * STEP
    return torch.from_numpy(np.stack([random.permutation(lattice)[:count] for _ in range(channels)], 1).astype(np.float32))


def per_axes(name, axes, make, **reasons):
    return {f"{name}{dims}d": Example(partial(make, dims), dims, **reasons) for dims in axes}


# voxshift.torch


def own_tensor(feats, coords):
    return vst.SparseTensor(feats, coords, shape=EXTENTS[coords.shape[1] - 1])


def network():
    node = {"name": "y", "op": "conv", "inputs": ["input"], "kernel_size": 3, "parameters": {"weight": "y.weight"}}
    graph = {"input": "voxels", "dims": 3, "in_channels": 4, "nodes": [node], "outputs": ["y"]}
    weight = np.random.default_rng(1).standard_normal((27, 4, 3)).astype(np.float32)
    return vst.Network(vs.Model.from_graph(graph, {"y.weight": weight}, None, 0))


def back(layer, down):
    return Of(lambda self, x: self.layer(self.down(x)), layer=layer, down=down)


OWN = {
    "AvgPool3d": Example(vst.AvgPool3d),
    "BatchNorm": Example(lambda: vst.BatchNorm(4)),
    "Conv3d": Example(lambda: vst.Conv3d(4, 5, 3, stride=2, bias=True)),
    "ConvTranspose3d": Example(lambda: back(vst.ConvTranspose3d(3, 5, bias=True), vst.Conv3d(4, 3, 2, 2))),
    "GlobalAvgPool": Example(vst.GlobalAvgPool),
    "GlobalMaxPool": Example(vst.GlobalMaxPool),
    "LeakyReLU": Example(vst.LeakyReLU),
    "Linear": Example(lambda: vst.Linear(4, 5)),
    "MaxPool3d": Example(vst.MaxPool3d),
    "Network": Example(network),
    "ReLU": Example(vst.ReLU),
    "SubMConv3d": Example(lambda: vst.SubMConv3d(4, 5, bias=True)),
    "SumPool3d": Example(vst.SumPool3d),
}

# spconv


def spconv_tensor(feats, coords, kind=spconv.SparseConvTensor):
    return kind(feats, coords, EXTENTS[coords.shape[1] - 1], 2)


def after(layer, first):
    """A layer that gives the features as they are, after one that does not."""
    return Of(lambda self, x: self.layer(self.first(x)), layer=layer, first=first)


def spconv_inverse(of, layer, dims):
    down = getattr(of, f"SparseConv{dims}d")(4, 3, 2, 2, indice_key="down")
    return back(layer(3, 5, 2, indice_key="down"), down)


def of_dims(of, name, *arguments, **named):
    return lambda dims: getattr(of, f"{name}{dims}d")(*arguments, **named)


def inverse_of_dims(of):
    return lambda dims: spconv_inverse(of, getattr(of, f"SparseInverseConv{dims}d"), dims)


def two(layer):
    """A layer of a list of tensors on the same indices."""
    first, second = spconv.SubMConv3d(4, 3, 1), spconv.SubMConv3d(4, 3, 3)
    return Of(lambda self, x: self.layer([self.first(x), self.second(x)]), layer=layer, first=first, second=second)


def misaligned():
    layers = {"layer": spconv.AddTableMisaligned(), "wide": spconv.SparseConv3d(4, 4, 3, padding=1)}
    return Of(lambda self, x: self.layer([x, self.wide(x)]), **layers)


def table_of(*layers):
    table = spconv.ConcatTable()
    for layer in layers:
        table.add(layer)
    return table


def sequential(of):
    return of.SparseSequential(of.SubMConv3d(4, 5, 3, bias=False), nn.BatchNorm1d(5), nn.Sigmoid())


ALL_AXES, MIDDLE_AXES = (1, 2, 3, 4), (2, 3)
SPCONV = {
    "AddTable": Example(lambda: two(spconv.AddTable())),
    "AddTableMisaligned": Example(misaligned),
    "ConcatTable": Example(lambda: table_of(spconv.SubMConv3d(4, 3, 3), spconv.SubMConv3d(4, 2, 1))),
    "Identity": Example(lambda: after(spconv.Identity(), spconv.SubMConv3d(4, 3, 3))),
    "JoinTable": Example(lambda: two(spconv.JoinTable())),
    "RemoveGrid": Example(lambda: after(spconv.RemoveGrid(), spconv.SubMConv3d(4, 3, 3))),
    "SparseAvgPool": Example(lambda: spconv.SparseAvgPool(3, 3, 2, 1)),
    "SparseBatchNorm": Example(lambda: spconv.SparseBatchNorm(4)),
    "SparseConvolution": Example(lambda: spconv.SparseConvolution(3, 4, 5, 3, 2, 1)),
    "SparseGlobalAvgPool": Example(spconv.SparseGlobalAvgPool),
    "SparseGlobalMaxPool": Example(spconv.SparseGlobalMaxPool),
    "SparseIdentity": Example(lambda: after(spconv.SparseIdentity(), spconv.SubMConv3d(4, 3, 3))),
    "SparseMaxPool": Example(lambda: spconv.SparseMaxPool(3, 3, 1, subm=True)),
    "SparseReLU": Example(spconv.SparseReLU),
    "SparseSequential": Example(lambda: sequential(spconv)),
    "SparseSyncBatchNorm": Example(lambda: spconv.SparseSyncBatchNorm(4)),
    "ToDense": Example(lambda: after(spconv.ToDense(), spconv.SubMConv3d(4, 3, 3))),
    **per_axes("SparseAvgPool", ALL_AXES, of_dims(spconv, "SparseAvgPool", 2, 2)),
    **per_axes("SparseConv", ALL_AXES, of_dims(spconv, "SparseConv", 4, 5, 3, 2, 1)),
    **per_axes("SparseConvTranspose", ALL_AXES, of_dims(spconv, "SparseConvTranspose", 4, 5, 3, 2, 1)),
    **per_axes("SparseInverseConv", ALL_AXES, inverse_of_dims(spconv)),
    **per_axes("SparseMaxPool", ALL_AXES, of_dims(spconv, "SparseMaxPool", 2, 2)),
    **per_axes("SubMConv", ALL_AXES, of_dims(spconv, "SubMConv", 4, 5, 3)),
}
V1 = {
    "Identity": Example(lambda: after(v1.Identity(), v1.SubMConv3d(4, 3, 3))),
    "RemoveGrid": Example(lambda: after(v1.RemoveGrid(), v1.SubMConv3d(4, 3, 3))),
    "SparseConvolution": Example(lambda: v1.SparseConvolution(3, 4, 5, 3, 2, 1)),
    "SparseMaxPool": Example(lambda: v1.SparseMaxPool(3, 3, 2, 1)),
    "SparseSequential": Example(lambda: sequential(v1)),
    "ToDense": Example(lambda: after(v1.ToDense(), v1.SubMConv3d(4, 3, 3))),
    **per_axes("SparseConv", ALL_AXES, of_dims(v1, "SparseConv", 4, 5, 3, 2, 1)),
    **per_axes("SparseConvTranspose", MIDDLE_AXES, of_dims(v1, "SparseConvTranspose", 4, 5, 3, 2, 1)),
    **per_axes("SparseInverseConv", MIDDLE_AXES, inverse_of_dims(v1)),
    **per_axes("SparseMaxPool", MIDDLE_AXES, of_dims(v1, "SparseMaxPool", 2, 2)),
    **per_axes("SubMConv", ALL_AXES, of_dims(v1, "SubMConv", 4, 5, 3)),
}

# torchsparse

SHAPE = EXTENTS[3]
TORCHSPARSE = {
    "BatchNorm": Example(lambda: spnn.BatchNorm(4)),
    "Conv3d": Example(lambda: spnn.Conv3d(4, 5, 3, stride=2, bias=True)),
    "GlobalAvgPool": Example(spnn.GlobalAvgPool),
    "GlobalMaxPool": Example(spnn.GlobalMaxPool),
    "GroupNorm": Example(lambda: spnn.GroupNorm(2, 4), not_exported=NO_OP),
    "InstanceNorm": Example(lambda: spnn.InstanceNorm(4)),
    "LeakyReLU": Example(spnn.LeakyReLU),
    "ReLU": Example(spnn.ReLU),
    "SiLU": Example(spnn.SiLU),
    "SparseCrop": Example(
        lambda: spnn.SparseCrop([1, 1, 1], [4, 5, 3]), not_exported="graphs select voxels by scores, not by places"
    ),
    "ToBEVConvolution": Example(lambda: spnn.ToBEVConvolution(4, 5, SHAPE[1], bias=True)),
    "ToBEVHeightCompression": Example(lambda: spnn.ToBEVHeightCompression(4, SHAPE)),
    "ToBEVReduction": Example(spnn.ToBEVReduction, not_exported="graphs have no pooling of columns without a height"),
    "ToDenseBEVConvolution": Example(lambda: spnn.ToDenseBEVConvolution(4, 5, SHAPE, bias=True)),
}

# MinkowskiEngine


def activation(name, *arguments, **reasons):
    return {f"Minkowski{name}": Example(lambda: getattr(ME, f"Minkowski{name}")(*arguments), row="activations", **reasons)}


def me_conv(name, *arguments, **named):
    return getattr(ME, f"Minkowski{name}")(*arguments, dimension=3, **named)


def broadcast(layer):
    pooled = {"linear": ME.MinkowskiLinear(4, 4), "pool": ME.MinkowskiGlobalAvgPooling()}
    return Of(lambda self, x: self.layer(x, self.pool(self.linear(x))), layer=layer, **pooled)


def union():
    grown = me_conv("Convolution", 4, 4, kernel_size=3, expand_coordinates=True)
    return Of(lambda self, x: self.layer(self.grown(x), x), layer=ME.MinkowskiUnion(), grown=grown)


def interpolation():
    def between(self, x):
        return self.layer(x, torch.cat((x.C[:, :1].float(), x.C[:, 1:].float() + 0.25), 1))

    return Of(between, layer=ME.MinkowskiInterpolation())


def stack(kind):
    return kind(ME.MinkowskiLinear(4, 3), me_conv("Convolution", 4, 3, kernel_size=3))


def field(feats, coords):
    return ME.TensorField(feats, coords.float() * torch.tensor([1, 0.5, 0.5, 0.5], device=coords.device))


def pooled(name, **named):
    return me_conv(name, kernel_size=2, stride=2, **named)


MINKOWSKI = {
    **{
        name: example
        for one in (
            *map(activation, "CELU ELU GELU Hardsigmoid Hardswish Hardtanh LeakyReLU".split()),
            *map(activation, "PReLU ReLU ReLU6 SELU SiLU Sigmoid Softshrink Softsign".split()),
            *map(activation, "Tanh Tanhshrink".split()),
            activation("LogSoftmax", 1),
            activation("Softmax", 1),
            activation("Softmin", 1),
            activation("Threshold", 0.5, -1.0, not_exported=NO_OP),
            activation("Hardshrink", not_exported=NO_OP),
            activation("LogSigmoid", not_exported=NO_OP),
            activation("Softplus", not_exported=NO_OP),
            activation("RReLU", is_random=True),
            activation("AdaptiveLogSoftmaxWithLoss", 4, 6, [2], does_not_run="its forward takes no targets, as MinkowskiEngine's"),
        )
        for name, example in one.items()
    },
    "MinkowskiAlphaDropout": Example(lambda: after(ME.MinkowskiAlphaDropout(), ME.MinkowskiLinear(4, 3)), is_random=True),
    "MinkowskiAvgPooling": Example(lambda: pooled("AvgPooling")),
    "MinkowskiBatchNorm": Example(lambda: ME.MinkowskiBatchNorm(4)),
    "MinkowskiBroadcast": Example(lambda: broadcast(ME.MinkowskiBroadcast())),
    "MinkowskiBroadcastAddition": Example(lambda: broadcast(ME.MinkowskiBroadcastAddition())),
    "MinkowskiBroadcastConcatenation": Example(lambda: broadcast(ME.MinkowskiBroadcastConcatenation())),
    "MinkowskiBroadcastMultiplication": Example(lambda: broadcast(ME.MinkowskiBroadcastMultiplication())),
    "MinkowskiChannelwiseConvolution": Example(lambda: me_conv("ChannelwiseConvolution", 4, kernel_size=3, bias=True)),
    "MinkowskiConvolution": Example(lambda: me_conv("Convolution", 4, 5, kernel_size=3, stride=2, bias=True)),
    "MinkowskiConvolutionTranspose": Example(
        lambda: back(
            me_conv("ConvolutionTranspose", 3, 5, kernel_size=2, stride=2, bias=True),
            me_conv("Convolution", 4, 3, kernel_size=2, stride=2),
        )
    ),
    "MinkowskiDropout": Example(lambda: after(ME.MinkowskiDropout(), ME.MinkowskiLinear(4, 3)), is_random=True),
    "MinkowskiGenerativeConvolutionTranspose": Example(
        lambda: back(
            me_conv("GenerativeConvolutionTranspose", 3, 5, kernel_size=2, stride=2, bias=True),
            me_conv("Convolution", 4, 3, kernel_size=2, stride=2),
        )
    ),
    "MinkowskiGlobalAvgPooling": Example(ME.MinkowskiGlobalAvgPooling),
    "MinkowskiGlobalMaxPooling": Example(ME.MinkowskiGlobalMaxPooling),
    "MinkowskiGlobalPooling": Example(ME.MinkowskiGlobalPooling),
    "MinkowskiGlobalSumPooling": Example(ME.MinkowskiGlobalSumPooling),
    "MinkowskiInstanceNorm": Example(lambda: ME.MinkowskiInstanceNorm(4)),
    "MinkowskiInterpolation": Example(interpolation, not_exported="the places are no value of a graph"),
    "MinkowskiLinear": Example(lambda: ME.MinkowskiLinear(4, 5)),
    "MinkowskiMaxPooling": Example(lambda: pooled("MaxPooling")),
    "MinkowskiPoolingTranspose": Example(lambda: back(pooled("PoolingTranspose"), pooled("AvgPooling")), not_exported=NO_OP),
    "MinkowskiPruning": Example(
        lambda: Of(lambda self, x: self.layer(x, x.F[:, 0] > 0.1), layer=ME.MinkowskiPruning()),
    ),
    "MinkowskiSinusoidal": Example(lambda: ME.MinkowskiSinusoidal(4, 5), not_exported=NO_OP),
    "MinkowskiStableInstanceNorm": Example(lambda: ME.MinkowskiStableInstanceNorm(4)),
    "MinkowskiStackCat": Example(lambda: stack(ME.MinkowskiStackCat)),
    "MinkowskiStackMean": Example(lambda: stack(ME.MinkowskiStackMean)),
    "MinkowskiStackSum": Example(lambda: stack(ME.MinkowskiStackSum)),
    "MinkowskiStackVar": Example(lambda: stack(ME.MinkowskiStackVar)),
    "MinkowskiSumPooling": Example(lambda: pooled("SumPooling")),
    "MinkowskiSyncBatchNorm": Example(lambda: ME.MinkowskiSyncBatchNorm(4)),
    "MinkowskiToDenseTensor": Example(
        lambda: after(ME.MinkowskiToDenseTensor(torch.Size((4, 3, *EXTENTS[3]))), ME.MinkowskiLinear(4, 3))
    ),
    "MinkowskiToFeature": Example(lambda: after(ME.MinkowskiToFeature(), ME.MinkowskiLinear(4, 3))),
    "MinkowskiToSparseTensor": Example(
        ME.MinkowskiToSparseTensor, given=field
    ),
    "MinkowskiUnion": Example(union),
}


class Library(NamedTuple):
    """names: the module that has the layers. tensor: its sparse tensor of features and coords. bases: classes of that module
    that others are made of, or that are made of others, and that are no layers by themselves.
    """

    names: object
    tensor: Callable
    layers: dict
    bases: tuple = ()


LIBRARIES = {
    "voxshift.torch": Library(vst, own_tensor, OWN, ("FakeQuantized",)),
    "voxshift.torch.spconv": Library(spconv, spconv_tensor, SPCONV, ("SparseModule",)),
    "voxshift.torch.spconv.v1": Library(v1, partial(spconv_tensor, kind=v1.SparseConvTensor), V1, ("SparseModule",)),
    "voxshift.torch.torchsparse.nn": Library(spnn, torchsparse.SparseTensor, TORCHSPARSE),
    "voxshift.torch.minkowski": Library(
        ME,
        ME.SparseTensor,
        MINKOWSKI,
        ("MinkowskiConvolutionBase", "MinkowskiModuleBase", "MinkowskiNetwork", "MinkowskiNonlinearityBase"),
    ),
}


def modules_of(names: object) -> set:
    """The names of torch modules that a package gives to its users."""
    public = {name: value for name, value in vars(names).items() if not name.startswith("_")}
    return {name for name, value in public.items() if inspect.isclass(value) and issubclass(value, nn.Module)}
