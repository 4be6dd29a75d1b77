"""TSM networks as a whole against PyTorch: clips, and streams of frames with the shift's cache."""

import numpy as np
import pytest
import voxshift as vs
from oracle import relative_error
from tsm_torch import Bidirectional, Cached, OneDirection, TsmMobileNetV2, TsmResNet50, torch

REFERENCES = {"tsm-mobilenetv2": TsmMobileNetV2, "tsm-resnet50": TsmResNet50}


def clip(frames, seed=1):
    return vs.synth_video(seed, frames=frames, panning_camera=True)[0]


def model_of(arch, width=1.0, shift="online"):
    return vs.Model.new(arch, width=width, classes=27, seed=3, shift=shift, threads=2)


SHIFTS = {"offline": Bidirectional, "online": OneDirection}


@pytest.mark.parametrize(
    "arch, width, shift, frames, dtype",
    [
        ("tsm-mobilenetv2", 1.0, "offline", 8, torch.float32),  # a third of the time of float64
        ("tsm-mobilenetv2", 0.35, "offline", 3, torch.float64),
        ("tsm-mobilenetv2", 1.4, "online", 2, torch.float32),
        ("tsm-resnet50", 1.0, "online", 2, torch.float32),
        ("tsm-resnet50", 0.25, "offline", 3, torch.float64),
    ],
)
def test_clip(arch, width, shift, frames, dtype):
    model, pixels = model_of(arch, width, shift), clip(frames)
    expected = REFERENCES[arch](model.parameters(), SHIFTS[shift](), dtype).logits(pixels)
    assert np.abs(expected - expected.mean(axis=1, keepdims=True)).max() > 1e-2  # not one score for all classes
    assert relative_error(model.recognize_frames(pixels), expected) < 1e-4
    assert relative_error(model.recognize(pixels)[None], expected.mean(axis=0)[None]) < 1e-4


@pytest.mark.parametrize("arch, width", [("tsm-mobilenetv2", 0.35), ("tsm-resnet50", 0.125)])
def test_stream_of_40_frames(arch, width):
    model, pixels = model_of(arch, width), clip(40)
    reference = REFERENCES[arch](model.parameters(), Cached())
    expected = np.concatenate([reference.logits(frame[None]) for frame in pixels])
    assert np.abs(np.diff(expected, axis=0)).max() > 1e-2  # not one answer for all frames
    stream = vs.Recognizer(model)
    found = np.stack([stream.push(frame).logits for frame in pixels])
    assert relative_error(found, expected) < 1e-4


@pytest.mark.parametrize("arch, width", [("tsm-mobilenetv2", 0.35), ("tsm-resnet50", 0.125)])
def test_after_a_reset_the_cache_is_zero(arch, width):
    model, pixels = model_of(arch, width), clip(6)
    stream = vs.Recognizer(model)
    for frame in pixels[:3]:
        stream.push(frame)
    stream.reset()
    reference = REFERENCES[arch](model.parameters(), Cached())
    for frame in pixels[3:]:
        assert relative_error(stream.push(frame).logits[None], reference.logits(frame[None])) < 1e-4
