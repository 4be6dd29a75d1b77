"""Training on a CUDA device, a GPU or the emulated one: the CPU's losses, the same bits again, and what there is to say."""

import argparse
import csv
import threading
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pytest
import voxshift as vs

torch = pytest.importorskip("torch", reason="voxshift.train needs PyTorch")

from emulated_streams import streams  # noqa: E402, F401
from voxshift.torch import precision  # noqa: E402
from voxshift.train import detect, loop, place, progress  # noqa: E402
from voxshift.train.__main__ import main  # noqa: E402

TINY = ["--width", "0.03125", "--batch-size", "2", "--workers", "0", "--threads", "2", "--sector", "1", "--val-scans", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two labelled scans of some 250 points in SemanticKITTI's layout."""
    root = tmp_path_factory.mktemp("data")
    for name in ("velodyne", "labels"):
        (root / name).mkdir()
    for i in range(2):
        points, labels = vs.synth_lidar(i)
        points[::500].tofile(root / "velodyne" / f"{i:06d}.bin")
        labels[::500].tofile(root / "labels" / f"{i:06d}.label")
    return root


def train(folder, out, *options, device="cuda", steps=4):
    data = ["--data", str(folder), "--val-data", str(folder), "--device", device, "--float32", "--ema", "0"]
    arguments = ["lidar", "--out", str(out), "--steps", str(steps), "--eval-every", "2", "--checkpoint-every", "2"]
    return main([*arguments, *TINY, *data, *map(str, options)])


def losses(out):
    return [float(row["loss"]) for row in csv.DictReader((out / "metrics.csv").read_text().splitlines())]


def model_bytes(out):
    return (out / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of the runs that several tests look at, by device."""
    return {}


@pytest.fixture
def whole(folder, streams, runs, tmp_path_factory):
    """device -> the folder of an uninterrupted run there."""

    def run(device):
        if device not in runs:
            runs[device] = tmp_path_factory.mktemp(device)
            assert train(folder, runs[device], device=device) == 0
        return runs[device]

    return run


@pytest.fixture
def interrupted(folder, streams, interrupted_at):
    """(folder, device): a run there that was interrupted after 3 of 4 steps; its checkpoint is of 2."""

    def run(out, device):
        with interrupted_at(3):
            assert train(folder, out, device=device) == 1

    return run


def test_losses_are_those_of_the_cpu(whole):
    found, expected = losses(whole("cuda")), losses(whole("cpu"))
    assert len(found) == 2
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_run_that_goes_on_and_makes_nothing_ahead_is_the_same(folder, whole, interrupted, tmp_path):
    interrupted(tmp_path, "cuda")
    assert train(folder, tmp_path, "--resume", "--prefetch", 0) == 0
    assert model_bytes(tmp_path) == model_bytes(whole("cuda"))


@pytest.mark.parametrize("first, second", [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_checkpoint_goes_on_elsewhere(folder, whole, interrupted, tmp_path, first, second):
    interrupted(tmp_path, first)
    kept = torch.load(tmp_path / "checkpoint.pt")
    moments = [value for of in kept["optimizer"]["state"].values() for value in of.values()]
    assert kept["step"] == 2 and moments
    assert all(type(x) is torch.Tensor and x.device.type == "cpu" for x in [*kept["network"].values(), *moments])
    assert train(folder, tmp_path, "--resume", device=second) == 0
    assert len(losses(tmp_path)) == 2
    np.testing.assert_allclose(losses(tmp_path), losses(whole("cpu")), rtol=1e-4)


def test_batches_come_by_a_stream_of_their_own(folder, streams, tmp_path):
    if streams is None:
        pytest.skip("looks at emulated streams")
    assert train(folder, tmp_path, steps=2) == 0
    assert len(streams.copied) == 2 * 5  # coordinates, features, labels, known rows, classes
    recorded = {id(x) for x, stream in streams.recorded if stream is streams.default}
    assert all(id(x) in recorded for x in streams.copied)
    assert threading.get_ident() not in streams.threads


def test_float32_is_no_tf32(folder, streams, tmp_path, monkeypatch):
    before, seen = torch.backends.cudnn.allow_tf32, []
    rate = loop.learning_rate
    monkeypatch.setattr(loop, "learning_rate", lambda *given: seen.append(torch.backends.cudnn.allow_tf32) or rate(*given))
    assert train(folder, tmp_path, steps=1) == 0
    assert set(seen) == {False} and torch.backends.cudnn.allow_tf32 == before


def test_losses_are_read_when_somebody_asks(folder, streams, tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(progress, "_smoothed", lambda before, value: read.append(value) or value)
    counts = []
    after = loop._Run._after
    monkeypatch.setattr(loop._Run, "_after", lambda self, done: counts.append(len(read)) or after(self, done))
    assert train(folder, tmp_path, "--eval-every", 3, "--checkpoint-every", 3, steps=3) == 0
    assert counts == [0, 0, 0] and len(read) == 3


def test_a_loss_that_is_no_number_stops(folder, streams, tmp_path, capsys, monkeypatch):
    values = iter([1.0, 1.0, float("nan"), 1.0])
    forward = torch.nn.CrossEntropyLoss.forward
    monkeypatch.setattr(torch.nn.CrossEntropyLoss, "forward", lambda *given: forward(*given) * next(values))
    assert train(folder, tmp_path) == 1
    error = capsys.readouterr().err
    assert error == f"voxshift.train: the loss is nan at step 2; the last good checkpoint is {tmp_path / 'checkpoint.pt'}\n"
    assert torch.load(tmp_path / "checkpoint.pt")["step"] == 2


def test_memory_that_does_not_suffice_is_one_line(folder, tmp_path, capsys, monkeypatch):
    def refused(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")

    monkeypatch.setattr(torch.nn.CrossEntropyLoss, "forward", refused)
    assert train(folder, tmp_path, device="cpu") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "out of memory" in error and "--batch-size" in error


def options(device, dtype="f32", quantize=None):
    return argparse.Namespace(device=device, dtype=dtype, quantize=quantize)


@pytest.mark.parametrize(
    "torch_has, ours, count, device, says",
    [
        (False, True, 0, "cuda", "finds no CUDA device here: install its build for CUDA and the driver, or leave it out"),
        (True, False, 1, "cuda:0", "this voxshift has no CUDA kernels: pip install voxshift[cuda], or leave it out"),
        (True, True, 2, "cuda:2", "there are 2 CUDA devices, cuda:0 the first"),
    ],
)
def test_where_there_is_no_such_device(monkeypatch, torch_has, ours, count, device, says):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: torch_has)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(vs, "build_info", lambda: {"cuda": ours})
    with pytest.raises(loop.Failure, match=f"--device {device}: ") as raised:
        place.Place(options(device))
    assert says in str(raised.value) and "\n" not in str(raised.value)


def test_a_device_that_is_not_here_is_one_line(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert train(folder, tmp_path, device="cuda:1") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("voxshift.train: --device cuda:1: PyTorch")
    with pytest.raises(SystemExit) as raised:
        train(folder, tmp_path, device="gpu")
    assert raised.value.code == 2 and "expects cpu, cuda or cuda:N, found 'gpu'" in capsys.readouterr().err


def test_batches_of_any_form():
    class Pair(NamedTuple):
        a: torch.Tensor
        b: object

    cells = vs.Coordinates(np.array([[0, 1, 2, 3]], np.int32))
    one = torch.ones(2)
    found = place.mapped((one, [one, cells], {"x": Pair(one, "b")}, 3), lambda x: x + 1)
    two = torch.full((2,), 2.0)
    assert torch.equal(found[0], two) and torch.equal(found[1][0], two) and found[1][1] is cells
    assert isinstance(found[2]["x"], Pair) and torch.equal(found[2]["x"].a, two) and found[2]["x"].b == "b" and found[3] == 3


def first_loss(out):
    return losses(out)[0]


def test_detectors(streams, tmp_path, monkeypatch):
    of_none = {"ap": 0.0, **dict.fromkeys(["car", "truck", "pedestrian", "cyclist"])}  # a whole range takes the emulation long
    monkeypatch.setattr(detect, "evaluation", lambda *_, **__: lambda network: dict(of_none))
    options = ["detect", "--steps", "1", "--width", "0.0625", "--batch-size", "1", "--workers", "0", "--val-scans", "1", "--crop", "10.24"]
    for device in ("cpu", "cuda"):
        assert main([*options, "--out", str(tmp_path / device), "--device", device, "--no-paste"]) == 0
    np.testing.assert_allclose(first_loss(tmp_path / "cuda"), first_loss(tmp_path / "cpu"), rtol=1e-4)


def test_video(streams, tmp_path):
    options = ["video", "--steps", "1", "--width", "0.125", "--batch-size", "1", "--workers", "0", "--val-clips", "1"]
    options += ["--frames", "2", "--warm-up-frames", "0"]
    for device in ("cpu", "cuda"):
        assert main([*options, "--out", str(tmp_path / device), "--device", device]) == 0
    np.testing.assert_allclose(first_loss(tmp_path / "cuda"), first_loss(tmp_path / "cpu"), rtol=1e-4)


def test_quantized_networks(folder, streams, tmp_path):
    vs.Model.new("minkunet", width=1 / 32, seed=8).save(tmp_path / "init.safetensors")
    options = ["--init", tmp_path / "init.safetensors", "--quantize", "i8", "--calibration", "2", "--distill", "1"]
    for device in ("cpu", "cuda"):
        assert train(folder, tmp_path / device, *options, device=device, steps=2) == 0
    np.testing.assert_allclose(first_loss(tmp_path / "cuda"), first_loss(tmp_path / "cpu"), rtol=1e-3)


class Overflows:
    """What torch's CUDA kernels of GradScaler do, in plain loops; the first `count` steps are said to overflow."""

    def __init__(self, count):
        self.left, self.scales = count, []

    def unscale(self, grads, found_inf, inverse):
        self.scales.append(1 / float(inverse))
        for grad in grads:
            grad.mul_(float(inverse))
        is_finite = all(np.isfinite(grad.cpu().numpy()).all() for grad in grads)
        if self.left or not is_finite:
            self.left = max(self.left - 1, 0)
            found_inf.fill_(1)

    def update(self, scale, tracker, found_inf, growth, backoff, interval):
        if float(found_inf):
            scale.mul_(backoff)
            tracker.zero_()
        elif int(tracker) + 1 == interval:
            scale.mul_(growth)
            tracker.zero_()
        else:
            tracker.add_(1)
        return scale


@pytest.fixture
def halves(streams, monkeypatch):
    """(overflows) for the emulated device: autocast, which torch has on GPUs alone, and GradScaler's kernels."""
    kernels = Overflows(0)

    def small(is_enabled, made=place._scaler):
        scaler = made(is_enabled)
        scaler._init_scale = 2.0**8  # a few steps are enough to see some that do not overflow
        return scaler

    monkeypatch.setattr(place, "_scaler", small)
    if streams is None:
        return kernels
    dtypes = []

    @contextmanager
    def autocast(self):
        dtypes.append(None if self.dtype == torch.float32 else self.dtype)
        try:
            yield
        finally:
            dtypes.pop()

    monkeypatch.setattr(precision, "autocast_dtype", lambda device: dtypes[-1] if dtypes and device.type == "cuda" else None)
    monkeypatch.setattr(place.Place, "_autocast", autocast)
    monkeypatch.setattr(torch, "_amp_foreach_non_finite_check_and_unscale_", kernels.unscale)
    monkeypatch.setattr(torch, "_amp_update_scale_", kernels.update)
    for module in (torch.cuda.amp.common, torch.cuda.amp.grad_scaler):
        monkeypatch.setattr(module, "amp_definitely_not_available", lambda: False, raising=False)
    return kernels


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_halves_train_as_float32_does(folder, halves, whole, tmp_path, dtype):
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        cross_entropy = torch.nn.CrossEntropyLoss.forward
        patch.setattr(torch.nn.CrossEntropyLoss, "forward", lambda *given: seen.append(given[1].dtype) or cross_entropy(*given))
        assert train(folder, tmp_path, "--dtype", dtype) == 0
    assert set(seen) == {torch.float32}  # losses
    found, expected = losses(tmp_path), losses(whole("cuda"))
    np.testing.assert_allclose(found, expected, rtol=8 * torch.finfo(place.DTYPES[dtype]).eps)
    assert found != expected
    kept = torch.load(tmp_path / "checkpoint.pt")
    if dtype == "f16":
        assert kept["scaler"]["scale"] == 2.0**8 and kept["scaler"]["_growth_tracker"] == 4
    else:
        assert not kept["scaler"] and not halves.scales
    types = {x.dtype for of in kept["optimizer"]["state"].values() for x in of.values()} | {x.dtype for x in kept["network"].values()}
    assert types == {torch.float32}


def test_a_step_that_overflows_is_left_out_and_the_scale_goes_on(folder, halves, interrupted, tmp_path):
    options = ["--dtype", "f16", "--eval-every", 1, "--checkpoint-every", 1]
    vs.Model.new("minkunet", width=1 / 32, seed=8).save(tmp_path / "init.safetensors")
    halves.left = 1
    assert train(folder, tmp_path, *options, "--init", tmp_path / "init.safetensors", steps=1) == 0
    before = vs.Model.load(tmp_path / "init.safetensors").parameters()
    after = vs.Model.load(tmp_path / "model.safetensors").parameters()
    for name in before:
        if "running_" not in name:
            np.testing.assert_array_equal(before[name], after[name])
    assert torch.load(tmp_path / "checkpoint.pt")["scaler"]["scale"] == 2.0**7
    halves.scales.clear()
    assert train(folder, tmp_path, *options, "--resume", steps=2) == 0
    assert halves.scales == [2.0**7]


@pytest.mark.parametrize(
    "given, says",
    [
        (("cpu", "f16"), "--dtype f16 belongs to --device cuda: on the CPU training computes in f32"),
        (("cuda", "bf16", "i8"), "--quantize computes in whole numbers, --dtype bf16 has not all that they need: leave it f32"),
    ],
)
def test_dtypes_that_do_not_go_together(streams, given, says):
    with pytest.raises(loop.Failure, match=says):
        place.Place(options(*given))
