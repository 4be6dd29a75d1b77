"""Fake quantisation: rounding, gradients, which values are i8, and forward passes against i8 models in plain loops."""

import copy

import numpy as np
import pytest
import voxshift as vs
import voxshift.torch as vst
from i8_oracle import Network as I8Network
from i8_oracle import to_i8
from sparse_torch import torch
from torch_network_test import frames_of, scan
from voxshift.torch.fake_quantization import _Whole, range_of, whole_weight


def network_of(graph_nodes, parameters, channels=3, outputs=None):
    graph = {"input": "voxels", "in_channels": channels, "dims": 3, "nodes": graph_nodes}
    graph["outputs"] = outputs or [graph_nodes[-1]["name"]]
    return vst.Network(vs.Model.from_graph(graph, parameters, None, 0))


def node(op, name, *inputs, **rest):
    return {"op": op, "name": name, "inputs": list(inputs), **rest}


def linear(name, x, weight):
    return node("linear", name, x, parameters={"weight": weight})


@pytest.fixture
def unet(random):
    network, (coords, feats) = vst.MinkUNet(width=1 / 16, classes=7, seed=4), scan(random)
    x = vst.SparseTensor(torch.from_numpy(feats), coords)
    with torch.no_grad():
        for _ in range(30):  # until the statistics are those of x
            network(x)
    quantized = vst.prepare_qat(network.eval())
    with quantized.calibrate():
        quantized(x)
    return quantized, x, network


@pytest.fixture
def tsm(random):
    network = vst.TSMMobileNetV2(width=0.25, classes=5, seed=2, shift_div=4)
    frames = frames_of(vs.synth_video(1, frames=3, height=64, width=64, panning_camera=True)[0])
    network(frames, 3)
    quantized = vst.prepare_qat(network.eval())
    with quantized.calibrate():
        quantized(frames, 3)
    return quantized, frames, network


# Rounding


@pytest.mark.parametrize("scale", [1.0, 0.25, 0.0173])
def test_rounding_is_to_nearest_even_and_stops_at_127(random, scale):
    halves, ends = np.arange(-300, 300) / 2, [np.inf, -np.inf]
    x = (np.concatenate([halves, random.standard_normal(999) * 60, ends]) * scale).astype(np.float32)
    log_scale = torch.tensor([np.log(scale)], dtype=torch.float32)
    inverse = 1 / log_scale.exp()
    found = _Whole.apply(torch.from_numpy(x)[:, None], log_scale, inverse)
    np.testing.assert_array_equal(found[:, 0].numpy(), to_i8(x, log_scale.exp().numpy()))
    assert found.abs().max() == 127
    if scale == 1:
        assert found[[301, 303, 305, 299]].flatten().tolist() == [0, 2, 2, 0]  # 0.5, 1.5, 2.5, -0.5


def test_the_gradient_passes_roundings_and_stops_at_the_ends():
    x = torch.tensor([[0.3], [-0.6], [9.0], [-9.0]], requires_grad=True)
    log_scale = torch.tensor([np.log(0.05)], dtype=torch.float32, requires_grad=True)
    real = _Whole.apply(x, log_scale, 1 / log_scale.detach().exp()) * log_scale.exp()
    real.sum().backward()
    assert torch.allclose(x.grad, torch.tensor([[1.0], [1], [0], [0]]))
    # Of LSQ: round(v) - v with v = x / scale inside, +-127 outside; times the scale, whose logarithm it is.
    expected = 0.05 * ((6 - 6) + (-12 + 12) + 127 - 127)
    assert abs(log_scale.grad.item() - expected) < 1e-4
    log_scale.grad = None
    x = torch.tensor([[0.33], [9.0]])
    (_Whole.apply(x, log_scale, 1 / log_scale.detach().exp()) * log_scale.exp()).sum().backward()
    assert abs(log_scale.grad.item() - 0.05 * (7 - 6.6 + 127)) < 1e-4


@pytest.mark.parametrize("shape, axis", [((27, 5, 7), -1), ((5, 7), -1), ((7, 5), 0), ((7, 5, 3, 3), 0), ((7, 1, 3, 3), 0)])
def test_weights_are_symmetric_per_output_channel(random, shape, axis):
    weight = torch.from_numpy(random.standard_normal(shape).astype(np.float32))
    weight.select(axis, 2).zero_()
    whole, multiplier = whole_weight(weight.requires_grad_(), axis)
    assert multiplier.shape == (7,) and multiplier[2] == 1
    for o in range(7):
        channel, of = weight.select(axis, o).detach(), whole.select(axis, o).detach()
        assert of.abs().max() == (0 if o == 2 else 127)
        assert (of == of.round()).all()
        assert (of * multiplier[o] - channel).abs().max() <= 0.5001 * multiplier[o]
    whole.sum().backward()
    assert torch.allclose(weight.grad.select(axis, 1), 1 / multiplier[1])


def test_ranges_lose_least(random):
    rows = torch.from_numpy(random.standard_normal((4000, 3)).astype(np.float32)) * torch.tensor([1.0, 30, 0])
    rows[7, 1] = 900

    def loss(of, scale):
        return ((of / scale).round().clamp(-127, 127) * scale - of).square().sum().item()

    scales = range_of(rows, True)
    assert scales[2] == scales[:2].max() and scales[0] < 0.06
    for channel in range(2):
        found = loss(rows[:, channel], scales[channel])
        for factor in np.linspace(0.05, 1, 96):
            assert found <= 1.1 * loss(rows[:, channel], rows[:, channel].abs().max() * factor / 127)
    one = range_of(rows, False)
    assert one.shape == (1,) and loss(rows, one) <= 1.1 * loss(rows, rows.abs().max() / 127)
    assert range_of(torch.zeros(5, 2), True).tolist() == [1, 1]
    assert range_of(torch.zeros(0, 2), True).tolist() == [1, 1]
    with pytest.raises(ValueError, match=r"\[calibrate\] values expect finite numbers"):
        range_of(torch.tensor([[1.0], [float("nan")]]), False)


# What is i8


def test_what_of_a_unet_is_i8(unet):
    choice = unet[0].choice
    products = [n["name"] for n in choice.nodes if n["op"] in ("conv", "conv_transpose", "linear")]
    assert set(products) - choice.products == {"stem.0"}  # it reads the input
    assert not any(n["op"] == "batch_norm" for n in choice.nodes)
    assert not choice.per_channel
    assert "classifier.0" not in choice.scales and "input" not in choice.scales
    assert "stem.0" not in choice.scales and choice.scales["stem.1.relu"] == "stem.1.relu"
    assert choice.scales["up1.cat"] == ("up1.0.net.1.relu", "stage3.2.relu")
    # Of a sum the product with more taps is not kept, the other is.
    assert "stage2.1.downsample.0" in choice.scales and "stage2.1.net.3" not in choice.scales


def test_what_of_a_video_network_is_i8(tsm):
    choice = tsm[0].choice
    products = [n["name"] for n in choice.nodes if n["op"] in ("conv2d", "linear")]
    assert set(products) - choice.products == {"features.0.0", "classifier"}
    assert choice.scales["features.3.shift"] == "features.2.conv.6"
    around = {f"features.{i}.conv.{j}" for i in range(2, 18) for j in (2, 5)} | {"features.0.2", "features.1.conv.2"}
    assert choice.per_channel == around
    assert tsm[0].scale("features.4.conv.2").shape == (tsm[0].tensor("features.4.conv.0.weight").shape[0],)


def test_products_are_kept(unet):
    kept = ("classifier.0", "stage1.1.net.3")
    quantized = vst.prepare_qat(unet[2], keep=kept)
    assert unet[0].choice.products - quantized.choice.products == set(kept)
    assert "up4.1.1.relu" not in quantized.choice.scales  # nothing else reads it
    with pytest.raises(ValueError, match=r'\[prepare_qat\] keep names "classifier", which is no product'):
        vst.prepare_qat(unet[2], keep=["classifier"])


def test_a_norm_that_follows_no_product_stays(random):
    norm = {role: role for role in ("weight", "bias", "running_mean", "running_var")}
    nodes = [node("relu", "relu", "input"), node("batch_norm", "norm", "relu", parameters=norm), linear("end", "norm", "w")]
    parameters = {name: np.abs(random.standard_normal(3)).astype(np.float32) for name in norm}
    network = network_of(nodes, {**parameters, "w": random.standard_normal((4, 3)).astype(np.float32)}).train()
    coords = np.insert(np.arange(27).reshape(9, 3), 0, 0, 1).astype(np.int32)
    quantized, x = vst.prepare_qat(network), vst.SparseTensor(torch.rand(9, 3), coords)
    before = {name: tensor.clone() for name, tensor in quantized.state_dict().items() if "running" in name}
    with quantized.calibrate():
        torch.testing.assert_close(quantized.train()(x), network.eval()(x))
    quantized(x)
    assert all(torch.equal(quantized.state_dict()[name], tensor) for name, tensor in before.items())
    assert quantized.choice.products == {"end"} and set(quantized.choice.scales) == {"norm"}


# Forward and backward


def test_without_rounding_it_is_the_network(unet, tsm):
    for quantized, x, network in (unet, tsm):
        more = (3,) if network is tsm[2] else ()
        with quantized.calibrate(), torch.no_grad():
            torch.testing.assert_close(quantized(x, *more), network.eval()(x, *more), rtol=1e-4, atol=1e-4)


def first_value(quantized, x, *more):
    """What the first product, which is float32, gives."""
    seen = {}
    observe, quantized._quantized = quantized._quantized, lambda name, value: observe(name, seen.setdefault(name, value))
    quantized(x, *more)
    del quantized._quantized
    name, value = next(iter(seen.items()))
    return {name: value.feats.detach().numpy() if not more else value.images.detach().numpy()}


def test_a_unet_computes_what_its_i8_model_does(unet):
    quantized, x, network = unet
    logits = quantized(x).detach().numpy()
    graph, parameters = quantized._i8_graph()
    values = I8Network(graph, parameters, first_value(quantized, x), x.coords.numpy()).run_after("stem.1.relu")
    np.testing.assert_array_equal(logits, values["classifier.0"])
    assert 0 < np.abs(logits - network.eval()(x).detach().numpy()).max()


def test_a_video_network_computes_what_its_i8_model_does(tsm):
    quantized, frames, network = tsm
    logits = quantized(frames, 3).detach().numpy()
    graph, parameters = quantized._i8_graph()
    values = I8Network(graph, parameters, first_value(quantized, frames, 3)).run_after("features.0.2")
    # The mean of 4 pixels and the classifier are float32: of sums of n terms each rounds by at most n 2^-24 of their size.
    pooled, weight = values["avg_pool"], np.abs(parameters["classifier.weight"])
    bound = (4 + weight.shape[1]) * 2.0**-23 * (np.abs(pooled) @ weight.T + np.abs(parameters["classifier.bias"]))
    assert (np.abs(logits - values["classifier"]) <= bound).all()
    assert np.abs(logits - network.eval()(frames, 3).detach().numpy()).max() > bound.max()


def test_the_runtime_gives_the_bits_of_the_forward_pass_on_voxels(unet, tmp_path):
    quantized, x, _ = unet
    expected, given = quantized(x).detach().numpy(), vs.SparseTensor(x.coordinates, x.feats.numpy())
    vst.save(quantized, tmp_path / "i8.safetensors")
    for threads in (1, 2):
        model = vs.Model.load(tmp_path / "i8.safetensors", threads=threads)
        assert model.dtype == "i8"
        np.testing.assert_array_equal(model.forward(given), expected)
    np.testing.assert_array_equal(quantized.to_model().forward(given), expected)


def test_the_runtime_gives_the_forward_pass_on_frames(tsm):
    """The same whole numbers; the mean of pixels and the classifier are float32, summed in other orders."""
    quantized, frames, _ = tsm
    found = quantized.to_model().forward(frames.numpy())
    expected = quantized(torch.cat([frames, frames.flip(0)]), 3)[:3].detach().numpy()
    weight, bias = (quantized.tensor(f"classifier.{role}").detach().numpy() for role in ("weight", "bias"))
    bound = (4 + weight.shape[1]) * 2.0**-23 * (6 * np.abs(weight).sum(axis=1) + np.abs(bias))
    assert (np.abs(found - expected) <= bound).all()


@pytest.mark.parametrize("arch", ["unet", "tsm"])
def test_gradients_without_rounding_are_those_of_the_network(request, monkeypatch, arch):
    quantized, x, network = request.getfixturevalue(arch)
    more = () if arch == "unet" else (3,)
    monkeypatch.setattr(torch.Tensor, "round", lambda x: x)
    monkeypatch.setattr(torch.Tensor, "round_", lambda x: x)
    with torch.no_grad():
        for value in quantized.choice.ranged:
            quantized.tensor(f"{value}.log_scale").add_(3.0)  # nothing is clipped
    for net in (network.eval(), quantized.train()):
        logits = net(x, *more)
        torch.nn.functional.cross_entropy(logits, torch.arange(len(logits)) % logits.shape[1]).backward()
    found = dict(quantized.named_parameters())
    errors = [((found[n].grad - p.grad).norm() / (p.grad.norm() + 1e-5)).item() for n, p in network.named_parameters()]
    assert np.median(errors) < 1e-3 and max(errors) < 0.05  # activations near 0 may fall on the other side


def test_ranges_have_gradients(unet):
    quantized, x, _ = unet
    torch.nn.functional.cross_entropy(quantized(x), torch.arange(len(x)) % 7).backward()
    grads = [quantized.tensor(f"{value}.log_scale").grad for value in quantized.choice.ranged]
    assert all(torch.isfinite(grad).all() and grad.abs().sum() > 0 for grad in grads)


def test_training_wins_back_what_coarse_scales_lose(unet):
    quantized, x, network = unet
    with torch.no_grad():
        target = network.eval()(x)
        for value in quantized.choice.ranged:
            quantized.tensor(f"{value}.log_scale").add_(2.0)  # seven times too coarse

    scales = [quantized.tensor(f"{value}.log_scale") for value in quantized.choice.ranged]
    optimizer, losses = torch.optim.Adam(scales, lr=0.15), []
    for _ in range(15):
        loss = (quantized(x) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_statistics_are_frozen(unet):
    quantized, x, _ = unet
    before = copy.deepcopy(quantized.state_dict())
    quantized.train()(x)
    assert all(torch.equal(tensor, before[name]) for name, tensor in quantized.state_dict().items())


def test_the_same_bits_for_any_number_of_threads(unet):
    quantized, x, _ = unet

    def gradients(threads):
        vs.set_num_threads(threads)
        quantized.zero_grad()
        quantized(x).pow(2).mean().backward()
        return {name: p.grad.clone() for name, p in quantized.named_parameters()}

    torch.set_num_threads(1)
    one, two = gradients(1), gradients(2)
    assert all(torch.equal(one[name], two[name]) for name in one)


# State and errors


def test_state_dict_holds_scales(unet):
    quantized, x, network = unet
    scales = {name for name in quantized.state_dict() if name.endswith(".log_scale")}
    assert set(quantized.state_dict()) - scales == set(network.state_dict())
    again = vst.prepare_qat(network)
    again.load_state_dict(quantized.state_dict())
    assert torch.equal(again(x), quantized(x))
    assert torch.equal(copy.deepcopy(quantized)(x), quantized(x))


def test_scales_must_be_found_first(unet):
    quantized = vst.prepare_qat(unet[2])
    for act in (lambda: quantized(unet[1]), quantized.to_model):
        with pytest.raises(ValueError, match=r'\[Network\] the value "stem.1.relu" has no scale yet'):
            act()
    with pytest.raises(ValueError, match=r"\[calibrate\] expects inputs"), quantized.calibrate():
        pass
    assert quantized._observed is None


def test_bad_data_leave_scales_as_they_were(unet):
    quantized, x, _ = unet
    before = copy.deepcopy(quantized.state_dict())
    with pytest.raises(ValueError, match=r"\[calibrate\] values expect finite numbers"), quantized.calibrate():
        quantized(x.with_feats(x.feats * torch.inf))
    assert all(torch.equal(tensor, before[name]) for name, tensor in quantized.state_dict().items())
    quantized(x)
