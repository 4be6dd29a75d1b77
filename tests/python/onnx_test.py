"""ONNX networks on images: torch exports them, torch's own outputs are the oracle."""

import json
import os
from pathlib import Path

import numpy as np
import onnx_networks as zoo
import pytest
import torch
import voxshift as vs
from torch.nn import functional as F

NETWORKS = zoo.networks()


def features(value):
    return np.asarray(value[0] if isinstance(value, tuple) else value)


def as_torch(value, like: torch.Tensor) -> np.ndarray:
    """Our output of one frame in the axes of torch's: [1, H, W, C] to [1, C, H, W], rows as they are."""
    value = features(value)
    return value.transpose(0, 3, 1, 2) if value.ndim == 4 and like.dim() == 4 else value.reshape(tuple(like.shape))


def run(model, x: torch.Tensor) -> dict:
    out = model.run(np.ascontiguousarray(x.numpy().transpose(0, 2, 3, 1)))
    return out if isinstance(out, dict) else {"": out}


def expect_same(model, module, x, names):
    with torch.no_grad():
        wanted = module(x)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    found = run(model, x)
    for name, want in zip(names, wanted):
        if f"{name}.0" in found:  # maps before they are joined to one list
            parts = [features(found[key]) for key in sorted(found) if key.startswith(f"{name}.")]
            got = np.concatenate([part.reshape(1, -1, want.shape[-1]) for part in parts], 1)
        else:
            got = as_torch(found[name], want)
        assert got.shape == tuple(want.shape)
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-5, atol=1e-5)


OUTPUTS = {"detector": ["scores", "boxes"], "pyramid": ["mask", "up"]}


@pytest.mark.parametrize("opset", [11, 13, 16])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_gives_what_torch_gives(tmp_path, name, opset):
    module, size = NETWORKS[name]
    names = OUTPUTS.get(name, ["out"])
    path = zoo.export(module, tmp_path / "net.onnx", size, opset=opset, output_names=names)
    model = vs.convert(path)
    expect_same(model, module, zoo.image(size), names)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "last"])
def test_written_and_read_again_it_gives_the_same_bits(tmp_path, name):
    module, size = NETWORKS[name]
    model = vs.convert(zoo.export(module, tmp_path / "net.onnx", size))
    vs.save_onnx(model, tmp_path / "again.onnx")
    profile = tmp_path / "size.json"
    profile.write_text(json.dumps(zoo.profile(size)))
    again = vs.convert(tmp_path / "again.onnx", profile=str(profile))
    x = zoo.image(size)
    first, second = run(model, x), run(again, x)
    assert first.keys() == second.keys() and len(first) >= 1
    for key in first:
        np.testing.assert_array_equal(features(first[key]), features(second[key]))


def test_a_classifier_is_a_stream_that_skips(tmp_path, random):
    size = (24, 32)
    (tmp_path / "profile.json").write_text(json.dumps(zoo.profile(size)))
    module = NETWORKS["mobile"][0]
    notes = []
    model = vs.convert(zoo.export(module, tmp_path / "net.onnx", size), profile=str(tmp_path / "profile.json"),
                       classes=list("abcde"), notes=notes)
    assert any("preprocessing: plain" in line for line in notes)
    every, exact = vs.Recognizer(model), vs.Recognizer(model, skip="exact", always_compare=True)
    frame = random.integers(0, 256, (*size, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = module((torch.from_numpy(frame.transpose(2, 0, 1)[None].copy()) / 255 - 0.5) / 0.25)[0].numpy()
    first = every.push(frame)
    np.testing.assert_allclose(first.logits, expected, rtol=1e-5, atol=1e-5)
    assert first.name == "abcde"[expected.argmax()]
    exact.push(frame)
    frame[:4, :4] = 0
    np.testing.assert_array_equal(exact.push(frame).logits, every.push(frame).logits)
    assert exact.cost.mac_fraction < 0.5


def test_without_names_and_preprocessing_that_is_said(tmp_path):
    notes = []
    model = vs.convert(zoo.export(NETWORKS["mobile"][0], tmp_path / "net.onnx"), notes=notes)
    text = "\n".join(notes)
    assert "images of 16 x 20" in text and "no preprocessing" in text and "classes: 5, numbered" in text
    assert vs.Recognizer(model) is not None


def test_maps_of_a_detector_are_said_to_be_outputs_of_their_own(tmp_path):
    notes = []
    model = vs.convert(zoo.export(NETWORKS["detector"][0], tmp_path / "net.onnx", output_names=["s", "b"]), notes=notes)
    assert list(model.graph["outputs"]) == ["s.0", "s.1", "b.0", "b.1"]
    said = [line for line in notes if line.startswith('output "s"')]
    assert said and '"s.0" [8, 10, 6] (there: height 8, width 10, channels 3, channels 2)' in said[0]


@pytest.mark.parametrize("batch, options", [(4, {}), (1, {"dynamic_axes": {"x": {0: "n"}, "y": {0: "n"}}})])
@pytest.mark.parametrize("name", ["mobile", "flattened", "pyramid", "shuffle"])
def test_any_batch(tmp_path, name, batch, options):
    """The graph knows one frame; files are for a batch of several, or of any number."""
    module, size = NETWORKS[name]
    names = ["mask", "up"] if name == "pyramid" else ["y"]
    path = zoo.export(module, tmp_path / "net.onnx", size, batch=batch, input_names=["x"], output_names=names, **options)
    expect_same(vs.convert(path), module, zoo.image(size), names)


def test_a_frame_of_open_extent_has_that_of_the_preprocessing(tmp_path):
    size = (16, 20)
    module = NETWORKS["pyramid"][0]
    (tmp_path / "profile.json").write_text(json.dumps(zoo.profile(size)))
    path = zoo.export(module, tmp_path / "net.onnx", size, opset=13, input_names=["x"], output_names=["mask", "up"],
                      dynamic_axes={"x": {0: "n", 2: "h", 3: "w"}})
    expect_same(vs.convert(path, profile=str(tmp_path / "profile.json")), module, zoo.image(size), ["mask", "up"])


def slim(tensors, x):
    """The network of Ultra-Light-Fast-Generic-Face-Detector-1MB (slim, 320) as plain functions: scores, boxes."""

    def norm(x, name):
        parts = (tensors[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.relu(F.batch_norm(x, *parts))

    def conv(x, name, stride=1, **options):
        weight = tensors[f"{name}.weight"]
        return F.conv2d(x, weight, tensors.get(f"{name}.bias"), stride, weight.shape[2] // 2, **options)

    def separable(x, name):
        x = F.relu(conv(x, f"{name}.0", groups=x.shape[1]))
        return conv(x, f"{name}.2")

    x = norm(conv(x, "base_net.0.0", 2), "base_net.0.1")
    maps = []
    for layer, stride in enumerate([1, 2, 1, 2, 1, 1, 1, 2, 1, 1, 2, 1], 1):
        x = norm(conv(x, f"base_net.{layer}.0", stride, groups=x.shape[1]), f"base_net.{layer}.1")
        x = norm(conv(x, f"base_net.{layer}.3"), f"base_net.{layer}.4")
        if layer in (7, 10, 12):
            maps.append(x)
    x = F.relu(conv(x, "extras.0.0"))
    maps.append(F.relu(conv(F.relu(conv(x, "extras.0.2.0", 2, groups=x.shape[1])), "extras.0.2.2")))
    heads = {}
    for kind, n in (("classification_headers", 2), ("regression_headers", 4)):
        outs = [separable(x, f"{kind}.{i}") for i, x in enumerate(maps[:3])] + [conv(maps[3], f"{kind}.3")]
        heads[kind] = torch.cat([out.permute(0, 2, 3, 1).reshape(1, -1, n) for out in outs], 1)
    return torch.softmax(heads["classification_headers"], 2), heads["regression_headers"]


def test_a_trained_face_detector_gives_what_its_checkpoint_does():
    folder = os.environ.get("VOXSHIFT_DATA")
    if not folder:
        pytest.skip("VOXSHIFT_DATA is not set: no trained detector")
    tensors = torch.load(Path(folder) / "checkpoints" / "slim320.pth", map_location="cpu")
    model = vs.convert(Path(folder) / "checkpoints" / "slim320.onnx")
    expect_same(model, lambda x: slim(tensors, x), zoo.image((240, 320)), ["scores", "boxes"])
