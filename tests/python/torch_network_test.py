"""Whole networks in PyTorch: against the runtime, against a network of plain torch functions, and as files."""

import copy

import numpy as np
import oracle
import pytest
import voxshift as vs
import voxshift.torch as vst
from sparse_torch import Levels, torch
from tsm_torch import Bidirectional, OneDirection, TsmMobileNetV2, normalized
from unet_torch import MinkUNet, SpvCnn

NETWORKS = {"minkunet": vst.MinkUNet, "spvcnn": vst.SPVCNN}
REFERENCES = {"minkunet": MinkUNet, "spvcnn": SpvCnn}


def scan(random, rows=1500, extent=24):
    """Coordinates and features of a surface, denser than a random cloud."""
    cells = random.integers(0, extent, (rows, 3))
    cells[:, 2] = cells[:, 0] // 3 + random.integers(0, 2, rows)
    coords = np.unique(np.insert(cells, 0, 0, axis=1), axis=0).astype(np.int32)
    return coords, random.standard_normal((len(coords), 4)).astype(np.float32)


def trained(arch, random, width=0.125, classes=7):
    """A network whose running statistics and weights are no longer the first ones."""
    network = NETWORKS[arch](width=width, classes=classes, seed=4)
    coords, feats = scan(random)
    x = vst.SparseTensor(torch.from_numpy(feats), coords)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        network(x).pow(2).mean().backward()
        optimizer.step()
    return network.eval(), x


@pytest.mark.parametrize("arch", NETWORKS)
def test_logits_are_those_of_the_runtime(random, arch):
    network, x = trained(arch, random)
    with torch.no_grad():
        logits = network(x).numpy()
    runtime = network.to_model().forward(vs.SparseTensor(x.coordinates, x.feats.numpy()))
    assert oracle.relative_error(runtime, logits) < 1e-5
    assert logits.std() > 1e-3
    assert set(network.state_dict()) == set(network.model.parameters())


def on_batch_statistics(network):
    """The reference with batch norm as in training."""

    class Training(network):
        def norm(self, name, x):
            weight, bias = (self.parameters[f"{name}.{role}"] for role in ("weight", "bias"))
            return torch.nn.functional.batch_norm(x, None, None, weight, bias, training=True, eps=1e-5)

    return Training


def expect_gradients(network, reference):
    """Those of the reference in double precision. An activation near 0 may fall on the other side in float32, and takes a
    whole term of some gradients with it: few tensors are far off, a missing or wrong term would move most of them.
    """
    errors = {}
    for name, parameter in network.named_parameters():
        other = reference.parameters[name].grad
        errors[name] = ((parameter.grad - other).norm() / (other.norm() + 1e-4)).item()
    assert np.median(list(errors.values())) < 1e-2, errors
    assert max(errors.values()) < 0.1, errors


@pytest.mark.parametrize("arch", NETWORKS)
def test_gradients_of_a_whole_network(random, arch):
    coords, feats = scan(random)
    network = NETWORKS[arch](width=0.125, classes=7, seed=4)
    levels = Levels(coords[:, 1:].astype(np.int64))
    reference = on_batch_statistics(REFERENCES[arch])(network.model.parameters(), levels, torch.float64)
    for name, _ in network.named_parameters():
        reference.parameters[name].requires_grad_()
    target = torch.from_numpy(random.integers(0, 7, len(coords)))
    criterion = torch.nn.functional.cross_entropy
    found = criterion(network(vst.SparseTensor(torch.from_numpy(feats), coords)), target)
    expected = criterion(reference.logits(feats), target)
    assert abs(found.item() - expected.item()) < 1e-5
    found.backward()
    expected.backward()
    expect_gradients(network, reference)


def test_running_statistics_follow_the_rows(random):
    coords, feats = scan(random)
    network = vst.MinkUNet(width=0.125, classes=3)
    assert network.tensor("stem.1.running_mean").abs().max() == 0
    x = vst.SparseTensor(torch.from_numpy(feats), coords)
    network(x)
    rows = vst.conv3d(x, network.tensor("stem.0.kernel")).feats.detach().double()
    mean, var = network.tensor("stem.1.running_mean").double(), network.tensor("stem.1.running_var").double()
    torch.testing.assert_close(mean, 0.1 * rows.mean(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(var, 0.9 + 0.1 * rows.var(0, unbiased=True), rtol=1e-5, atol=1e-6)


def test_a_model_keeps_its_weights(random):
    network, x = trained("minkunet", random)
    model = network.to_model()
    before = {name: values.copy() for name, values in model.parameters().items()}
    with torch.no_grad():
        for p in network.parameters():
            p.add_(1)
    assert all((model.parameters()[name] == values).all() for name, values in before.items())


def test_copies_are_of_their_own(random):
    network, x = trained("minkunet", random)
    network.tensor("classifier.0.bias").requires_grad_(False)
    again = copy.deepcopy(network)
    assert not again.training and not again.tensor("classifier.0.bias").requires_grad
    assert torch.equal(again(x), network(x))
    with torch.no_grad():
        again.tensor("classifier.0.weight").add_(1)
    assert not torch.equal(again(x), network(x))


def test_two_batches_in_one_tensor(random):
    network, x = trained("minkunet", random)
    coords, feats = scan(random, 900)
    coords[:, 0] = 1
    other = vst.SparseTensor(torch.from_numpy(feats), coords)
    both = vst.SparseTensor(torch.cat([x.feats, other.feats]), torch.cat([x.coords, other.coords]))
    torch.testing.assert_close(network(both), torch.cat([network(x), network(other)]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("arch", NETWORKS)
def test_the_same_bits_for_any_number_of_threads(random, arch):
    coords, feats = scan(random, 4000, 40)

    def gradients(threads):
        vs.set_num_threads(threads)
        network = NETWORKS[arch](width=0.125, classes=7, seed=4)
        network(vst.SparseTensor(torch.from_numpy(feats), coords)).pow(2).mean().backward()
        return {name: p.grad for name, p in network.named_parameters()}

    torch.set_num_threads(1)
    one, two = gradients(1), gradients(2)
    assert all(torch.equal(one[name], two[name]) for name in one)


# Video

SHIFTS = {"online": OneDirection, "offline": Bidirectional, None: lambda: lambda name, x: x}


def frames_of(pixels):
    return normalized(pixels).permute(0, 2, 3, 1).contiguous()


@pytest.mark.parametrize("shift", SHIFTS)
def test_logits_of_video_are_those_of_the_runtime(shift):
    network = vst.TSMMobileNetV2(width=0.25, classes=5, seed=2, shift=shift)
    pixels = vs.synth_video(1, frames=3, panning_camera=True)[0]
    frames = frames_of(pixels)
    network(frames[:, ::4, ::4].contiguous(), 3)
    with torch.no_grad():
        logits = network.eval()(frames, 3).numpy()
    assert logits.std() > 1e-4
    assert oracle.relative_error(network.to_model().recognize_frames(pixels), logits) < 1e-4


@pytest.mark.parametrize("shift", SHIFTS)
def test_gradients_of_a_video_network(random, shift):
    network = vst.TSMMobileNetV2(width=0.5, classes=5, seed=2, shift=shift)
    reference = on_batch_statistics(TsmMobileNetV2)(network.model.parameters(), SHIFTS[shift]())
    for name, _ in network.named_parameters():
        reference.parameters[name].requires_grad_()
    frames = torch.from_numpy(random.standard_normal((6, 64, 64, 3)).astype(np.float32))
    target = torch.from_numpy(random.integers(0, 5, 6))
    criterion = torch.nn.functional.cross_entropy
    found = criterion(network(frames, 6), target)
    expected = criterion(reference.forward(frames.permute(0, 3, 1, 2).double()), target)
    assert abs(found.item() - expected.item()) < 1e-4
    found.backward()
    expected.backward()
    expect_gradients(network, reference)


def test_clips_do_not_see_each_other(random):
    network = vst.TSMMobileNetV2(width=0.25, classes=5, shift="offline").eval()
    frames = torch.from_numpy(random.standard_normal((6, 32, 32, 3)).astype(np.float32))
    with torch.no_grad():
        both, parts = network(frames, 3), torch.cat([network(frames[:3], 3), network(frames[3:], 3)])
    torch.testing.assert_close(both, parts, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"\[Network\] expects \[clips \* 4, H, W, C\]"):
        network(frames, 4)


# Files


def logits_of(path, x):
    return vs.Model.load(path).forward(vs.SparseTensor(x.coordinates, x.feats.detach().numpy()))


@pytest.mark.parametrize("arch", NETWORKS)
def test_saved_and_loaded(random, tmp_path, arch):
    network, x = trained(arch, random)
    path = tmp_path / "model.safetensors"
    vst.save(network, path)
    again = vst.load(path).eval()
    assert again.state_dict().keys() == network.state_dict().keys()
    assert torch.equal(again(x), network(x))
    assert oracle.relative_error(logits_of(path, x), network(x).detach().numpy()) < 1e-5


def test_saved_as_halves(random, tmp_path):
    network, x = trained("minkunet", random)
    whole, half, again = (tmp_path / f"{name}.safetensors" for name in ("whole", "half", "again"))
    vst.save(network, whole)
    vst.save(network, half, half=True)
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    loaded = vst.load(half).eval()
    for name, values in loaded.state_dict().items():
        assert torch.equal(values, network.state_dict()[name].half().float()), name
    vst.save(loaded, again, half=True)
    assert again.read_bytes() == half.read_bytes()
    assert oracle.relative_error(logits_of(half, x), loaded(x).detach().numpy()) < 1e-5


def test_an_old_file_stays(random, tmp_path):
    network, _ = trained("minkunet", random)
    path = tmp_path / "model.safetensors"
    vst.save(network, path)
    before = path.read_bytes()
    with torch.no_grad():
        network.tensor("classifier.0.bias").fill_(1e6)
    with pytest.raises(ValueError, match="beyond f16"):
        vst.save(network, path, half=True)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError, match="cannot be written"):
        vst.save(network, tmp_path / "none" / "model.safetensors")
    with pytest.raises(OSError):
        vst.load(tmp_path / "none.safetensors")


def test_classes_and_profile(random, tmp_path):
    network = vst.MinkUNet(width=0.125, classes=2)
    path = tmp_path / "model.safetensors"
    profile = {**network.model.profile, "name": "mine", "voxel_size": 0.25, "range": ((-9, -9, -9), (9, 9, 9))}
    vst.save(network, path, classes=[("ground", 40, (1, 2, 3)), ("rest", 99, (4, 5, 6))], profile=profile)
    model = vs.Model.load(path)
    assert [(c.name, c.raw_id, c.rgb) for c in model.classes] == [("ground", 40, (1, 2, 3)), ("rest", 99, (4, 5, 6))]
    assert model.profile == {**profile, "range": ([-9, -9, -9], [9, 9, 9])}
    assert model.arch == "minkunet"
    with pytest.raises(ValueError, match="2 logits"):
        vst.save(network, path, classes=3)
    with pytest.raises(ValueError, match="profile"):
        vst.save(network, path, profile="none")


# Modules that are no Network


class Residual(torch.nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.conv1 = vst.Conv3d(cin, cout, 3)
        self.norm1 = vst.BatchNorm(cout)
        self.relu = vst.ReLU(True)
        self.conv2 = vst.Conv3d(cout, cout, (3, 3, 1), bias=True)
        self.norm2 = vst.BatchNorm(cout, activation="relu")
        self.shortcut = vst.Conv3d(cin, cout, 1)

    def forward(self, x):
        return self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))), self.shortcut(x))


class Custom(torch.nn.Module):
    """Every operation that a recording knows; a layer that is used twice and one that is not used."""

    def __init__(self):
        super().__init__()
        self.first = Residual(4, 8)
        self.down = torch.nn.Sequential(vst.Conv3d(8, 16, 2, 2), vst.BatchNorm(16), vst.LeakyReLU(0.2))
        self.deep = Residual(16, 16)
        self.up = vst.ConvTranspose3d(16, 8, 2, 2)
        self.head = torch.nn.Sequential(
            torch.nn.Linear(24, 12), torch.nn.BatchNorm1d(12, eps=1e-3), torch.nn.ReLU6(True), torch.nn.Dropout()
        )
        self.twice = vst.Linear(12, 12)
        self.last = vst.Linear(12, 5)
        self.unused = vst.Linear(5, 5)

    def forward(self, x):
        fine = self.first(x)
        coarse = self.deep(self.down(fine))
        up = self.up(coarse)
        points = vst.devoxelize(coarse, fine) + vst.devoxelize(coarse.with_feats(coarse.feats.sigmoid()), fine)
        back = vst.voxelize(fine, coarse)
        points = points + vst.devoxelize(vst.cat([back, back]), fine)
        y = torch.cat([torch.relu(up.feats), fine.feats, points.feats[:, 3:11]], dim=1)
        y = self.twice(torch.nn.functional.leaky_relu(self.twice(self.head(y)).detach()))
        return x.with_feats(self.last(y))


def test_a_module_of_layers_as_a_file(random, tmp_path):
    torch.manual_seed(3)
    module, path = Custom(), tmp_path / "model.safetensors"
    coords, feats = scan(random)
    x = vst.SparseTensor(torch.from_numpy(feats), coords)
    for _ in range(3):
        module(x)
    vst.save(module, path, example=x)
    assert module.training
    module.eval()
    coords, feats = scan(random, 2500, 40)
    x = vst.SparseTensor(torch.from_numpy(feats), coords)
    expected = module(x).feats.detach().numpy()
    assert oracle.relative_error(logits_of(path, x), expected) < 1e-5
    network = vst.load(path).eval()
    assert oracle.relative_error(network(x).detach().numpy(), expected) < 1e-5
    assert network(x).requires_grad
    state = module.state_dict()
    used = {name for name in state if not name.startswith("unused") and not name.endswith("num_batches_tracked")}
    assert set(network.state_dict()) == used
    assert all(torch.equal(values, state[name]) for name, values in network.state_dict().items())
    names = [node["name"] for node in network.model.graph["nodes"]]
    assert {"first.conv1", "first.norm2.relu", "down.2", "head.1", "twice", "last"} <= set(names)


class Then(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.conv, self.function = vst.Conv3d(4, 5, 3), function

    def forward(self, x):
        return self.function(self.conv(x))


def changed_unseen(y):
    y.feats.numpy()[:] += 1
    return y


REFUSED = {
    "erf": lambda y: y.with_feats(torch.erf(y.feats)),
    r"mul \(with constants that differ": lambda y: y.with_feats(y.feats * torch.arange(len(y))[:, None]),
    "exp_": lambda y: y.with_feats(y.feats.exp_()),
    "changed in place": lambda y: y.feats.__setitem__(0, 1.0) or y,
    "sort": lambda y: y.with_feats(torch.sort(y.feats, 0)[0]),
    "interpolate": lambda y: y.with_feats(vst.devoxelize(y, y.coords.float()[:, :4])),
    "batch_norm in training mode": lambda y: vst.BatchNorm(5).train()(y),
    "no operation of the network": lambda y: y.with_feats(torch.zeros(len(y), 5)),
    "weight .*of its input": lambda y: y.with_feats(vst.linear(y.feats, y.feats[:5])),
    "gives str": lambda y: "logits",
    "other logits": changed_unseen,
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_a_file_cannot_hold(random, tmp_path, message):
    coords, feats = scan(random, 200)
    x = vst.SparseTensor(torch.from_numpy(feats), coords)
    with pytest.raises(ValueError, match=rf"^\[save\] .*{message}"):
        vst.save(Then(REFUSED[message]), tmp_path / "model.safetensors", example=x)
    assert list(tmp_path.iterdir()) == []


def test_a_module_needs_an_example(tmp_path):
    with pytest.raises(ValueError, match=r"\[save\] a module that is no Network needs example="):
        vst.save(Custom(), tmp_path / "model.safetensors")
