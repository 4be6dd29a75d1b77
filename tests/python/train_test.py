"""Training programs: the same bits however a run is split, and one clear error for what is wrong."""

import csv
import resource
import warnings
from pathlib import Path

import numpy as np
import pytest
import voxshift as vs

torch = pytest.importorskip("torch", reason="voxshift.train needs PyTorch")

from voxshift.train import lidar, loop, scans  # noqa: E402
from voxshift.train.__main__ import main  # noqa: E402

TINY = ["--width", "0.03125", "--batch-size", "2", "--workers", "0", "--threads", "2", "--sector", "1", "--val-scans", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two labelled scans of some thousand points in SemanticKITTI's layout."""
    root = tmp_path_factory.mktemp("data") / "sequences" / "00"
    for name in ("velodyne", "labels"):
        (root / name).mkdir(parents=True)
    for i in range(2):
        points, labels = vs.synth_lidar(i)
        points[::30].tofile(root / "velodyne" / f"{i:06d}.bin")
        labels[::30].tofile(root / "labels" / f"{i:06d}.label")
    return root.parent.parent


def train(folder, out, *options, steps=4):
    data = ["--data", str(folder), "--val-data", str(folder)]
    arguments = ["lidar", "--out", str(out), "--steps", str(steps), "--eval-every", "2", "--checkpoint-every", "2"]
    return main([*arguments, *TINY, *data, *map(str, options)])


def metrics(out):
    return list(csv.DictReader((out / "metrics.csv").read_text().splitlines()))


def model_bytes(out):
    return (out / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole_run(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    assert train(folder, out, "--seed", 3) == 0
    return out


def test_writes_model_metrics_and_curve(whole_run, capsys):
    model = vs.Model.load(whole_run / "model.safetensors")
    assert model.arch == "minkunet" and len(model.classes) == 19
    rows = metrics(whole_run)
    assert [int(row["step"]) for row in rows] == [2, 4]
    assert all(0 <= float(row["miou"]) <= 1 for row in rows)
    pytest.importorskip("matplotlib", reason="curves need matplotlib")
    assert (whole_run / "metrics.png").read_bytes()[:4] == b"\x89PNG"


def sequence_of(folder, root):
    """root, a folder of sequence 00 alone: velodyne and labels, to be spoilt."""
    for source in folder.glob("sequences/00/*/*"):
        copy = root / source.parent.name / source.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())
    return root


def test_says_nothing_but_evaluations_and_the_result_where_it_is_piped(folder, tmp_path, capfd):
    assert train(folder, tmp_path, steps=2) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert out.startswith("step 2: loss") and "minutes" in out


def test_a_resumed_run_is_the_uninterrupted_one(folder, whole_run, tmp_path, interrupted_at):
    with interrupted_at(3):
        assert train(folder, tmp_path, "--seed", 3) == 1
    assert train(folder, tmp_path, "--seed", 3, "--resume") == 0
    assert model_bytes(tmp_path) == model_bytes(whole_run)
    assert [row["loss"] for row in metrics(tmp_path)] == [row["loss"] for row in metrics(whole_run)]


@pytest.mark.parametrize("options", [("--threads", 1), ("--workers", 2)])
def test_threads_and_workers_do_not_change_the_bits(folder, whole_run, tmp_path, options):
    assert train(folder, tmp_path, "--seed", 3, *options) == 0
    assert model_bytes(tmp_path) == model_bytes(whole_run)


def test_another_seed_is_another_model(folder, whole_run, tmp_path):
    assert train(folder, tmp_path, "--seed", 4) == 0
    assert model_bytes(tmp_path) != model_bytes(whole_run)


def test_the_loss_falls(folder, tmp_path):
    assert train(folder, tmp_path, "--lr", 0.01, "--ema", 0, steps=24) == 0
    losses = [float(row["loss"]) for row in metrics(tmp_path)]
    assert losses[-1] < losses[0] - 0.05


@pytest.mark.parametrize(
    "options, changes",
    [
        (("--trainable", "bias"), lambda name: name.endswith(".bias")),
        (("--trainable", "head"), lambda name: name.startswith("classifier.")),
        (("--freeze-norm",), lambda name: name.endswith("kernel") or name.startswith("classifier.")),
    ],
)
def test_only_what_is_trainable_changes(folder, tmp_path, options, changes):
    first = vs.Model.new("minkunet", width=1 / 32, seed=8)
    first.save(tmp_path / "init.safetensors")
    assert train(folder, tmp_path, "--init", tmp_path / "init.safetensors", "--float32", *options) == 0
    before, after = first.parameters(), vs.Model.load(tmp_path / "model.safetensors").parameters()
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed
    weights = {name for name in changed if "running_" not in name}
    assert all(changes(name) for name in weights), weights
    if options == ("--freeze-norm",):
        assert not any("running_" in name for name in changed)


def test_training_starts_from_a_file_or_a_shipped_model(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = vs.Model.pretrained("minkunet-lidar").parameters()
    for name, values in loop.initial_model(Path("minkunet-lidar")).parameters().items():
        np.testing.assert_array_equal(values, shipped[name])
    vs.Model.new("minkunet", width=1 / 32, seed=8).save("minkunet-lidar")  # a file of this name is taken
    assert loop.initial_model(Path("minkunet-lidar")).parameters().keys() == shipped.keys()
    assert loop.initial_model(Path("minkunet-lidar")).parameters()["stem.0.kernel"].shape != shipped["stem.0.kernel"].shape
    capsys.readouterr()
    for name, says in [("minkunet-lida", "no such file, nor a shipped model"), ("no/minkunet-lidar", "cannot be read"),
                       ("minkunet-lidar.pth", "cannot be read")]:  # fmt: skip
        assert train(folder, tmp_path / "out", "--init", name) == 1
        assert f"{name}: {says}" in capsys.readouterr().err


def test_a_loss_that_is_no_number_stops(folder, tmp_path, capsys, monkeypatch):
    values = iter([1.0, 1.0, 1.0, float("nan")])
    forward = torch.nn.CrossEntropyLoss.forward
    monkeypatch.setattr(torch.nn.CrossEntropyLoss, "forward", lambda *given: forward(*given) * next(values))
    assert train(folder, tmp_path) == 1
    error = capsys.readouterr().err
    assert error == f"voxshift.train: the loss is nan at step 3; the last good checkpoint is {tmp_path / 'checkpoint.pt'}\n"
    assert torch.load(tmp_path / "checkpoint.pt")["step"] == 2


@pytest.mark.parametrize(
    "spoil, expected",
    [
        (lambda root: (root / "labels/000001.label").unlink(), "000001.label: missing"),
        (lambda root: (root / "labels/000001.label").write_bytes(bytes(8)), "2 labels, but"),
        (lambda root: (root / "velodyne/000001.bin").write_bytes(b""), "000001.bin: an empty scan"),
        (lambda root: (root / "velodyne/000001.bin").write_bytes(bytes(20)), "000001.bin: 20 bytes"),
        (lambda root: [f.unlink() for f in root.glob("velodyne/*")], "no velodyne"),
    ],
)
def test_bad_folders(folder, tmp_path, capsys, spoil, expected):
    root = sequence_of(folder, tmp_path / "data")
    spoil(root)
    assert train(root, tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and expected in error


@pytest.mark.parametrize("workers", [0, 1])
def test_a_label_that_is_no_class(folder, tmp_path, capsys, workers):
    root = sequence_of(folder, tmp_path / "data")
    path = root / "labels/000001.label"
    labels = np.fromfile(path, np.uint32)
    labels[5] = 7 | 3 << 16
    labels.tofile(path)
    assert train(root, tmp_path / "out", "--workers", workers) == 1
    error = capsys.readouterr().err
    assert error == f"voxshift.train: {path}: raw id 7 of point 5 is neither a class of the model nor one of SemanticKITTI's\n"


def test_resume_without_a_checkpoint(folder, tmp_path, capsys):
    assert train(folder, tmp_path, "--resume") == 1
    assert "no checkpoint to resume from" in capsys.readouterr().err


def test_usage(tmp_path):
    for arguments in (["lidar"], ["lidar", "--out", str(tmp_path), "--steps", "0"], ["nothing"], []):
        with pytest.raises(SystemExit) as error:
            main(arguments)
        assert error.value.code == 2


def test_a_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "checkpoint.pt"
    loop.write_atomically(path, lambda p: p.write_bytes(loop.serialized({"step": 1})))
    kept = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))  # writes beyond fail, as on a full disk
    try:
        with pytest.raises(loop.Failure, match="cannot be written.*the one before is kept"):
            loop.write_atomically(path, lambda p: p.write_bytes(loop.serialized(torch.zeros(1 << 18))))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == kept
    assert list(tmp_path.iterdir()) == [path]


def test_raw_labels_become_train_ids():
    classes = vs.Model.new("minkunet", width=1 / 32).classes
    raw = np.array([10, 252, 40 | 7 << 16, 81, 0, 99, 253], np.uint32)
    assert scans.train_ids(raw, classes).tolist() == [0, 0, 8, 18, 255, 255, 6]


def test_augmentation_keeps_shapes_of_things():
    points, labels = vs.synth_lidar(0)
    ids = scans.train_ids(labels, vs.Model.new("minkunet", width=1 / 32).classes)
    moved, kept = scans.augment(points, ids, np.random.default_rng(1), 0.3)
    assert moved.dtype == np.float32 and len(moved) == len(kept) and 0.1 < len(moved) / len(points) < 0.7
    road = 8
    assert abs(np.median(moved[kept == road, 2]) - np.median(points[ids == road, 2])) < 1.5
    assert (moved[:, 3] >= 0).all() and (moved[:, 3] <= 1).all()


def test_augmentation_does_not_depend_on_the_unit_of_remission():
    points, labels = vs.synth_lidar(0)
    bright = points * np.float32([1, 1, 1, 255])
    for seed in range(12):
        moved = [
            scans.augment(p, labels, np.random.default_rng(seed), 1, unit)[0] for p, unit in ((points, 1), (bright, 255))
        ]
        np.testing.assert_allclose(moved[1] / np.float32([1, 1, 1, 255]), moved[0], rtol=1e-5, atol=1e-5)
        # Whatever the profile says, training sees numbers as large as inference does.
        assert scans.augment(bright, labels, np.random.default_rng(seed), 1)[0][:, 3].max() <= bright[:, 3].max()
    assert scans.augment(bright, labels, np.random.default_rng(0), 1)[0][:, 3].max() > 100


PROFILES = ["spvnas", "pointcept", "nuscenes", "waymo"]


@pytest.mark.parametrize("profile", PROFILES)
def test_training_and_inference_prepare_points_alike(profile):
    model = vs.Model.new("minkunet", width=1 / 32, profile=profile, threads=1)
    points = vs.synth_lidar(2)[0][::7].copy()
    points[:, 3] *= 200
    points[5, 1] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # remission of another unit, the same to both
        labels = model.segment(points)
        x, inverse = scans.prepared(vs.prepare_points(points, model.profile), model.profile)
    assert (labels[inverse < 0] == 255).all() and (inverse < 0).any()
    found = np.argmax(model.forward(x), axis=1)[inverse[inverse >= 0]]
    np.testing.assert_array_equal(labels[inverse >= 0], found)


@pytest.mark.parametrize("profile", PROFILES)
def test_examples_are_what_inference_makes_of_the_augmented_points(profile, monkeypatch):
    model = vs.Model.new("minkunet", width=1 / 32, profile=profile, threads=1)
    scan, raw = vs.synth_lidar(2)
    scan[:, 3] *= 200
    ids = scans.train_ids(raw, model.classes)
    monkeypatch.setattr(scans, "augment", lambda points, labels, *_: (points, labels))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        cells, feats, labels = scans.Examples([(scan, ids)], 0, 1, 1, model.profile)[0]
        _, scores = model.segment(scan, scores=True)
        scan = vs.prepare_points(scan, model.profile)
    x = vs.SparseTensor(np.pad(cells.numpy(), ((0, 0), (1, 0))), feats.numpy())
    known, inverse = scans.prepared(scan, model.profile)
    np.testing.assert_array_equal(x.coords, known.coords)
    np.testing.assert_array_equal(x.feats, known.feats)
    first = {}
    for point, voxel in enumerate(inverse):
        first.setdefault(voxel, ids[point])
    assert labels.tolist() == [first[voxel] for voxel in range(len(x))]
    found = model.forward(x)[inverse[inverse >= 0]]
    np.testing.assert_array_equal(np.argmax(found, axis=1), np.argmax(scores[inverse >= 0], axis=1))


def bright_folder(folder, root):
    for source in folder.glob("sequences/00/*/*"):
        copy = root / source.parent.name / source.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())
    for path in root.glob("velodyne/*"):
        points = np.fromfile(path, np.float32).reshape(-1, 4)
        points[:, 3] *= 255
        points.tofile(path)
    return root


def test_a_remission_in_another_unit_is_a_line_of_warning(folder, tmp_path, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert train(bright_folder(folder, tmp_path / "data"), tmp_path / "out", steps=2) == 0
    lines = capfd.readouterr().err.splitlines()  # of training and of validation
    assert len(lines) == 2 and all("column 4 was taken for 0..255, the model takes 0..1" in line for line in lines)


def test_an_error_of_an_operator_is_one_line(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(scans, "augment", lambda points, labels, *_: (points[:1], labels[:1]))
    assert train(folder, tmp_path, "--batch-size", 1) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "voxshift.train: [batch_norm] expects more than one row" in error


def test_class_weights_leave_absent_classes_out():
    data = [(None, np.array([0, 0, 0, 2, 255], np.uint8))]
    weights = lidar.class_weights(data, 4, scans_used=1)
    assert weights[1] == 0 and weights[3] == 0 and weights[2] > weights[0] > 0
