"""Whole networks of voxshift.torch.minkowski: trained, and written into model files."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: Debian's python3-torch")

import voxshift as vs  # noqa: E402
import voxshift.torch as vst  # noqa: E402
import voxshift.torch.minkowski as ME  # noqa: E402
import voxshift.torch.minkowski.MinkowskiFunctional as MEF  # noqa: E402
from voxshift.torch.minkowski.modules.resnet_block import BasicBlock, Bottleneck  # noqa: E402
from voxshift.torch.minkowski.modules.senet_block import SEBasicBlock  # noqa: E402


class UNet(ME.MinkowskiNetwork):
    """A small network in the style of MinkowskiEngine's examples."""

    def __init__(self, channels, classes, D):
        super().__init__(D)
        self.gated = True
        self.stem = ME.MinkowskiConvolution(channels, 8, kernel_size=5, bias=True, dimension=D)
        self.norm0 = ME.MinkowskiBatchNorm(8)
        self.down = ME.MinkowskiConvolution(8, 16, kernel_size=2, stride=2, dimension=D)
        self.norm1 = ME.MinkowskiBatchNorm(16)
        shortcut = torch.nn.Sequential(
            ME.MinkowskiConvolution(16, 32, kernel_size=1, dimension=D), ME.MinkowskiBatchNorm(32)
        )
        self.block1 = BasicBlock(16, 16, dimension=D)
        self.block2 = Bottleneck(16, 8, downsample=shortcut, dimension=D)
        self.gate = SEBasicBlock(32, 32, reduction=4, D=D)
        self.pool = ME.MinkowskiMaxPooling(kernel_size=3, stride=1, dimension=D)
        self.inorm = ME.MinkowskiInstanceNorm(32)
        self.up = ME.MinkowskiConvolutionTranspose(32, 8, kernel_size=2, stride=2, dimension=D)
        self.norm2 = ME.MinkowskiBatchNorm(8)
        cross = ME.KernelGenerator(3, region_type=ME.RegionType.HYPER_CROSS, dimension=D)
        self.last = ME.MinkowskiConvolution(16, 12, kernel_generator=cross, dimension=D)
        self.depthwise = ME.MinkowskiChannelwiseConvolution(12, kernel_size=3, dimension=D)
        self.final = ME.MinkowskiLinear(12, classes)
        self.relu = ME.MinkowskiReLU(inplace=True)

    def forward(self, x):
        x = ME.SparseTensor(x.feats, x.coords)
        fine = self.relu(self.norm0(self.stem(x)))
        y = self.block1(self.relu(self.norm1(self.down(fine))))
        y = self.block2(y)
        y = self.inorm(self.pool(self.gate(y)) if self.gated else y)
        y = MEF.relu(self.norm2(self.up(y)))
        return self.final(self.depthwise(self.last(ME.cat(y, fine)))).F


@pytest.fixture
def made(random):
    def make(dims):
        cells = random.integers(0, 9, (300, dims + 1))
        cells[:, 0] = random.integers(0, 2, 300)
        cells = random.permutation(np.unique(cells, axis=0)).astype(np.int32)
        feats = torch.from_numpy(random.standard_normal((len(cells), 4)).astype(np.float32))
        torch.manual_seed(0)
        return vst.SparseTensor(feats, cells), UNet(4, 5, dims)

    return make


@pytest.mark.parametrize("dims", [2, 3])
def test_networks_train(made, dims):
    x, module = made(dims)
    optimizer, losses = torch.optim.Adam(module.parameters(), lr=1e-2), []
    for _ in range(6):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(module(x), torch.arange(len(x)) % 5)
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert all(parameter.grad is not None for parameter in module.parameters()) and losses[-1] < losses[0]


def test_networks_are_written(made):
    x, module = made(3)
    module.gated = False
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(layer.running_mean, 0, 0.1)
    model = vst.to_model(module, x)
    with torch.no_grad():
        truth = module.eval()(x)
    found = model.forward(vs.SparseTensor(x.coordinates, x.feats.numpy()))
    np.testing.assert_allclose(found, truth.numpy(), atol=1e-3)


def test_names_are_where_model_code_imports_them_from():
    import importlib
    import pkgutil

    names = [info.name for info in pkgutil.walk_packages(ME.__path__, ME.__name__ + ".")]
    modules = {name: importlib.import_module(name) for name in names}
    assert modules["voxshift.torch.minkowski.MinkowskiFunctional"] is MEF is ME.MinkowskiFunctional
    assert modules["voxshift.torch.minkowski.MinkowskiOps"].cat is ME.cat
    assert modules["voxshift.torch.minkowski.MinkowskiSparseTensor"].SparseTensor is ME.SparseTensor
    assert issubclass(ME.MinkowskiNetwork, torch.nn.Module) and issubclass(ME.MinkowskiUnion, torch.nn.Module)
