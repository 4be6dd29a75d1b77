"""vs.quantize: what data it takes, what comes out, and one clear error for what is wrong."""

import numpy as np
import pytest
import voxshift as vs
from oracle import random_cloud

SCANS = [vs.synth_lidar(seed)[0][::20].copy() for seed in range(2)]


@pytest.fixture(scope="module")
def segmenter():
    return vs.Model.new("minkunet", width=1 / 16, seed=3, threads=2)


@pytest.fixture(scope="module")
def quantized(segmenter):
    return vs.quantize(segmenter, SCANS)


def test_a_model_of_i8_and_its_report(segmenter, quantized, tmp_path):
    model, report = quantized
    assert model.dtype == "i8" and segmenter.dtype == "f32" and model.arch == "minkunet"
    assert {c.name for c in model.classes} == {c.name for c in segmenter.classes}
    types = [values.dtype for values in model.parameters().values()]
    assert types.count(np.int8) > 40
    assert set(report) == {"snr", "loss", "stored", "layers"} and report["snr"] > 10 and 0 <= report["loss"] <= 100
    first, second = report["layers"][:2]
    assert (first["name"], first["dtype"], first["reason"]) == ("stem.0", "f32", "reads an input")
    assert second["dtype"] == "i8" and second["reason"] == "" and second["macs"] > 0 and np.isnan(second["snr"])
    model.save(tmp_path / "i8.safetensors")
    again = vs.Model.load(tmp_path / "i8.safetensors", threads=1)
    np.testing.assert_array_equal(again.segment(SCANS[0]), model.segment(SCANS[0]))
    agree = np.mean(model.segment(SCANS[0]) == segmenter.segment(SCANS[0]))
    assert abs(100 * (1 - agree) - report["loss"]) < 20


def test_inputs_may_be_tensors_or_dicts(segmenter, quantized):
    coords, feats = random_cloud(np.random.default_rng(1), 900, 3, 14, batches=1, channels=4)
    x = vs.SparseTensor(coords, feats)
    found = [vs.quantize(segmenter, data)[0].parameters() for data in ([x], iter([x]), ({"input": x},))]
    for other in found[1:]:
        assert all(np.array_equal(values, other[name]) for name, values in found[0].items())
    assert any(not np.array_equal(values, quantized[0].parameters()[name]) for name, values in found[0].items())


def test_threads_do_not_change_it(segmenter, quantized):
    again, report = vs.quantize(segmenter, SCANS, threads=1)
    assert all(np.array_equal(values, again.parameters()[name]) for name, values in quantized[0].parameters().items())
    assert report["snr"] == quantized[1]["snr"]


def test_products_are_kept(segmenter):
    _, report = vs.quantize(segmenter, SCANS[:1], keep=["classifier.0"])
    kept = {layer["name"]: layer["reason"] for layer in report["layers"] if layer["dtype"] == "f32"}
    assert kept["classifier.0"] == "keep"


def test_progress_is_told_and_may_stop_it(segmenter):
    calls = []
    vs.quantize(segmenter, SCANS[:1], progress=lambda *given: calls.append(given))
    done, total, what = zip(*calls)
    assert list(done) == sorted(done) and done[-1] == total[-1] and all(isinstance(text, str) and text for text in what)

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        vs.quantize(segmenter, SCANS[:1], progress=stop)


def test_video():
    model = vs.Model.new("tsm-mobilenetv2", width=1 / 8, classes=4, seed=1, threads=2)
    size = model.profile["frames"]["height"]
    clip = vs.synth_video(1, frames=3, height=size, width=size)[0]
    found, report = vs.quantize(model, [clip])
    assert found.dtype == "i8" and report["snr"] > 5
    assert np.isfinite(found.recognize_frames(clip)).all()
    stream = vs.Recognizer(found)
    assert np.isfinite(stream.push(clip[0]).logits).all()


def test_other_dtypes_leave_the_model_as_it_is(segmenter):
    for dtype in ("f16", "bf16"):
        model, report = vs.quantize(segmenter, SCANS[:1], dtype=dtype)
        assert model.dtype == dtype and report["stored"] == dtype
        assert all(np.array_equal(values, model.parameters()[name]) for name, values in segmenter.parameters().items())


@pytest.mark.parametrize(
    "given, message",
    [
        ({}, "data"),
        ({"data": []}, "data"),
        ({"data": SCANS[0]}, "data expects a list of scans, clips or inputs of the network, found one ndarray"),
        ({"data": {"input": 1}}, "found one dict"),
        ({"data": [np.zeros((5, 2), np.float32)]}, "points"),
        ({"data": SCANS, "dtype": "f32"}, 'dtype expects "i8", "f16", "bf16" or "auto", found "f32"'),
        ({"data": SCANS, "dtype": "int8"}, "int8"),
        ({"data": SCANS, "keep": ["none"]}, "none"),
        ({"synthetic": -1}, "synthetic expects 0 or more samples, found -1"),
    ],
)
def test_bad_arguments(segmenter, given, message):
    with pytest.raises(ValueError, match=message) as error:
        vs.quantize(segmenter, **given)
    assert "\n" not in str(error.value)


def test_a_model_of_i8_is_not_quantised_again(quantized):
    with pytest.raises(ValueError, match=r"\[quantize\] .*i8"):
        vs.quantize(quantized[0], SCANS)
