"""`voxshift segment` as one of many jobs: --shard shares a list of scans, --skip-done goes on where a job was ended, by
records that voxshift.batch has, too."""

import hashlib
import json
import os
import signal
import subprocess
import threading

import pytest
from command_fixture import COMMAND, cloud, fails, files, model, needs_command, put, run, succeeds  # noqa: F401

pytestmark = needs_command
SCANS = 7


@pytest.fixture
def scans(tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    for i in range(SCANS):
        put(folder / f"{i}.bin", cloud(300 + i, i))
    return folder


def segment(scans, out, model, *options):
    return succeeds("segment", scans, "--model", model, "--out", out, "--write", "label", *options)


def labels_in(out):
    return {path.name: path.read_bytes() for path in out.iterdir() if path.suffix == ".label"}


@pytest.mark.parametrize("shards", [1, 2, 3, SCANS, SCANS + 2])
def test_shards_are_all_of_the_scans_once(model, scans, tmp_path, shards):
    segment(scans, tmp_path / "whole", model)
    found = []
    for shard in range(1, shards + 1):
        out = tmp_path / f"{shard}"
        segment(scans, out, model, "--shard", f"{shard}/{shards}")
        part = labels_in(out) if out.exists() else {}
        assert SCANS // shards <= len(part) <= -(-SCANS // shards)
        found += part.items()
    assert len(found) == SCANS and dict(found) == labels_in(tmp_path / "whole")


@pytest.mark.parametrize("shard", ["0/2", "3/2", "2", "a/b", "1/", "/2", "-1/2", "1/2/3", "1.5/2", "1/99999999", ""])
def test_bad_shards(model, scans, shard):
    result = run("segment", scans, "--model", model, "--shard", shard)
    assert result.returncode == 2 and "--shard" in result.stderr and "I from 1 to N" in result.stderr


def test_all_shards_refuse_results_that_would_replace_each_other(model, scans, tmp_path):
    put(tmp_path / "6.bin", cloud(50))
    for shard in ("1/2", "2/2"):
        fails("segment", scans, tmp_path / "6.bin", "--model", model, "--shard", shard, "--out", tmp_path / "out",
              says=["would replace"])
    assert not (tmp_path / "out").exists()


def record(out, index=0):
    return json.loads((out / f"{index}.label.json").read_text())


def test_records(model, scans, tmp_path):
    out = tmp_path / "out"
    segment(scans, out, model, "--skip-done")
    assert files(out) == sorted(f"{i}.label{end}" for i in range(SCANS) for end in ("", ".json"))
    found = record(out, 3)
    assert found.pop("voxshift") == succeeds("--version").split()[1]
    assert found.pop("model_sha256") == hashlib.sha256(model.read_bytes()).hexdigest()
    assert sum(found["counts"]) == found["points"] and len(found.pop("counts")) == 20
    assert found == {"model": "small.safetensors", "options": {"dtype": "f32"}, "scan": "3.bin", "scan_bytes": 303 * 16,
                     "points": 303, "files": {"3.label": 303 * 4}}


def test_counts_are_of_the_classes(model, scans, tmp_path):
    out = tmp_path / "out"
    segment(scans, out, model, "--skip-done", "--stats", tmp_path / "stats.json")
    stats = json.loads((tmp_path / "stats.json").read_text())
    for index, scan in enumerate(stats):
        assert sorted(n for n in record(out, index)["counts"][:-1] if n) == sorted(scan["labels"].values())


def done(text):
    """How many scans of a run were left out."""
    return int(text.split()[0])


def test_what_is_done_is_left_out(model, scans, tmp_path):
    out = tmp_path / "out"
    assert done(segment(scans, out, model, "--skip-done", "--shard", "1/2")) == 0
    before = {name: (out / name).stat().st_mtime_ns for name in files(out)}
    assert done(segment(scans, out, model, "--skip-done")) == 4
    assert done(segment(scans, out, model, "--skip-done")) == SCANS
    assert before == {name: (out / name).stat().st_mtime_ns for name in before}
    segment(scans, tmp_path / "whole", model)
    assert labels_in(out) == labels_in(tmp_path / "whole")


def change(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


CHANGES = {
    "labels missing": lambda out, scans: (out / "0.label").unlink(),
    "labels cut": lambda out, scans: os.truncate(out / "0.label", 8),
    "record missing": lambda out, scans: (out / "0.label.json").unlink(),
    "record empty": lambda out, scans: os.truncate(out / "0.label.json", 0),
    "record cut": lambda out, scans: os.truncate(out / "0.label.json", 40),
    "record of no kind": lambda out, scans: (out / "0.label.json").write_text("[1, 2]"),
    "record of other kinds": lambda out, scans: change(out / "0.label.json", files=3, scan_bytes="x"),
    "record of no files": lambda out, scans: change(out / "0.label.json", files={}),
    "other version": lambda out, scans: change(out / "0.label.json", voxshift="0.1.0"),
    "other model": lambda out, scans: change(out / "0.label.json", model_sha256="0" * 64),
    "other options": lambda out, scans: change(out / "0.label.json", options={"dtype": "i8"}),
    "scan of another size": lambda out, scans: put(scans / "0.bin", cloud(100)),
    "scan newer": lambda out, scans: os.utime(scans / "0.bin", ns=(2**62, 2**62)),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_no_longer_matches_is_labelled_again(model, scans, tmp_path, what):
    out = tmp_path / "out"
    segment(scans, out, model, "--skip-done")
    good = record(out)
    CHANGES[what](out, scans)
    assert done(segment(scans, out, model, "--skip-done")) == SCANS - 1
    if "scan" not in what:
        assert record(out) == good
    segment(scans, tmp_path / "whole", model)
    assert labels_in(out) == labels_in(tmp_path / "whole")


OPTIONS = [("--sensor", "kitti"), ("--columns", 4), ("--remission-scale", 0.7), ("--origin", "0,0,0.1"), ("--range", 50),
           ("--preprocess", "spvnas"), ("--dtype", "bf16")]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option[0])
def test_other_options_are_other_labels(model, scans, tmp_path, option):
    out = tmp_path / "out"
    segment(scans, out, model, "--skip-done")
    assert done(segment(scans, out, model, "--skip-done", *option)) == 0
    assert done(segment(scans, out, model, "--skip-done", *option)) == SCANS
    assert done(segment(scans, out, model, "--skip-done")) == 0


def test_a_profile_of_a_file_is_what_is_in_it(model, scans, tmp_path):
    profile = tmp_path / "profile.json"
    profile.write_text(succeeds("info", "spvnas", "--profile"))
    segment(scans, tmp_path / "out", model, "--skip-done", "--preprocess", profile)
    assert record(tmp_path / "out")["options"]["preprocess"] == "sha256:" + hashlib.sha256(profile.read_bytes()).hexdigest()
    assert done(segment(scans, tmp_path / "out", model, "--skip-done", "--preprocess", profile)) == SCANS
    profile.write_text(profile.read_text() + "\n")
    assert done(segment(scans, tmp_path / "out", model, "--skip-done", "--preprocess", profile)) == 0


def test_more_kinds_of_results_are_not_done(model, scans, tmp_path):
    out = tmp_path / "out"
    segment(scans, out, model, "--skip-done")
    both = ["segment", scans, "--model", model, "--out", out, "--write", "label,ply", "--skip-done"]
    assert [done(succeeds(*both)), done(succeeds(*both))] == [0, SCANS]
    assert record(out)["files"].keys() == {"0.label", "0.ply"}
    assert done(segment(scans, out, model, "--skip-done")) == SCANS  # less than is there
    (out / "2.ply").unlink()
    assert done(succeeds(*both)) == SCANS - 1


def test_labels_that_are_replaced_lose_their_record(model, scans, tmp_path):
    out = tmp_path / "out"
    segment(scans, out, model, "--skip-done")
    segment(scans / "0.bin", out, model, "--sensor", "kitti")
    assert not (out / "0.label.json").exists()
    assert done(segment(scans, out, model, "--skip-done")) == SCANS - 1


def test_a_bad_scan_is_an_error_in_every_run(model, scans, tmp_path):
    out = tmp_path / "out"
    (scans / "2.bin").write_bytes(b"abc")
    for left_out in (0, SCANS - 1):
        result = run("segment", scans, "--model", model, "--out", out, "--write", "label", "--skip-done")
        assert result.returncode == 1 and "2.bin" in result.stderr and done(result.stdout) == left_out
    assert "2.label.json" not in files(out)


def test_a_job_that_is_killed_goes_on(model, tmp_path):
    """SIGKILL once three scans are labelled: what has a record is whole, and the next run does the rest."""
    scans, out = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    first = put(scans / "0.bin", cloud(8000))
    for i in range(1, 100):
        (scans / f"{i}.bin").hardlink_to(first)
    command = [COMMAND, "segment", scans, "--model", model, "--out", out, "--write", "label", "--skip-done"]
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True)
    watchdog = threading.Timer(100, process.kill)
    watchdog.start()
    lines = 0
    for line in process.stdout:
        lines += ".label" in line
        if lines == 3:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    watchdog.cancel()
    records = [path for path in out.iterdir() if path.name.endswith(".label.json")]
    assert process.returncode == -signal.SIGKILL and 3 <= len(records) < 100
    assert all((out / path.stem).stat().st_size == 32000 for path in records)
    text = succeeds(*command[1:])
    assert done(text) >= len(records) and len(labels_in(out)) == 100 and len(set(labels_in(out).values())) == 1


def test_sha256(model, scans, tmp_path):
    """Of every length of the last block."""
    base = model.read_bytes()
    header = int.from_bytes(base[:8], "little")
    for more in range(0, 66, 5):  # blanks in the header
        text = base[8 : 8 + header] + b" " * more
        padded = tmp_path / f"{more}.safetensors"
        padded.write_bytes(len(text).to_bytes(8, "little") + text + base[8 + header :])
        segment(scans / "0.bin", tmp_path / "out", padded, "--skip-done")
        assert record(tmp_path / "out")["model_sha256"] == hashlib.sha256(padded.read_bytes()).hexdigest()
