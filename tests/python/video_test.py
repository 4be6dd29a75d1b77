"""Video: streams that share a model, clips, calibration, synthetic clips."""

import json
import threading

import numpy as np
import pytest
import voxshift as vs

SIZE = (224, 224)


@pytest.fixture(scope="module")
def model():
    return vs.Model.new("tsm-mobilenetv2", width=0.125, seed=2, threads=1)


@pytest.fixture(scope="module")
def pixels():
    return vs.synth_video(4, frames=10)[0]


@pytest.fixture(scope="module")
def calibrated(model):
    calls = []
    clips = [vs.synth_video(1, frames=2)[0], vs.synth_video(2, frames=1)[0]]
    found = vs.calibrate_skip(model, clips, budget=0.05, progress=lambda done, total: calls.append((done, total)))
    return (*found, calls)


@pytest.fixture(scope="module")
def model_that_skips(model, tmp_path_factory):
    """The model with thresholds for whole frames only, written into its file's header."""
    path = tmp_path_factory.mktemp("skip") / "model.safetensors"
    model.save(path)
    content = path.read_bytes()
    tensors = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:tensors])
    header["__metadata__"]["voxshift.skip"] = json.dumps({"frame": 0, "layers": {}, "whole_frame": 2})
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[tensors:])
    return vs.Model.load(path, threads=1)


def logits_of(stream, pixels):
    return np.stack([stream.push(frame).logits for frame in pixels])


# Structure.


def test_model_says_what_it_takes(model):
    assert model.arch == "tsm-mobilenetv2" and len(model.classes) == 27
    assert model.classes[18].name == "Swiping Up"
    frames = model.profile["frames"]
    assert (frames["height"], frames["width"], frames["resize"]) == (*SIZE, 256)
    assert frames["mean"] == pytest.approx([0.485, 0.456, 0.406])
    assert model.skip_thresholds is None


def test_layers_are_those_of_the_network(model):
    layers = model.video_layers
    assert sum(layer["shifted"] for layer in layers) == 10
    assert layers[-1]["out_channels"] == 27 and layers[0]["in_channels"] == 3
    cost = vs.Recognizer(model).push(np.zeros((*SIZE, 3), np.uint8)).cost
    assert sum(layer["macs"] for layer in layers) == cost.macs


def test_result_of_a_frame(model, pixels):
    stream = vs.Recognizer(model)
    result = stream.push(pixels[0])
    assert result.logits.shape == result.scores.shape == (27,)
    assert result.logits.dtype == result.scores.dtype == np.float32
    assert result.label == np.argmax(result.logits) and result.name == model.classes[result.label].name
    exps = np.exp(result.logits.astype(np.float64) - result.logits.max())
    np.testing.assert_allclose(result.scores, exps / exps.sum(), rtol=1e-5)
    cost = result.cost
    assert cost.key_frame and not cost.skipped and cost.seconds > 0
    assert cost.macs == cost.dense_macs > 0 and cost.mac_fraction == 1
    assert (stream.cost.macs, stream.cost.seconds) == (cost.macs, cost.seconds)
    assert stream.threads == 1 and vs.Recognizer(model, threads=2).threads == 2
    assert "FrameCost(" in repr(result)


def test_results_outlive_the_stream(model, pixels):
    stream = vs.Recognizer(model)
    first = stream.push(pixels[0])
    kept = first.logits.copy()
    stream.push(pixels[9])
    del stream
    np.testing.assert_array_equal(first.logits, kept)


# Value.


def test_stream_is_the_clip_frame_by_frame(model, pixels):
    expected = model.recognize_frames(pixels)
    assert np.ptp(expected, axis=0).max() > 1e-3  # not one answer for all frames
    np.testing.assert_allclose(logits_of(vs.Recognizer(model), pixels), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(model.recognize(pixels), expected.mean(axis=0), rtol=1e-4, atol=1e-4)


def test_offline_model_sees_the_next_frame(pixels):
    model = vs.Model.new("tsm-mobilenetv2", width=0.125, seed=2, shift="offline")
    first = model.recognize_frames(pixels[:3])
    changed = pixels[:3].copy()
    changed[2] = 255 - changed[2]
    assert not np.allclose(model.recognize_frames(changed)[1], first[1])
    with pytest.raises(ValueError, match="next frame|offline|bidirectional"):
        vs.Recognizer(model)


def test_exact_is_off_and_says_what_changed(model, pixels):
    frames = [pixels[0]]
    for i in range(1, 6):
        frames.append(frames[-1].copy())
        frames[-1][40 : 40 + 8 * i, 60:70] ^= 85
    off, exact = vs.Recognizer(model), vs.Recognizer(model, skip="exact")
    for i, frame in enumerate(frames):
        expected, found = off.push(frame), exact.push(frame)
        np.testing.assert_array_equal(found.logits, expected.logits)
        if i > 0:
            mask = np.zeros(SIZE, bool)
            mask[40 : 40 + 8 * i, 60:70] = True
            np.testing.assert_array_equal(exact.changed_pixels, mask)
            assert found.cost.changed_pixels == mask.sum() and found.cost.mac_fraction < 1
    assert exact.changed_pixels.dtype == bool


def test_threshold_bounds_the_frame(model, pixels):
    frame = pixels[0].copy()
    stream = vs.Recognizer(model, skip=0.3)
    stream.push(frame)
    frame[10, 20, 1] += 15 if frame[10, 20, 1] < 128 else -15  # 15 / 255 / 0.224 is below 0.3
    frame[90, 30, 1] += 20 if frame[90, 30, 1] < 128 else -20  # 20 / 255 / 0.224 is above
    result = stream.push(frame)
    assert np.argwhere(stream.changed_pixels).tolist() == [[90, 30]] and result.cost.changed_pixels == 1


def test_layer_outputs(model, pixels):
    stream = vs.Recognizer(model, skip="exact")
    stream.push(pixels[0])
    layers = {layer["name"]: layer for layer in model.video_layers}
    for name, layer in layers.items():
        output = stream.layer_output(name)
        assert output.shape == (layer["height"], layer["width"], layer["out_channels"]) and output.dtype == np.float32
    before = stream.layer_output(next(iter(layers)))
    kept = before.copy()
    stream.push(255 - pixels[0])
    np.testing.assert_array_equal(before, kept)
    with pytest.raises(ValueError):
        stream.layer_output("no such layer")
    with pytest.raises(ValueError):
        vs.Recognizer(model).layer_output(next(iter(layers)))


def test_calibration(calibrated, model, pixels, tmp_path):
    auto, cost, calls = calibrated
    thresholds = auto.skip_thresholds
    assert model.skip_thresholds is None  # another model
    assert set(thresholds) == {"frame", "layers", "whole_frame"}
    assert set(thresholds["layers"]) <= {layer["name"] for layer in auto.video_layers}
    assert 0 <= cost["logit_change"] <= 0.05 and 0 < cost["mac_fraction"] <= 1
    assert calls and calls[-1][0] == calls[-1][1]
    auto.save(tmp_path / "auto.safetensors")
    loaded = vs.Model.load(tmp_path / "auto.safetensors")
    assert loaded.skip_thresholds == thresholds
    np.testing.assert_array_equal(
        logits_of(vs.Recognizer(loaded, skip="auto"), pixels), logits_of(vs.Recognizer(auto, skip="auto"), pixels)
    )


def test_whole_frames_are_skipped_only_when_wanted(model_that_skips, pixels):
    whole = vs.Recognizer(model_that_skips, skip="auto")
    never = vs.Recognizer(model_that_skips, skip="auto", whole_frames=False)
    shifts = sum(layer["shifted"] for layer in model_that_skips.video_layers)
    for frame in (pixels[0], 255 - pixels[0]):  # a cut
        for _ in range(shifts + 1):
            result = whole.push(frame)
            assert not result.cost.skipped
        for _ in range(2):
            last, result = result, whole.push(frame)
            assert result.cost.skipped and result.cost.macs == 0
            np.testing.assert_array_equal(result.logits, last.logits)
            assert not whole.changed_pixels.any()
        for _ in range(shifts + 3):
            assert not never.push(frame).cost.skipped


def test_key_frames_by_interval(model, pixels):
    stream = vs.Recognizer(model, skip="exact", key_frame_interval=3)
    assert [stream.push(pixels[0]).cost.key_frame for _ in range(7)] == [True, False, False, True, False, False, True]


# Identities.


def test_reset_is_a_new_stream(model, pixels):
    stream = vs.Recognizer(model, skip="exact")
    expected = logits_of(stream, pixels[:4])
    assert not np.array_equal(logits_of(stream, pixels[:4]), expected)
    stream.reset()
    assert not stream.changed_pixels.any()
    np.testing.assert_array_equal(logits_of(stream, pixels[:4]), expected)


def test_streams_share_the_model_and_nothing_else(model, pixels):
    expected = [logits_of(vs.Recognizer(model), clip) for clip in (pixels, pixels[::-1])]
    streams = [vs.Recognizer(model), vs.Recognizer(model)]
    found = [[], []]
    for frames in zip(pixels, pixels[::-1]):
        for stream, frame, results in zip(streams, frames, found):
            results.append(stream.push(frame).logits)
    for results, wanted in zip(found, expected):
        np.testing.assert_array_equal(np.stack(results), wanted)
    assert 0 < streams[0].state_bytes == streams[1].state_bytes < 3_000_000


def test_streams_outlive_the_model(pixels):
    model = vs.Model.new("tsm-mobilenetv2", width=0.125, seed=2)
    expected = logits_of(vs.Recognizer(model), pixels[:3])
    stream = vs.Recognizer(model)
    del model
    np.testing.assert_array_equal(logits_of(stream, pixels[:3]), expected)


def test_streams_on_threads(model, pixels):
    expected, wrong = logits_of(vs.Recognizer(model), pixels), []

    def run(threads):
        for _ in range(2):
            if not np.array_equal(logits_of(vs.Recognizer(model, threads=threads), pixels), expected):
                wrong.append(threads)

    threads = [threading.Thread(target=run, args=(count,)) for count in (1, 1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_threads_that_share_a_stream_take_turns(model, pixels):
    stream, alone = vs.Recognizer(model), vs.Recognizer(model)

    def run():
        for _ in range(10):
            stream.push(pixels[0])

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(30):
        alone.push(pixels[0])
    np.testing.assert_array_equal(stream.push(pixels[1]).logits, alone.push(pixels[1]).logits)


# Synthetic clips.


def test_synth_video():
    frames, label = vs.synth_video(3, frames=5, height=64, width=96)
    assert frames.shape == (5, 64, 96, 3) and frames.dtype == np.uint8
    assert 0 <= label < len(vs.synth_video_classes())
    again, _ = vs.synth_video(3, frames=5, height=64, width=96)
    np.testing.assert_array_equal(frames, again)
    assert not np.array_equal(frames, vs.synth_video(4, frames=5, height=64, width=96)[0])
    assert vs.synth_video(3, frames=2, height=64, width=96, label=1)[1] == 1


# Edges and errors.


def test_frames_of_any_layout(model, pixels):
    expected = vs.Recognizer(model).push(pixels[0]).logits
    bgr = np.ascontiguousarray(pixels[0, :, :, ::-1])
    np.testing.assert_array_equal(vs.Recognizer(model).push(bgr[:, :, ::-1]).logits, expected)


def test_before_the_first_frame(model):
    stream = vs.Recognizer(model)
    assert stream.changed_pixels.shape == SIZE and stream.cost.macs == 0
    assert not vs.Recognizer(model, skip="exact").changed_pixels.any()


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((224, 224), np.uint8),
        np.zeros((224, 224, 1), np.uint8),
        np.zeros((224, 224, 4), np.uint8),
        np.zeros((224, 223, 3), np.uint8),
        np.zeros((0, 0, 3), np.uint8),
        np.zeros((224, 224, 3), np.float32),
        np.zeros((1, 224, 224, 3), np.uint8),
    ],
    ids=lambda frame: f"{frame.dtype}{frame.shape}",
)
def test_a_frame_of_another_kind_leaves_the_stream(model, pixels, frame):
    stream, expected = vs.Recognizer(model), logits_of(vs.Recognizer(model), pixels[:2])
    np.testing.assert_array_equal(stream.push(pixels[0]).logits, expected[0])
    with pytest.raises(ValueError, match=r"\[.*(224|uint8|u8)"):
        stream.push(frame)
    np.testing.assert_array_equal(stream.push(pixels[1]).logits, expected[1])


@pytest.mark.parametrize("skip", ["sometimes", "", -0.1, float("nan"), float("inf"), "auto"])
def test_bad_modes(model, skip):
    with pytest.raises(ValueError, match=r"\[.*(skip|threshold)"):
        vs.Recognizer(model, skip=skip)


@pytest.mark.parametrize("options", [{"key_frame_interval": -1}, {"threads": 0}, {"threads": 5000}])
def test_bad_options(model, options):
    with pytest.raises(ValueError):
        vs.Recognizer(model, **options)


@pytest.mark.parametrize("shape", [(0, 224, 224, 3), (224, 224, 3), (2, 224, 224, 1), (2, 100, 100, 3)])
def test_bad_clips(model, shape):
    frames = np.zeros(shape, np.uint8)
    for call in (model.recognize, model.recognize_frames, lambda clip: vs.calibrate_skip(model, [clip])):
        with pytest.raises(ValueError):
            call(frames)


@pytest.mark.parametrize("budget", [0, -1, float("nan")])
def test_bad_budget(model, pixels, budget):
    with pytest.raises(ValueError, match="budget"):
        vs.calibrate_skip(model, [pixels[:2]], budget)
    with pytest.raises(ValueError):
        vs.calibrate_skip(model, [])


def test_progress_may_stop_a_calibration(model, pixels):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        vs.calibrate_skip(model, [pixels[:2]], progress=stop)


def test_models_are_told_apart(model, small_model, synthetic_points, pixels):
    for call in (
        lambda: vs.Recognizer(small_model),
        lambda: small_model.recognize(pixels),
        lambda: small_model.recognize_frames(pixels),
        lambda: vs.calibrate_skip(small_model, [pixels]),
        lambda: small_model.video_layers,
    ):
        with pytest.raises(ValueError, match="minkunet"):
            call()
    for call in (
        lambda: model.segment(synthetic_points),
        lambda: model.forward(synthetic_points),
    ):
        with pytest.raises(ValueError, match="video|frames"):
            call()
    with pytest.raises(ValueError, match="shift"):
        vs.Model.new("tsm-mobilenetv2", shift="sideways")


@pytest.mark.parametrize("options", [{"label": 99}, {"frames": 0}])
def test_bad_synthetic_clips(options):
    with pytest.raises(ValueError, match=r"\["):
        vs.synth_video(0, **options)
