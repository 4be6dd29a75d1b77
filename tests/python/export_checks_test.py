"""What export refuses and finds out: operations without an op, constants of the example, and files that are not
written.
"""

import numpy as np
import pytest
import voxshift as vs
import voxshift.torch as vst
from sparse_torch import torch
from torch import nn
from torch.nn import functional
from voxshift.torch.recording.examples import second
from voxshift.torch.recording.record import record


class Then(nn.Module):
    """A convolution named first, a function of its result, and a layer named last.linear."""

    def __init__(self, function):
        super().__init__()
        self.first = vst.Conv3d(4, 6, 3)
        self.function = function
        self.last = nn.Module()
        self.last.linear = vst.Linear(6, 3)

    def forward(self, x):
        return self.last.linear(self.function(self.first(x)))


def scan(random, rows=200):
    coords = np.unique(random.integers(0, 9, (rows, 4)) * (0, 1, 1, 1), axis=0).astype(np.int32)
    return vst.SparseTensor(torch.from_numpy(random.standard_normal((len(coords), 4)).astype(np.float32)), coords)


def on(function):
    return lambda y: y.with_feats(function(y.feats))


REFUSED = {
    r"linear in last.linear takes the result of erf, which a model file has no op for": on(torch.erf),
    r"the result of cumsum": on(lambda f: f.cumsum(0)),
    r"the result of softmax \(along what are not the channels\)": on(lambda f: f.softmax(0)),
    r"the result of mul \(with constants that differ": on(lambda f: f * torch.arange(len(f))[:, None]),
    r"the result of argsort": on(lambda f: f[f[:, 0].argsort()]),
    r"the result of __getitem__ \(of a part": on(lambda f: torch.cat([f[:5], f[5:]])),
    r"__getitem__ \(of all rows in another order; .* `voxshift convert`\)": on(lambda f: f[torch.arange(len(f)).flip(0), :]),
    r"__getitem__ \(of rows by tables of indices; .* `voxshift convert`\)": on(lambda f: f[_tables(f)]),
    r"the result of double": on(lambda f: f.double().float()),
    r"the result of dropout \(in training mode\)": on(lambda f: functional.dropout(f, 0.5, True)),
    r"the result of group_norm": on(lambda f: functional.group_norm(f, 2)),
    r"changed in place": on(lambda f: f.__setitem__((slice(None), 0), 1.0) or f),
    r"no operation of the network gives": on(lambda f: torch.zeros(len(f), 6)),
    r"up to .* apart at last.linear \(first at first\)": on(lambda f: _scaled_unseen(f)),
}


def _tables(feats):
    return torch.arange(len(feats))[:, None], torch.arange(6)[None]


def _scaled_unseen(feats):
    feats.numpy()[:] *= 2
    return feats


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_recorded_is_named(random, tmp_path, message):
    with pytest.raises(ValueError, match=rf"^\[export\] .*({message})"):
        vst.export(Then(REFUSED[message]), scan(random), tmp_path / "net.safetensors")
    assert list(tmp_path.iterdir()) == []


FROM_THE_EXAMPLE = {
    "a count of rows": on(lambda f: f * (100 / len(f))),
    "a mean of coordinates": lambda y: y.with_feats(y.feats * float(y.coords[:, 1:].float().mean())),
    "a mean over all batches": on(lambda f: f - f.mean(0, keepdim=True)),
    "a branch": lambda y: y.with_feats(y.feats.relu() if len(y) > 150 else y.feats.sigmoid()),
    "a number of features": on(lambda f: f * float(f.detach().abs().max())),
}


@pytest.mark.parametrize("what", FROM_THE_EXAMPLE)
def test_constants_of_the_example_are_found_out(random, tmp_path, what):
    module, x, path = Then(FROM_THE_EXAMPLE[what]), scan(random), tmp_path / "net.safetensors"
    with pytest.raises(ValueError, match=r"^\[export\] on another example the recorded graph gives other numbers"):
        vst.export(module, x, path)
    assert list(tmp_path.iterdir()) == []
    vst.export(module, x, path, check=False)
    assert path.exists()


def test_what_the_other_run_did_is_told(random):
    module = Then(FROM_THE_EXAMPLE["a branch"])
    with pytest.raises(ValueError) as error:
        vst.export(module, scan(random))
    assert str(error.value).endswith("; on it relu has name sigmoid, on the first relu")


def test_an_example_of_ones_own_as_the_second(random):
    module, x = Then(FROM_THE_EXAMPLE["a mean over all batches"]), scan(random)
    vst.export(module, x, check=scan(random, 80))
    with pytest.raises(ValueError, match="on another example"):
        vst.export(Then(FROM_THE_EXAMPLE["a count of rows"]), x, check=scan(random, 80))


def test_the_second_example():
    coords = torch.tensor([[0, 3, 1], [0, 1, 2], [0, 2, 2], [0, 2, 3], [1, 0, 0], [1, 5, 5]])
    feats = torch.arange(6.0)[:, None]
    made = second({"coords": coords.float(), "feats": feats, "batch_size": 2, "names": ["a"], "limit": 7})
    # Every second row, and from the second on every third one as another batch.
    assert made["feats"].flatten().tolist() == [0, 2, 1, 4, 4]
    assert made["coords"].tolist() == [[0, 3, 1], [0, 2, 2], [1, 1, 2], [2, 0, 0], [3, 0, 0]]
    assert (made["batch_size"], made["names"], made["limit"]) == (4, ["a"], 7)
    pointcept = second({"grid_coord": coords[:, 1:] * 9, "feat": feats, "offset": torch.tensor([4, 6])})
    assert pointcept["offset"].tolist() == [2, 3, 4, 5] and pointcept["feat"].flatten().tolist() == [0, 2, 1, 4, 4]
    sparse = vst.SparseTensor(feats, coords.int(), 2, (8, 8))
    again = second((sparse, 3))[0]
    assert (len(again), again.stride, again.coordinates.shape) == (5, (2, 2), (8, 8))
    images = second(torch.arange(4.0).reshape(1, 1, 2, 2))
    assert images.tolist() == [[[[0, 0.5], [1, 1.5]]], [[[1, 0], [3, 2]]]]


def test_half_and_labels(random, tmp_path):
    module, x = Then(on(torch.relu)), scan(random)
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    classes = [("a", 1, (0, 0, 0)), ("b", 2, (1, 1, 1)), ("c", 3, (2, 2, 2))]
    model = vst.export(module, x, whole, classes=classes, profile="spvnas")
    assert [c.name for c in model.classes] == ["a", "b", "c"] and model.profile["name"] == "spvnas"
    vst.export(module, x, half, half=True)
    assert half.stat().st_size < 0.7 * whole.stat().st_size
    with pytest.raises(ValueError, match="3 logits"):
        vst.export(module, x, whole, classes=7, profile="spvnas")


def test_modules_are_left_as_they_were(random):
    module, x = Then(on(torch.relu)).train(), scan(random)
    module.last.eval()
    getitem = torch.Tensor.__getitem__
    vst.export(module, x)
    assert (module.training, module.first.training, module.last.training) == (True, True, False)
    assert torch.Tensor.__getitem__ is getitem and not any(part._forward_hooks for part in module.modules())
    with pytest.raises(ValueError, match="the result of erf"):
        vst.export(Then(on(torch.erf)), x)
    assert torch.Tensor.__getitem__ is getitem
    vst.export(module, x)


@pytest.mark.parametrize(
    "result, message",
    [
        (lambda self, x: "logits", r"the module gives str, expected"),
        (lambda self, x: x, r"the module gives \w+, expected|gives an input as it is"),
        (lambda self, x: x.feats * 1, r"gives an input as it is"),
        (lambda self, x: (self.first(x), x.coords.float() * 2), r"the module gives as 1 a tensor that no operation"),
        (lambda self, x: torch.zeros(3), r"a tensor that no operation"),
    ],
)
def test_results_that_no_network_has(random, result, message):
    class Odd(Then):
        forward = result

    with pytest.raises(ValueError, match=rf"^\[export\] .*({message})"):
        vst.export(Odd(None), scan(random))


def test_a_layer_used_twice_and_weights_made_of_others(random):
    class Made(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.scale = nn.Linear(4, 4), nn.Parameter(torch.rand(4, 1))

        def forward(self, x):
            y = functional.linear(self.linear(self.linear(x.feats)), self.linear.weight * self.scale)
            return y + self.linear.bias

    x, module = scan(random), Made()
    model = vst.export(module, x)
    found = model.run(vs.SparseTensor(x.coordinates, x.feats.numpy()))
    np.testing.assert_allclose(found["batch_norm"][0], module(x).detach().numpy(), atol=1e-5)
    assert {"linear.weight", "linear.bias"} < set(model.parameters())
    assert [node["op"] for node in model.graph["nodes"]] == ["linear"] * 3 + ["batch_norm"]


class Shifted(nn.Module):
    """TSM's shift, as its authors write it, as mmaction2 does, and in one direction."""

    def __init__(self, style, frames=4):
        super().__init__()
        self.style, self.frames = style, frames
        self.first, self.last = nn.Conv2d(3, 9, 3, padding=1), nn.Conv2d(9, 2, 1)

    def forward(self, x):
        x = self.first(x)
        return self.last(getattr(self, self.style)(x, len(x), *x.shape[1:]))

    def zeros(self, x, n, c, h, w):
        x, fold = x.view(n // self.frames, self.frames, c, h, w), c // 4
        out = torch.zeros_like(x)
        out[:, :-1, :fold] = x[:, 1:, :fold]
        out[:, 1:, fold : 2 * fold] = x[:, :-1, fold : 2 * fold]
        out[:, :, 2 * fold :] = x[:, :, 2 * fold :]
        return out.view(n, c, h, w)

    def splits(self, x, n, c, h, w):
        x, fold = x.view(-1, self.frames, c, h * w), c // 4
        left, mid, right = x[:, :, :fold, :], x[:, :, fold : 2 * fold, :], x[:, :, 2 * fold :, :]
        blank = (left - left)[:, :1, :, :]
        left = torch.cat((left[:, 1:, :, :], blank), 1)
        blank = (mid - mid)[:, :1, :, :]
        mid = torch.cat((blank, mid[:, :-1, :, :]), 1)
        return torch.cat((left, mid, right), 2).view(n, c, h, w)

    def online(self, x, n, c, h, w):
        x = x.view(-1, self.frames, c, h, w)
        out = torch.zeros_like(x)
        out[:, 1:, : c // 3] = x[:, :-1, : c // 3]
        out[:, :, c // 3 :] = x[:, :, c // 3 :]
        return out.view(n, c, h, w)

    def gap(self, x, n, c, h, w):
        x = x.view(-1, self.frames, c, h, w)
        out = torch.zeros_like(x)
        out[:, 2:, :3] = x[:, :-2, :3]
        out[:, :, 3:] = x[:, :, 3:]
        return out.view(n, c, h, w)

    def part(self, x, n, c, h, w):
        x = x.view(-1, self.frames, c, h, w)
        out = torch.zeros_like(x)
        out[:, 1:2, :3] = x[:, :1, :3]
        out[:, :, 3:] = x[:, :, 3:]
        return out.view(n, c, h, w)


@pytest.mark.parametrize("style", ["zeros", "splits", "online"])
@pytest.mark.parametrize("clips", [1, 2])
def test_temporal_shifts(style, clips):
    torch.manual_seed(2)
    module, frames = Shifted(style), torch.randn(4 * clips, 3, 5, 6)
    model = vst.export(module, frames)
    assert [node["op"] for node in model.graph["nodes"]] == ["conv2d", "temporal_shift", "conv2d"]
    other = torch.randn(4, 3, 5, 6)
    found = model.run(other.permute(0, 2, 3, 1).contiguous().numpy())["last"][0]
    np.testing.assert_allclose(found, module(other).detach().permute(0, 2, 3, 1).numpy(), atol=1e-5)


def test_other_shifts_are_refused():
    for style in ("gap", "part"):
        with pytest.raises(ValueError, match=r"gives the result of __setitem__ \(of frames further away\)"):
            vst.export(Shifted(style), torch.randn(4, 3, 5, 6))


def test_nodes_are_named_after_modules_and_outputs_after_places(random):
    class Two(Then):
        def forward(self, x):
            y = self.first(x)
            return {"head": {"scores": self.last.linear(y)}, "rows": [y.feats.relu(), y]}

    recording = record(Two(None), scan(random), "export")
    assert [(node["name"], node["op"]) for node in recording.graph["nodes"]] == [
        ("rows.1", "conv"),
        ("head.scores", "linear"),
        ("rows.0", "relu"),
    ]
    assert recording.graph["outputs"] == ["head.scores", "rows.0", "rows.1"]


def test_a_network_is_written_as_it_is(tmp_path):
    network = vst.MinkUNet(width=0.125, classes=4)
    vst.export(network, path=tmp_path / "net.safetensors", profile="spvnas")
    assert vs.Model.load(tmp_path / "net.safetensors").graph == network.to_model().graph
