"""ONNX networks on images: torch exports them, torch's own outputs are the oracle."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import voxshift as vs

import onnx_networks as zoo

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
