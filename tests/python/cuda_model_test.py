"""Models on a CUDA device from Python: numpy goes in and comes out."""

import os

import numpy as np
import pytest
import voxshift as vs


@pytest.fixture(scope="module")
def points():
    return vs.synth_lidar(seed=3)[0][:3000]


def on_cuda(path, **options):
    try:
        return vs.Model.load(path, device="cuda", **options)
    except RuntimeError as error:
        if os.environ.get("VOXSHIFT_REQUIRE_CUDA") == "1":
            raise
        pytest.skip(f"no CUDA device: {error}")


def test_labels_are_the_cpus(points, tmp_path):
    path = tmp_path / "model.safetensors"
    model = vs.Model.new("minkunet", width=0.125, seed=1)
    model.save(path)
    labels, scores = on_cuda(path, dtype="f32").segment(points, scores=True)
    expected, expected_scores = model.segment(points, scores=True)
    assert labels.dtype == np.uint8 and labels.shape == expected.shape
    assert (labels == expected).mean() > 0.999
    np.testing.assert_allclose(scores, expected_scores, atol=1e-4)


def test_dtypes_that_a_network_has_not(tmp_path):
    path = tmp_path / "model.safetensors"
    vs.Model.new("minkunet", width=0.125, seed=1).save(path)
    with pytest.raises(ValueError, match='dtype expects "auto", "f32", "f16", "bf16" or "i8", found "f64"'):
        vs.Model.load(path, dtype="f64")
    with pytest.raises(ValueError, match="no scales for i8"):
        vs.Model.load(path, dtype="i8")


def test_bf16_is_the_cpus(points, tmp_path):
    path = tmp_path / "model.safetensors"
    vs.Model.new("minkunet", width=0.125, seed=1).save(path)
    model = on_cuda(path, dtype="bf16")
    assert model.dtype == "bf16"
    exact = vs.Model.load(path).segment(points, scores=True)[1]
    expected = vs.Model.load(path, dtype="bf16").segment(points, scores=True)[1]
    found = model.segment(points, scores=True)[1]
    # Sums in another order are rounded to the neighbour now and then: less than what all rounding does.
    assert 0 < np.linalg.norm(expected - exact)
    assert np.linalg.norm(found - expected) <= np.linalg.norm(expected - exact)
    np.testing.assert_array_equal(model.segment(points, scores=True)[1], found)


def test_networks_on_video(tmp_path):
    path = tmp_path / "model.safetensors"
    model = vs.Model.new("tsm-mobilenetv2", width=0.25, seed=1)
    assert model.dtype == "f32"
    model.save(path)
    with pytest.raises(ValueError, match="no scales for i8"):
        vs.Model.new("tsm-mobilenetv2", width=0.25, dtype="i8")
    frame = np.random.default_rng(1).integers(0, 256, (224, 224, 3), np.uint8)
    expected = vs.Recognizer(model).push(frame).logits
    for dtype, of, tolerance in (("auto", "f16", 2e-2), ("bf16", "bf16", 8 * 2e-2), ("f32", "f32", 1e-4)):
        found = on_cuda(path, dtype=dtype)
        assert found.dtype == of
        assert found.with_parameters(found.parameters()).dtype == of
        logits = vs.Recognizer(found).push(frame).logits
        assert logits.dtype == np.float32
        assert np.linalg.norm(logits - expected) <= tolerance * np.linalg.norm(expected)
