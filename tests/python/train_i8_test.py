"""Fine-tuning for i8 by the training programs: what is written, what may be said, and what belongs together."""

import csv

import numpy as np
import pytest
import voxshift as vs

torch = pytest.importorskip("torch", reason="voxshift.train needs PyTorch")

from train_test import TINY, folder, model_bytes  # noqa: E402, F401
from voxshift.train.__main__ import main  # noqa: E402

QUICK = ["--steps", "2", "--eval-every", "2", "--checkpoint-every", "2", "--calibration", "2", "--quantize", "i8"]


@pytest.fixture(scope="module")
def init(tmp_path_factory):
    path = tmp_path_factory.mktemp("init") / "init.safetensors"
    vs.Model.new("minkunet", width=1 / 32, seed=8).save(path)
    return path


def train(folder, init, out, *options):
    data = ["--data", str(folder), "--val-data", str(folder), "--init", str(init)]
    return main(["lidar", "--out", str(out), *QUICK, *TINY, *data, *map(str, options)])


@pytest.fixture(scope="module")
def whole_run(folder, init, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    assert train(folder, init, out) == 0
    return out


def test_writes_an_i8_model(whole_run, init):
    model, before = vs.Model.load(whole_run / "model.safetensors"), vs.Model.load(init)
    assert model.dtype == "i8" and model.arch == "minkunet" and len(model.classes) == 19
    types = {name: values.dtype for name, values in model.parameters().items()}
    assert types["stem.0.kernel"] == np.float32 and types["stem.3.kernel"] == np.int8
    assert not any("running_" in name for name in types)
    points = vs.synth_lidar(4)[0][::20]
    assert (model.segment(points) == before.segment(points)).mean() > 0.5
    rows = csv.DictReader((whole_run / "metrics.csv").read_text().splitlines())
    assert [int(row["step"]) for row in rows] == [2]


def test_says_what_the_network_scores_before(folder, init, tmp_path, capfd):
    assert train(folder, init, tmp_path) == 0
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert err == "" and lines[0].startswith("float32: miou") and lines[1].startswith("i8 before training: miou")
    assert lines[2].startswith("step 2: loss")


def test_a_resumed_run_is_the_uninterrupted_one(folder, init, whole_run, tmp_path, interrupted_at):
    with interrupted_at(1):
        assert train(folder, init, tmp_path, "--checkpoint-every", 1) == 1
    assert train(folder, init, tmp_path, "--resume") == 0
    assert model_bytes(tmp_path) == model_bytes(whole_run)


def test_what_is_kept_or_frozen_stays(folder, init, tmp_path):
    assert train(folder, init, tmp_path, "--keep", "classifier.0", "--keep", "stem.3", "--trainable", "head") == 0
    model, before = vs.Model.load(tmp_path / "model.safetensors"), vs.Model.load(init)
    found = model.parameters()
    assert found["classifier.0.weight"].dtype == found["stem.3.kernel"].dtype == np.float32
    assert found["stage1.0.net.0.kernel"].dtype == np.int8
    assert not np.array_equal(found["classifier.0.weight"], before.parameters()["classifier.0.weight"])


@pytest.mark.parametrize(
    "options, message",
    [
        (["--quantize", "i8"], "--quantize fine-tunes a trained network: --init names its model"),
        (["--keep", "stem.0"], "--keep belongs to --quantize"),
        (["--quantize", "i8", "--init", "minkunet-lidar", "--keep", "stem"], 'keep names "stem", which is no product'),
    ],
)
def test_options_that_do_not_go_together(folder, tmp_path, capsys, options, message):
    assert main(["lidar", "--out", str(tmp_path), "--data", str(folder), *options]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_an_i8_model_is_no_start(folder, whole_run, tmp_path, capsys):
    assert train(folder, whole_run / "model.safetensors", tmp_path) == 1
    error = capsys.readouterr().err
    assert "weights of i8" in error and error.count("\n") == 1


def test_usual_values():
    from voxshift.train import __main__ as program

    seen = []

    class Program:
        SUMMARY = ""
        add_arguments = staticmethod(program.lidar.add_arguments)
        run = staticmethod(lambda options: seen.append((options.steps, options.lr)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(program.PROGRAMS, "lidar", Program)
        for options in ([], ["--quantize", "i8", "--init", "m"], ["--quantize", "i8", "--init", "m", "--steps", "7", "--lr", "1"]):
            assert main(["lidar", "--out", "x", *options]) == 0
    assert seen == [(11000, 2e-3), (1000, 2e-4), (7, 1)]


def test_video(tmp_path):
    names = [(name, i, (0, 0, 0)) for i, name in enumerate(vs.synth_video_classes())]
    from voxshift.torch import TSMMobileNetV2, save

    save(TSMMobileNetV2(0.125, names, 1, "online", "motions", 4), tmp_path / "init.safetensors")
    options = ["--batch-size", "2", "--frames", "4", "--warm-up-frames", "1", "--workers", "0", "--val-clips", "1"]
    assert main(["video", "--out", str(tmp_path), "--init", str(tmp_path / "init.safetensors"), *QUICK, *options]) == 0
    model = vs.Model.load(tmp_path / "model.safetensors")
    assert model.dtype == "i8" and [c.name for c in model.classes] == vs.synth_video_classes()
    frames, _ = vs.synth_video(0, frames=2, height=128, width=128)
    assert np.isfinite(model.recognize_frames(frames)).all()
    assert main(["video", "--out", str(tmp_path), "--init", "minkunet-lidar", *QUICK, *options]) == 1


def test_detect(tmp_path):
    model = vs.Model.new("centerpoint", profile="lidar", classes=4, width=1 / 16, seed=1)
    names = [(name, i, (0, 0, 0)) for i, name in enumerate(["car", "truck", "pedestrian", "cyclist"])]
    model = vs.Model.from_graph(
        model.graph, model.parameters(), model.profile, names, model.arch, detection=model.detection
    )
    model.save(tmp_path / "init.safetensors")
    options = ["--batch-size", "1", "--workers", "0", "--val-scans", "1", "--crop", "10.24", "--no-paste"]
    options += ["--steps", "1", "--calibration", "1"]
    assert main(["detect", "--out", str(tmp_path), "--init", str(tmp_path / "init.safetensors"), *QUICK, *options]) == 0
    found = vs.Model.load(tmp_path / "model.safetensors")
    assert found.dtype == "i8" and found.detection == model.detection
    vs.Detector(found).detect(vs.synth_lidar(3)[0])
