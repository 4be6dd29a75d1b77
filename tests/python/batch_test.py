"""voxshift.batch without a cluster: rows, files, records, what is skipped, and what goes wrong."""

import json
import os
import pickle
import subprocess
from pathlib import Path

import numpy as np
import pytest
import voxshift as vs

pytest.importorskip("pyarrow", reason="pyarrow is missing: pip install 'voxshift[ray]'")
from faulty_files import faulty
from voxshift.batch import Labeller, labeller, storage

POINTS = 700


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    vs.Model.new(width=0.0625, seed=3, threads=1).save(path)
    return str(path)


@pytest.fixture(scope="module")
def street():
    return vs.synth_lidar(3)[0]


@pytest.fixture
def scans(tmp_path, street):
    """Four scans of a street, 0.bin to 3.bin."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for i in range(4):
        street[i :: len(street) // POINTS][:POINTS].tofile(folder / f"{i}.bin")
    return [str(folder / f"{i}.bin") for i in range(4)]


def rows_of(table):
    return table.to_pylist()


def raw_ids(model, points):
    """The bytes of the .label file that these points should have: a plain loop."""
    loaded = vs.Model.load(model, threads=1)
    return b"".join(
        (loaded.classes[label].raw_id if label < len(loaded.classes) else 0).to_bytes(4, "little")
        for label in loaded.segment(points).tolist()
    )


def points_of(path):
    return np.fromfile(path, np.float32).reshape(-1, 4)


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def test_it_pickles_as_its_arguments(model, scans):
    one = Labeller("/somewhere", model=model, threads=1, sensor="kitti", origin=(0, 0, 1))
    one.load()
    data = pickle.dumps(one)
    assert len(data) < 1500
    other = pickle.loads(data)
    assert vars(other).keys() == vars(one).keys()
    public = {name: value for name, value in vars(one).items() if not name.startswith("_")}
    assert public == {name: value for name, value in vars(other).items() if not name.startswith("_")}
    assert other._loaded is None
    assert other.maker() == one.maker()


def test_labels_are_the_models(model, scans, tmp_path):
    out = tmp_path / "out" / "deep"
    rows = rows_of(Labeller(str(out), model=model, threads=1)({"path": scans}))
    assert [row["path"] for row in rows] == scans
    assert names(out) == sorted(f"{i}.label{end}" for i in range(4) for end in ("", ".json"))
    for i, row in enumerate(rows):
        points = points_of(scans[i])
        assert row["label"] == str(out / f"{i}.label")
        assert Path(row["label"]).read_bytes() == raw_ids(model, points)
        labels = vs.Model.load(model, threads=1).segment(points).tolist()
        assert row["counts"] == [labels.count(k) for k in range(19)] + [sum(label > 18 for label in labels)]
        assert (row["points"], row["skipped"], row["error"], row["notes"]) == (len(points), False, None, [])
        assert row["milliseconds"] > 0 and row["started"] < row["finished"]
        assert row["worker"].endswith(f":{os.getpid()}")


def test_bytes_are_labelled_in_the_rows(model, scans):
    data = [Path(path).read_bytes() for path in scans]
    rows = rows_of(Labeller(model=model, threads=1, format="bin")({"bytes": data}))
    for path, row in zip(scans, rows):
        assert row["labels"] == vs.Model.load(model, threads=1).segment(points_of(path)).tolist()
        assert (row["path"], row["label"], row["error"]) == (None, None, None)


def test_bytes_with_names_become_files(model, scans, tmp_path):
    batch = {"bytes": [Path(scans[0]).read_bytes()] * 2, "path": ["lake/a.bin", "b.bin"], "label": [None, str(tmp_path / "x.label")]}
    rows = rows_of(Labeller(str(tmp_path / "out"), model=model, threads=1)(batch))
    assert [row["error"] for row in rows] == [None, None]
    for place in (tmp_path / "out" / "a.label", tmp_path / "x.label"):
        assert place.read_bytes() == raw_ids(model, points_of(scans[0]))


def test_uris_of_files(model, scans, tmp_path):
    batch = {"path": [Path(path).as_uri() for path in scans]}
    rows = rows_of(Labeller((tmp_path / "out").as_uri(), model=Path(model).as_uri(), threads=1)(batch))
    assert [row["error"] for row in rows] == [None] * 4
    assert rows[1]["label"] == (tmp_path / "out" / "1.label").as_uri()
    assert (tmp_path / "out" / "1.label").read_bytes() == raw_ids(model, points_of(scans[1]))
    assert all(row["skipped"] for row in rows_of(Labeller(str(tmp_path / "out"), model=model, threads=1)({"path": scans})))


def test_a_guess_is_a_note(model, scans, tmp_path):
    points = points_of(scans[0])
    points[:, 3] *= 255
    points.tofile(tmp_path / "bright.bin")
    rows = rows_of(Labeller(model=model, threads=1)({"path": [str(tmp_path / "bright.bin"), scans[1]]}))
    assert len(rows[0]["notes"]) == 1 and "taken for 0..255" in rows[0]["notes"][0]
    assert rows[1]["notes"] == []
    rows = rows_of(Labeller(model=model, threads=1, remission_scale=255)({"path": [str(tmp_path / "bright.bin")]}))
    assert rows[0]["notes"] == []


BAD = {
    "cut.bin": (b"abc", "multiple of 16"),
    "empty.bin": (b"", "empty"),
    "no.npy": (b"x" * 200, "npy"),
    "scan.xyz": (b"1 2 3", "expected a name that ends in"),
    "missing.bin": (None, "No such file"),
}


def test_bad_scans_are_rows(model, scans, tmp_path):
    paths = []
    for name, (data, _) in BAD.items():
        paths += [str(tmp_path / name), scans[len(paths) // 2 % 4]]
        if data is not None:
            (tmp_path / name).write_bytes(data)
    rows = rows_of(Labeller(str(tmp_path / "out"), model=model, threads=1)({"path": paths}))
    for row, (name, (_, says)) in zip(rows[::2], BAD.items()):
        assert row["error"].startswith(f"{tmp_path / name}: ") and says in row["error"] and "\n" not in row["error"]
        assert (row["label"], row["points"], row["counts"], row["skipped"]) == (None, 0, [], False)
    assert [row["error"] for row in rows[1::2]] == [None] * len(BAD)
    assert sum(name.endswith(".label") for name in names(tmp_path / "out")) == 4


def test_a_bad_model_is_in_every_row(scans, tmp_path):
    rows = rows_of(Labeller(str(tmp_path / "out"), model=str(tmp_path / "no.safetensors"))({"path": scans}))
    assert all("no.safetensors: " in row["error"] for row in rows)
    rows = rows_of(Labeller(str(tmp_path / "out"), model="minkunet-ladar")({"path": scans}))
    assert all("minkunet-lidar" in row["error"] for row in rows)


def test_bad_batches_are_refused(model):
    with pytest.raises(ValueError, match='"path" or "bytes", found file'):
        Labeller(model=model)({"file": ["a.bin"]})
    with pytest.raises(ValueError, match='2 values of "label"'):
        Labeller(model=model)({"path": ["a.bin", "b.bin"], "label": ["a.label"]})


# What is skipped


def again(model, scans, out, **options):
    return [row["skipped"] for row in rows_of(Labeller(str(out), model=model, threads=1, **options)({"path": scans}))]


@pytest.fixture
def labelled(model, scans, tmp_path):
    out = tmp_path / "out"
    assert again(model, scans, out) == [False] * 4
    return out


def test_what_is_labelled_is_skipped(model, scans, labelled):
    before = {name: (labelled / name).stat().st_mtime_ns for name in names(labelled)}
    one = Labeller(str(labelled), model=model, threads=1)
    first = rows_of(Labeller(str(labelled), model=model, threads=1, redo=False)({"path": scans}))
    assert [row["skipped"] for row in first] == [True] * 4
    assert [sum(row["counts"]) for row in first] == [row["points"] for row in first] == [len(points_of(path)) for path in scans]
    assert before == {name: (labelled / name).stat().st_mtime_ns for name in names(labelled)}
    assert [row["skipped"] for row in rows_of(one({"path": scans[::-1]}))] == [True] * 4


def record(out, index):
    return out / f"{index}.label.json"


def change(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


CHANGES = {
    "labels missing": lambda out, scans: (out / "0.label").unlink(),
    "labels cut": lambda out, scans: os.truncate(out / "0.label", 8),
    "record missing": lambda out, scans: record(out, 0).unlink(),
    "record cut": lambda out, scans: os.truncate(record(out, 0), 40),
    "record of no kind": lambda out, scans: record(out, 0).write_text("[1, 2]"),
    "record of more": lambda out, scans: change(record(out, 0), more=1),
    "other version": lambda out, scans: change(record(out, 0), voxshift="0.1.0"),
    "other model": lambda out, scans: change(record(out, 0), model_sha256="0" * 64),
    "scan of another size": lambda out, scans: points_of(scans[0])[:-5].tofile(scans[0]),
    "scan newer": lambda out, scans: os.utime(scans[0], ns=(2**62, 2**62)),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_no_longer_matches_is_labelled_again(model, scans, labelled, what):
    CHANGES[what](labelled, scans)
    assert again(model, scans, labelled) == [False, True, True, True]
    assert (labelled / "0.label").read_bytes() == raw_ids(model, points_of(scans[0]))
    if what != "scan newer":
        assert again(model, scans, labelled) == [True] * 4


def test_other_options_label_again(model, scans, labelled):
    assert again(model, scans, labelled, redo=True) == [False] * 4
    for options in ({"sensor": "kitti"}, {"columns": 4}, {"remission_scale": 1.0}, {"origin": (0, 0, 0)}, {"profile": "spvnas"}):
        assert again(model, scans, labelled, **options) == [False] * 4
        assert again(model, scans, labelled, **options) == [True] * 4
    profile = labelled / "mine.profile"
    profile.write_text(json.dumps({"name": "mine", "voxel_size": 0.1}))


def test_the_models_name_does_not_count(model, scans, labelled, tmp_path):
    (tmp_path / "renamed.safetensors").write_bytes(Path(model).read_bytes())
    assert again(str(tmp_path / "renamed.safetensors"), scans, labelled) == [True] * 4


# Storage that fails


def test_a_full_disk_loses_nothing(model, scans, tmp_path):
    out = tmp_path / "out"
    again(model, scans[:2], out)
    old = {name: (out / name).read_bytes() for name in names(out)}
    rows = rows_of(
        Labeller(str(out), model=model, threads=1, sensor="kitti", filesystem=faulty(full=("0.label", "2.label"), room=100))(
            {"path": scans}
        )
    )
    assert [bool(row["error"]) for row in rows] == [True, False, True, False]
    assert all(f"{scans[i]}: No space left on device" in rows[i]["error"] for i in (0, 2))
    assert (out / "0.label").read_bytes() == old["0.label"]  # and no record, which would be of other labels
    assert names(out) == ["0.label", "1.label", "1.label.json", "3.label", "3.label.json"]
    assert again(model, scans, out, sensor="kitti") == [False, True, False, True]
    assert all((out / f"{i}.label").read_bytes() for i in range(4))


def test_a_record_that_cannot_be_written_is_an_error(model, scans, tmp_path):
    faults = faulty(full=(".label.json",), room=3)
    rows = rows_of(Labeller(str(tmp_path / "out"), model=model, threads=1, filesystem=faults)({"path": scans[:1]}))
    assert "No space left" in rows[0]["error"] and names(tmp_path / "out") == ["0.label"]
    assert again(model, scans[:1], tmp_path / "out") == [False]


def test_without_rights(model, scans, tmp_path):
    rows = rows_of(
        Labeller(str(tmp_path / "out"), model=model, threads=1, filesystem=faulty(denied=("1.bin", "2.label")))({"path": scans})
    )
    assert [row["error"] for row in rows] == [
        None,
        f"{scans[1]}: Permission denied",
        f"{scans[2]}: Permission denied",
        None,
    ]
    assert names(tmp_path / "out") == ["0.label", "0.label.json", "3.label", "3.label.json"]


def test_a_scheme_that_nobody_knows(model, scans):
    rows = rows_of(Labeller("nowhere://bucket/out", model=model, threads=1)({"path": scans[:1]}))
    assert rows[0]["error"].startswith(f"{scans[0]}: ") and "nowhere" in rows[0]["error"]


def test_a_small_disk(model, scans, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20k", "none", disk], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("no rights to mount a small disk")
    try:
        rows = rows_of(Labeller(str(disk), model=model, threads=1)({"path": scans}))
        assert rows[0]["error"] is None and "No space left on device" in rows[-1]["error"]
        there = {name for name in names(disk) if name.endswith(".label")}
        assert {f"{i}.label" for i, row in enumerate(rows) if row["error"] is None} <= there  # a record may not fit
        assert ".part-" not in "".join(names(disk))
        for i in range(len(there)):
            assert (disk / f"{i}.label").read_bytes() == raw_ids(model, points_of(scans[i]))
    finally:
        subprocess.run(["umount", disk], check=True)


def test_object_stores_get_whole_files_by_their_names(model, scans, tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "OBJECT_STORES", ("py::faulty",))
    (tmp_path / "out").mkdir()
    faults = faulty(denied=(".part-",))
    rows = rows_of(Labeller(str(tmp_path / "out"), model=model, threads=1, filesystem=faults)({"path": scans}))
    assert [row["error"] for row in rows] == [None] * 4
    assert (tmp_path / "out" / "3.label").read_bytes() == raw_ids(model, points_of(scans[3]))


def test_without_pyarrow(model, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow.fs", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pyarrow is missing: pip install 'voxshift\[ray\]'"):
        Labeller(model=model).load()


def test_read_ahead_is_bounded(model, scans, monkeypatch):
    """No more than AT_ONCE scans of a batch are in memory."""
    fetched, computed = [], []
    real_fetch, real_compute = Labeller._fetch, Labeller._compute

    def fetch(self, row, maker):
        fetched.append(row.path)
        assert len(fetched) - len(computed) <= labeller.AT_ONCE + 1
        return real_fetch(self, row, maker)

    def compute(self, row, source):
        computed.append(row.path)
        return real_compute(self, row, source)

    monkeypatch.setattr(Labeller, "_fetch", fetch)
    monkeypatch.setattr(Labeller, "_compute", compute)
    rows = rows_of(Labeller(model=model, threads=1)({"path": scans * 5}))
    assert [row["error"] for row in rows] == [None] * 20 and computed == scans * 5


def far_scan(path, points):
    """A .ply whose coordinates float32 would round, of a street in UTM, half of its points around the file's zero's place."""
    xyz = points[:, :3].astype(np.float64) + [499_980.5, 5_000_013.25, 40]
    header = ["ply", "format ascii 1.0", f"element vertex {len(points)}", *(f"property double {axis}" for axis in "xyz"),
              "property float intensity", "end_header"]  # fmt: skip
    rows = [f"{x:.6f} {y:.6f} {z:.6f} {r:.6f}" for (x, y, z), r in zip(xyz, points[:, 3])]
    path.write_text("\n".join(header + rows) + "\n")


@pytest.mark.skipif("VOXSHIFT_COMMAND" not in os.environ, reason="VOXSHIFT_COMMAND does not name the command to test")
@pytest.mark.parametrize("options", [{}, {"sensor": "kitti"}, {"origin": (499_980, 5_000_010, 41)}, {"remission_scale": 1}], ids=str)
def test_every_option_gives_the_commands_bits(model, scans, tmp_path, options):
    far_scan(tmp_path / "scans" / "far.ply", points_of(scans[0]))
    words = [word for name, value in options.items() for word in
             (f"--{name.replace('_', '-')}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value))]  # fmt: skip
    command = [os.environ["VOXSHIFT_COMMAND"], "segment", tmp_path / "scans", "--model", model, "--write", "label", "--skip-done"]
    subprocess.run([*command, "--out", tmp_path / "command", *words], check=True, capture_output=True)
    paths = [*scans, str(tmp_path / "scans" / "far.ply")]
    rows = rows_of(Labeller(str(tmp_path / "out"), model=model, threads=1, **options)({"path": paths}))
    assert [row["error"] for row in rows] == [None] * 5
    for name in names(tmp_path / "command"):  # labels and records
        assert (tmp_path / "out" / name).suffix == ".json" or (tmp_path / "out" / name).read_bytes() == (tmp_path / "command" / name).read_bytes()
        if name.endswith(".json"):
            ours, theirs = (json.loads((tmp_path / out / name).read_text()) for out in ("out", "command"))
            assert ours == theirs
    assert [row["skipped"] for row in rows_of(Labeller(str(tmp_path / "command"), model=model, threads=1, **options)({"path": paths}))] == [True] * 5
    again = subprocess.run([*command, "--out", tmp_path / "out", *words], check=True, capture_output=True, text=True)
    assert again.stdout.startswith("5 scans are labelled already, 0 are not")
