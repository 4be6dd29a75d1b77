"""voxshift.batch on a Ray cluster of two nodes on this machine: a bad scan, a worker that is killed, a job that is killed
and goes on. Labels are the command's, bit by bit."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter

import pytest
import ray_cluster
import voxshift as vs

pytest.importorskip("ray", reason="Ray is missing: pip install 'voxshift[ray]'")
COMMAND = os.environ.get("VOXSHIFT_COMMAND")
pytestmark = pytest.mark.skipif(not COMMAND, reason="VOXSHIFT_COMMAND does not name the command to test")
SCANS, CORRUPT, POINTS = 60, "street/31.bin", 900
KILLED_AFTER = 20  # scans, of the first job


@pytest.fixture(scope="module")
def address():
    with ray_cluster.running(nodes=2, cpus=2) as found:
        yield found


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """60 scans in two folders, one of them cut; a small model."""
    folder = tmp_path_factory.mktemp("lake")
    for k, name in enumerate(("street", "avenue")):
        (folder / "scans" / name).mkdir(parents=True)
        points, _ = vs.synth_lidar(k + 1)
        for i in range(SCANS // 2):
            points[i :: len(points) // POINTS][:POINTS].tofile(folder / "scans" / name / f"{i + 30 * (1 - k)}.bin")
    (folder / "scans" / CORRUPT).write_bytes(b"no scan")
    vs.Model.new(width=0.0625, seed=3, threads=1).save(folder / "small.safetensors")
    return folder


def begin(lake, address, *options):
    arguments = [lake / "scans", "--out", lake / "labels", "--model", lake / "small.safetensors", "--ray-address", address,
                 "--batch", 2, "--cpus", 2, "--picture", "none", "--rows", "-"]  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "voxshift.batch", *map(str, arguments), *map(str, options)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    watchdog = threading.Timer(300, process.kill)
    watchdog.daemon = True
    watchdog.start()
    return process


def rows_of(process, rest):
    """The rows on standard output as they come; what else stands there goes into the list `rest`."""
    for line in process.stdout:
        if line.startswith("{"):
            yield json.loads(line)
        else:
            rest.append(line)


def labels_below(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.label")}


@pytest.fixture(scope="module")
def jobs(lake, address):
    """A job that is killed, and a second one in which a worker is killed: the rows of each, and what the second says."""
    first, second, text = [], [], []
    process = begin(lake, address)
    for row in rows_of(process, text):
        first.append(row)
        if len(first) == KILLED_AFTER:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    between = labels_below(lake / "labels")
    process = begin(lake, address, "--report", lake / "report.json")
    killed = None
    for row in rows_of(process, text):
        second.append(row)
        if killed is None and not row["skipped"]:
            killed = row["worker"]
            os.kill(int(killed.rpartition(":")[2]), signal.SIGKILL)
    errors = process.communicate()[1]
    return {"first": first, "between": between, "second": second, "killed": killed, "status": process.returncode,
            "text": "".join(text), "errors": errors}  # fmt: skip


@pytest.fixture(scope="module")
def by_the_command(lake):
    """The labels that `voxshift segment` writes, by their names below the folder."""
    found = {}
    for name in ("street", "avenue"):
        out = lake / "command" / name
        subprocess.run([COMMAND, "segment", lake / "scans" / name, "--model", lake / "small.safetensors", "--out", out, "--write",
                        "label", "--threads", "1"], capture_output=True, check=name == "avenue")  # fmt: skip
        found.update({f"{name}/{label}": data for label, data in labels_below(out).items()})
    return found


def test_a_killed_job_leaves_whole_labels(jobs, by_the_command):
    assert KILLED_AFTER - 1 <= len(jobs["between"]) < SCANS - 1
    assert jobs["between"].items() <= by_the_command.items()


def test_labels_are_the_commands(lake, jobs, by_the_command):
    assert len(by_the_command) == SCANS - 1
    assert labels_below(lake / "labels") == by_the_command


def test_every_scan_has_one_row(lake, jobs):
    expected = Counter(str(path) for path in (lake / "scans").rglob("*.bin"))
    assert len(expected) == SCANS and Counter(row["path"] for row in jobs["second"]) == expected
    assert {row["worker"] for row in jobs["second"]} - {jobs["killed"]}


def test_the_bad_scan_is_an_error(lake, jobs):
    wrong = [row for row in jobs["second"] if row["error"]]
    assert [row["path"] for row in wrong] == [str(lake / "scans" / CORRUPT)]
    assert jobs["status"] == 1 and wrong[0]["error"] in jobs["errors"]


def test_what_was_labelled_is_skipped(jobs):
    labelled = {row["path"] for row in jobs["first"] if not row["error"]}
    skipped = {row["path"] for row in jobs["second"] if row["skipped"]}
    assert labelled <= skipped and len(skipped) >= len(jobs["between"]) - 2  # without a record where it was killed
    assert len(skipped) < SCANS - 1


def test_nothing_half_written_is_left(lake, jobs):
    names = sorted(path.name for path in (lake / "labels").rglob("*") if path.is_file())
    assert [name for name in names if ".part-" in name] == []
    assert len(names) == 2 * (SCANS - 1)


def test_the_summary(lake, jobs):
    report = json.loads((lake / "report.json").read_text())
    skipped = sum(row["skipped"] for row in jobs["second"])
    assert (report["scans"], report["skipped"], report["labelled"]) == (SCANS, skipped, SCANS - 1 - skipped)
    assert sum(report["classes"].values()) == sum(len(data) // 4 for data in labels_below(lake / "labels").values())
    assert f"{SCANS - 1 - skipped} of {SCANS} scans labelled, {skipped} were labelled already, 1 errors" in jobs["text"]
    assert "scans/s" in jobs["text"] and "points" in jobs["text"]


THREADS = """
import sys, ray
from voxshift.batch import Labeller
ray.init(address=sys.argv[1], log_to_driver=False)
actor = ray.remote(num_cpus=2)(Labeller).remote(model=sys.argv[2])
loaded = ray.get(actor.load.remote())
print(loaded.model.threads, loaded.model.device, Labeller(model=sys.argv[2], threads=1).load().model.threads)
"""


def test_threads_are_the_actors_processors(lake, address):
    done = subprocess.run([sys.executable, "-c", THREADS, address, lake / "small.safetensors"], capture_output=True, text=True)
    assert done.stdout.split() == ["2", "cpu", "1"], done.stderr


DEADLY = """
import sys
from faulty_files import faulty
from voxshift.batch.listing import Scan
from voxshift.batch.on_ray import Workers, connect, label_on_ray
address, model, out, *paths = sys.argv[1:]
connect(address)
scans = [Scan(path, f"{out}/{i}.label") for i, path in enumerate(paths)]
arguments = {"model": model, "out": out, "filesystem": faulty(deadly=("street/30.bin",))}
for table in label_on_ray(scans, arguments, Workers(1, 1), batch=3, tries=1):
    for row in table.to_pylist():
        print("row", row["path"].rpartition("/")[2], (row["error"] or "").partition(": ")[2][:16])
"""


def test_a_scan_that_ends_its_worker_is_an_error(lake, address, tmp_path):
    """And the scans that were with it in a batch are labelled."""
    paths = [lake / "scans" / "street" / f"{i}.bin" for i in (32, 30, 33)]
    arguments = [address, lake / "small.safetensors", tmp_path / "out", *paths]
    done = subprocess.run([sys.executable, "-c", DEADLY, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("row ")]  # Ray tells of workers there, too
    assert sorted(rows) == ["row 30.bin ended the worker", "row 32.bin ", "row 33.bin "]
    assert sorted(labels_below(tmp_path / "out")) == ["0.label", "2.label"]
