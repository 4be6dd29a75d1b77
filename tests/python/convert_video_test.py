"""TSM networks and networks on single images from their checkpoints."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import voxshift as vs
from library_images import cifar_resnet, slim_faces
from oracle import relative_error
from tsm_torch import Bidirectional, OneDirection, TsmMobileNetV2, TsmResNet50, torch

BLOCKS = (1, 2, 3, 4, 3, 3, 1)  # of MobileNetV2's stages


def state_of(arch, seed=3):
    """Random tensors by the names of torchvision, which the references take."""
    random, shapes = np.random.default_rng(seed), vs.Model.new(arch, width=0.35 if arch == "tsm-mobilenetv2" else 0.125, classes=9).parameters()
    state = {}
    for name, values in shapes.items():
        if values.ndim > 1:
            state[name] = random.standard_normal(values.shape) * np.sqrt(2 / np.prod(values.shape[1:]))
        else:
            state[name] = random.uniform(*((0.6, 1.4) if name.endswith("running_var") else (-0.2, 0.2)), values.shape)
            if name.endswith("weight"):
                state[name] += 1
    return {name: np.float32(values) for name, values in state.items()}


def shifted(arch):
    """Modules in front of which the shift is, by torchvision's names."""
    if arch == "tsm-resnet50":
        return {f"layer{s + 1}.{i}.conv1" for s, count in enumerate((3, 4, 6, 3)) for i in range(count)}
    return {f"features.{i}.conv.0" for i in (3, 5, 6, 8, 9, 10, 12, 13, 15, 16)}


def official(arch, name):
    """mit-han-lab's name of a tensor: wrapped, with the classifier beside the base."""
    module, role = name.rsplit(".", 1)
    if module in ("new_fc", "classifier"):
        return f"module.new_fc.{role}"
    return f"module.base_model.{module}{'.net' if module in shifted(arch) else ''}.{role}"


def mmaction2(arch, name):
    module, role = name.rsplit(".", 1)
    if module in ("new_fc", "classifier"):
        return f"cls_head.fc_cls.{role}"
    if arch == "tsm-resnet50":
        inner = re.sub(r"bn(\d)$", r"conv\1.bn", re.sub(r"conv(\d)$", r"conv\1.conv", module))
        inner = inner.replace("downsample.0", "downsample.conv").replace("downsample.1", "downsample.bn")
        return f"backbone.{inner}{'.net' if module in shifted(arch) else ''}.{role}"
    parts = module.split(".")
    feature, leaf = int(parts[1]), ("conv", "bn")[int(parts[-1]) % 3]
    if feature in (0, 18):
        return f"backbone.conv{1 if feature == 0 else 2}.{leaf}.{role}"
    stage = next(s for s in range(7) if feature <= sum(BLOCKS[: s + 1]))
    number = int(parts[-1]) // 3
    net = ".net" if f"features.{feature}.conv.0" in shifted(arch) and number == 0 else ""
    return f"backbone.layer{stage + 1}.{feature - 1 - sum(BLOCKS[:stage])}.conv.{number}{net}.{leaf}.{role}"


NAMES = {"official": official, "mmaction2": mmaction2, "bare": lambda arch, name: name}
REFERENCES = {"tsm-mobilenetv2": TsmMobileNetV2, "tsm-resnet50": TsmResNet50}


def saved(arch, style, path, **more):
    state = state_of(arch)
    stored = {NAMES[style](arch, name): torch.tensor(values) for name, values in state.items()}
    torch.save({"state_dict": {**stored, **more}, "epoch": 5} if style != "bare" else stored, path)
    return state


@pytest.mark.parametrize("arch", REFERENCES)
@pytest.mark.parametrize("style", NAMES)
def test_networks_on_video(arch, style, tmp_path):
    state = saved(arch, style, tmp_path / "ckpt.pth.tar")
    notes = []
    model = vs.convert(tmp_path / "ckpt.pth.tar", notes=notes)
    assert model.arch == arch and len(model.classes) == 9
    assert f"recognised {arch} of {'mmaction2' if style == 'mmaction2' else 'tsm'}" in notes
    pixels = vs.synth_video(1, frames=3, panning_camera=True)[0]
    shift = OneDirection() if style == "bare" else Bidirectional()  # the files of the online demo are bare
    expected = REFERENCES[arch](state, shift).logits(pixels)
    assert np.abs(np.diff(expected, axis=0)).max() > 1e-3
    assert relative_error(model.recognize_frames(pixels), expected) < 1e-4


def test_the_way_of_the_shift_can_be_asked_for(tmp_path):
    state = saved("tsm-resnet50", "official", tmp_path / "net.pth")
    pixels = vs.synth_video(1, frames=3)[0]
    for arch, shift in (("tsm-resnet50-online", OneDirection()), ("tsm-resnet50-clips", Bidirectional())):
        model = vs.convert(tmp_path / "net.pth", arch=arch)
        assert relative_error(model.recognize_frames(pixels), TsmResNet50(state, shift).logits(pixels)) < 1e-4
    with pytest.raises(ValueError, match="tsm-resnet50-online"):
        vs.convert(tmp_path / "net.pth", arch="tsm-resnet101")


def test_what_is_no_such_network(tmp_path):
    state = saved("tsm-resnet50", "official", tmp_path / "net.pth")
    path = tmp_path / "other.pth"

    def refused(change):
        stored = {official("tsm-resnet50", name): torch.tensor(values) for name, values in state.items()}
        change(stored)
        torch.save({"state_dict": stored}, path)
        with pytest.raises(ValueError) as error:
            vs.convert(path)
        assert "\n" not in str(error.value)
        return str(error.value)

    def without_shift(stored):
        for name in [name for name in stored if ".net." in name]:
            stored[name.replace(".net.", ".")] = stored.pop(name)

    assert "expected 16 layers with a temporal shift" in refused(without_shift)
    assert "module.base_model.layer1.1.nl.g.weight" in refused(lambda s: s.update({"module.base_model.layer1.1.nl.g.weight": torch.zeros(2)}))
    missing = "module.base_model.layer2.0.bn1.weight"
    assert missing in refused(lambda s: s.pop(missing))
    assert missing in refused(lambda s: s.update({missing: torch.zeros(3)}))


# Images


def random_state(shapes, seed=0):
    random, state = torch.Generator().manual_seed(seed), {}
    for name, shape in shapes.items():
        unit = torch.rand(shape, generator=random)
        fan = max(1, int(np.prod(shape[1:])))
        positive = len(shape) == 1 and name.endswith(("weight", "running_var"))
        state[name] = 0.6 + 0.8 * unit if positive else (2 * unit - 1) * (6 / fan) ** 0.5 * (1 if len(shape) > 1 else 0.05)
    return state


def norm_shapes(name, channels):
    return {f"{name}.{role}": (channels,) for role in ("weight", "bias", "running_mean", "running_var")}


def cifar_shapes(blocks, classes):
    shapes = {"conv1.weight": (16, 3, 3, 3), **norm_shapes("bn1", 16), "linear.weight": (classes, 64), "linear.bias": (classes,)}
    for stage, channels in enumerate((16, 32, 64), 1):
        for block in range(blocks):
            before = channels // 2 if stage > 1 and block == 0 else channels
            for i, inputs in ((1, before), (2, channels)):
                shapes[f"layer{stage}.{block}.conv{i}.weight"] = (channels, inputs, 3, 3)
                shapes |= norm_shapes(f"layer{stage}.{block}.bn{i}", channels)
    return shapes


def face_shapes(width, classes):
    widths = [1, 2, 2, 2, 4, 4, 4, 4, 8, 8, 8, 16, 16]
    shapes = {"base_net.0.0.weight": (width, 3, 3, 3), **norm_shapes("base_net.0.1", width)}

    def layer(name, shape):
        shapes.update({f"{name}.weight": shape, f"{name}.bias": shape[:1]})

    for i in range(1, 13):
        inputs, out = widths[i - 1] * width, widths[i] * width
        shapes[f"base_net.{i}.0.weight"], shapes[f"base_net.{i}.3.weight"] = (inputs, 1, 3, 3), (out, inputs, 1, 1)
        shapes |= norm_shapes(f"base_net.{i}.1", inputs) | norm_shapes(f"base_net.{i}.4", out)
    layer("extras.0.0", (4 * width, 16 * width, 1, 1))
    layer("extras.0.2.0", (4 * width, 1, 3, 3))
    layer("extras.0.2.2", (16 * width, 4 * width, 1, 1))
    for i, (inputs, priors) in enumerate(((4, 3), (8, 2), (16, 2), (16, 3))):
        for heads, numbers in (("classification_headers", classes), ("regression_headers", 4)):
            if i == 3:
                layer(f"{heads}.3", (priors * numbers, inputs * width, 3, 3))
                continue
            layer(f"{heads}.{i}.0", (inputs * width, 1, 3, 3))
            layer(f"{heads}.{i}.2", (priors * numbers, inputs * width, 1, 1))
    return shapes


def expect_logits(path, state):
    model = vs.convert(path)
    images = np.random.default_rng(2).standard_normal((3, 32, 32, 3)).astype(np.float32)
    expected = cifar_resnet(state, torch.tensor(images).permute(0, 3, 1, 2).double()).numpy()
    assert expected.std(0).min() > 1e-2
    assert relative_error(model.run(images)["linear"][0], expected) < 1e-4
    return model


def expect_face_maps(path, state):
    model = vs.convert(path)
    images = (vs.synth_video(2, frames=2)[0].astype(np.float32) - 127) / 128
    expected = slim_faces(state, torch.tensor(images).permute(0, 3, 1, 2).double())
    assert list(expected) == model.graph["outputs"]
    for name, (found, _) in model.run(images).items():
        wanted = expected[name].permute(0, 2, 3, 1).numpy()
        assert wanted.std((0, 1, 2)).min() > 1e-4
        assert relative_error(found.reshape(-1, found.shape[3]), wanted.reshape(-1, found.shape[3])) < 1e-5
    return model


def expect_both_forms_agree(checkpoint, onnx):
    """The ONNX file gives shares of the two classes in place of their logits."""
    images = np.zeros((1, 240, 320, 3), np.float32)
    frame = vs.synth_video(2, frames=1)[0][:, :240, :320].astype(np.float32) / 128 - 1
    images[:, : frame.shape[1], : frame.shape[2]] = frame
    maps, found = vs.convert(checkpoint).run(images), vs.convert(onnx).run(images)
    for i in range(4):
        layer = f"_headers.{i}" + (".2" if i < 3 else "")
        scores, boxes = maps["classification" + layer][0], maps["regression" + layer][0]
        shares = np.exp(scores.astype(np.float64).reshape(*scores.shape[:3], -1, 2))
        shares /= shares.sum(-1, keepdims=True)
        np.testing.assert_allclose(found[f"scores.{i}"][0], shares.reshape(scores.shape), atol=1e-6)
        np.testing.assert_allclose(found[f"boxes.{i}"][0], boxes, atol=1e-6)


def test_networks_on_images(tmp_path):
    state = random_state(cifar_shapes(2, 10))
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}, "best_prec1": 50.0}, tmp_path / "net.th")
    model = expect_logits(tmp_path / "net.th", state)
    assert model.arch == "resnet14" and [c.name for c in model.classes][:2] == ["airplane", "automobile"]
    state = random_state(face_shapes(8, 2))
    torch.save(state, tmp_path / "faces.pth")
    model = expect_face_maps(tmp_path / "faces.pth", state)
    assert model.profile["frames"]["mean"] == pytest.approx([127 / 255] * 3)


@pytest.mark.skipif("VOXSHIFT_DATA" not in os.environ, reason="VOXSHIFT_DATA names no folder with checkpoints")
def test_trained_networks_on_images():
    folder = Path(os.environ["VOXSHIFT_DATA"]) / "checkpoints"
    path = folder / "resnet20-12fca82f.th"
    state = torch.load(path, map_location="cpu")["state_dict"]
    model = expect_logits(path, {name.removeprefix("module."): tensor for name, tensor in state.items()})
    assert model.arch == "resnet20" and model.parameter_count == 269722
    path = folder / "slim320.pth"
    expect_face_maps(path, torch.load(path, map_location="cpu"))
    expect_both_forms_agree(path, folder / "slim320.onnx")
