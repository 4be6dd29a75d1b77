"""The command `voxshift` on bad input: one line on standard error, exit status 1, nothing half-written left behind."""

import json
import os
import resource
import shutil
import stat
import struct
import subprocess

import numpy as np
import pytest
from command_fixture import COMMAND, cloud, fails, files, needs_command, put, read_header, run, write_header

pytestmark = needs_command


def bad_scans(folder):
    points = cloud(50)
    header = b"ply\nformat binary_little_endian 1.0\nelement vertex 50\nproperty float x\nproperty float y\n" \
             b"property float z\nproperty float intensity\nend_header\n"
    np.save(folder / "array.npy", points)
    contents = {
        "cut.bin": points.tobytes()[:-3],
        "empty.bin": b"",
        "three.bin": points.tobytes()[:12],
        "text.ply": b"these are some words\n",
        "short.ply": (header + points.tobytes())[:-7],
        "headless.ply": header[:40],
        "slice.npy": (folder / "array.npy").read_bytes()[:-1],
        "claims.npy": (folder / "array.npy").read_bytes().replace(b"(50, 4)", b"(9999999999999999, 4)"),
        "words.pcd": b"no point cloud",
        "astronomic.bin": np.array([[3e38, 0, 0, 0]], "<f4").tobytes(),
    }
    (folder / "array.npy").unlink()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def test_bad_scans_one_by_one(model, tmp_path):
    out = tmp_path / "out"
    for scan in bad_scans(tmp_path):
        fails("segment", scan, "--model", model, "--out", out, says=[f"voxshift: {scan}: "])
        assert files(out) == [], scan


def test_other_scans_are_done_after_a_bad_one(model, tmp_path):
    bad = bad_scans(tmp_path)
    good = [put(tmp_path / f"good{i}.bin", cloud(200, i)) for i in range(3)]
    out = tmp_path / "out"
    order = [bad[0], good[0], *bad[1:6], good[1], *bad[6:], good[2], bad[0].rename(tmp_path / "last.bin")]
    bad[0].write_bytes(b"123")
    result = run("segment", *order, "--model", model, "--out", out, "--write", "label,ply",
                 "--stats", tmp_path / "stats.json")
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    assert len(lines) == len(bad) + 1
    for scan in [*bad, tmp_path / "last.bin"]:
        assert sum(line.startswith(f"voxshift: {scan}: ") for line in lines) == 1, scan
    assert files(out) == sorted(f"good{i}.{kind}" for i in range(3) for kind in ("label", "ply"))
    assert [entry["scan"] for entry in json.loads((tmp_path / "stats.json").read_text())] == [str(g) for g in good]


def test_paths_that_are_no_scans(model, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").write_text("1 2 3")
    out = tmp_path / "out"
    (tmp_path / "a.las").write_bytes(b"LASF")
    for path, part in [("none.bin", "no such file"), ("a.las", "pdal translate"), ("a.txt", "expected a .bin"), ("empty", "no .bin")]:
        fails("segment", tmp_path / path, "--model", model, "--out", out, says=[tmp_path / path, part])
    os.mkfifo(tmp_path / "pipe.bin")
    fails("segment", tmp_path / "pipe.bin", "--model", model, "--out", out, says=[tmp_path / "pipe.bin"])
    assert files(out) == []


def test_links_to_pipes_and_in_circles(model, tmp_path):
    """A link to standard input, here a pipe, has no place in the file system that could be named."""
    out = tmp_path / "out"
    (tmp_path / "pipe.bin").symlink_to("/dev/stdin")
    (tmp_path / "loop.bin").symlink_to("loop.bin")
    for name, says in [("pipe.bin", "is not a file"), ("loop.bin", "no such file")]:
        result = subprocess.run([COMMAND, "segment", tmp_path / name, "--model", model, "--out", out],
                                input="", capture_output=True, text=True, timeout=60)
        assert result.returncode == 1 and result.stderr.count("\n") == 1, result.stderr
        assert result.stderr.startswith(f"voxshift: {tmp_path / name}: ") and says in result.stderr, result.stderr
    os.mkfifo(tmp_path / "net.config")
    (tmp_path / "link.config").symlink_to("net.config")
    for name in ("net.config", "link.config"):
        fails("new", "spvnas", "--config", tmp_path / name, "-o", tmp_path / "m.safetensors",
              says=[tmp_path / name, "is not a file"])


def broken_models(model, folder):
    """(file, what its line must say)"""
    header, data = read_header(model)
    whole = model.read_bytes()

    def graph(change):
        document = json.loads(header["__metadata__"]["voxshift.graph"])
        change({node["name"]: node for node in document["nodes"]}, document)
        return metadata("voxshift.graph", json.dumps(document))

    def metadata(key, value):
        return {**header, "__metadata__": {**header["__metadata__"], key: value}}

    def tensor(name, **entry):
        return {**header, name: {**header[name], **entry}}

    def without(name):
        return {key: value for key, value in header.items() if key != name}

    def renamed(nodes, document):
        nodes["stem.1.relu"]["inputs"] = ["somewhere"]

    headers = {
        "shape": (tensor("stem.0.kernel", shape=[4, 27, 2]), ["stem.0.kernel", "[27, 4, 2]", "[4, 27, 2]"]),
        "dtype": (tensor("classifier.0.bias", dtype="I32"), ["classifier.0.bias", "f32 [19]", "i32 [19]"]),
        "missing_tensor": (without("stem.0.kernel"), ["stem.0.kernel", "missing"]),
        "unknown_op": (graph(lambda nodes, _: nodes["stem.1"].update(op="layer_norm")), ["stem.1", "layer_norm"]),
        "cycle": (graph(lambda nodes, _: nodes["stem.0"].update(inputs=["stem.1"])), ["stem.0", "cycle"]),
        "unknown_input": (graph(renamed), ["stem.1.relu", "somewhere"]),
        "no_way_up": (graph(lambda nodes, _: nodes["up1.0.net.0"].update(stride=[3, 3, 3])), ["up1.0.net.0"]),
        "graph_not_json": (metadata("voxshift.graph", "{nodes:"), ["voxshift.graph", "not JSON"]),
        "profile_not_json": (metadata("voxshift.profile", "x"), ["voxshift.profile", "not JSON"]),
        "classes_not_json": (metadata("voxshift.classes", ""), ["voxshift.classes", "not JSON"]),
        "format": (metadata("voxshift.format", "99"), ["format", "99"]),
        "no_metadata": (without("__metadata__"), ["voxshift.format"]),
        "claims": (tensor("classifier.0.bias", shape=[2 ** 40], data_offsets=[0, 2 ** 42]), ["classifier.0.bias"]),
        "huge": (tensor("classifier.0.bias", shape=[2 ** 62, 2 ** 62]), ["too large"]),
        "overlap": (tensor("stem.0.kernel", data_offsets=[0, 864]), ["stem.0.kernel", "overlap"]),
        "newline": (tensor("classifier.0.bias", dtype="F\n\x1b[31m"), ["classifier.0.bias", "dtype"]),
    }
    models = [(write_header(folder / f"{name}.safetensors", text, data), says)
              for name, (text, says) in headers.items()]
    for name, content in {
        "empty": b"",
        "cut_length": whole[:5],
        "cut_header": whole[:500],
        "cut_data": whole[:-1],
        "long_header": struct.pack("<Q", 2 ** 63) + whole[8:],
        "not_json": struct.pack("<Q", 20) + b"this is no JSON text" + data,
    }.items():
        path = folder / f"{name}.safetensors"
        path.write_bytes(content)
        models.append((path, []))
    return [*models, (folder / "none.safetensors", ["No such file"]), (folder, ["not a file"])]


def test_bad_models(model, tmp_path):
    scan = put(tmp_path / "a.bin", cloud(20))
    out = tmp_path / "out"
    (tmp_path / "models").mkdir()
    for path, says in broken_models(model, tmp_path / "models"):
        commands = [["segment", scan, "--model", path, "--out", out], ["info", path]]
        for arguments in commands[: 1 if path.stem == "no_metadata" else 2]:  # info lists such a file's tensors
            line = fails(*arguments, says=says)
            assert line.startswith(f"voxshift: {path}: "), line
            assert "\x1b" not in line
        assert not out.exists(), path


def test_outputs_that_cannot_be_written(model, tmp_path):
    scans = [put(tmp_path / f"{name}.bin", cloud(50)) for name in "ab"]
    before = files(tmp_path)
    taken = tmp_path / "taken"
    taken.write_text("a file")
    for out in (taken, taken / "below"):
        fails("segment", *scans, "--model", model, "--out", out, says=[out])
    fails("segment", *scans, "--model", model, "--out", tmp_path / "out", "--write", "label",
          "--stats", taken / "stats.json", says=[taken / "stats.json", "cannot be written"])
    fails("new", "minkunet", "--width", 0.04, "-o", taken / "m.safetensors", says=[taken, "cannot be written"])
    fails("synth", "lidar", "-o", taken, says=[taken])
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "label_2").write_text("a file")
    fails("synth", "lidar", "--boxes", "-o", blocked, says=[blocked / "label_2"])
    assert (blocked / "label_2").read_text() == "a file" and "velodyne/000000.bin" not in files(blocked)
    shutil.rmtree(blocked)
    assert taken.read_text() == "a file"
    taken.unlink()
    assert files(tmp_path) == sorted([*before, "out", "out/a.label", "out/b.label"])

    # A folder stands where a result shall be: that scan fails, the other is done.
    out = tmp_path / "half"
    (out / "a.label").mkdir(parents=True)
    fails("segment", *scans, "--model", model, "--out", out, "--write", "label", says=[out / "a.label"])
    assert files(out) == ["a.label", "b.label"] and (out / "b.label").stat().st_size == 200


@pytest.mark.parametrize("kind", ["label", "ply", "scores"])
def test_a_disk_that_fills_up(model, tmp_path, kind):
    scan = put(tmp_path / "a.bin", cloud(5000))
    out = tmp_path / "out"
    result = subprocess.run(
        [COMMAND, "segment", scan, "--model", model, "--out", out, "--write", kind], capture_output=True, text=True,
        timeout=60, restore_signals=False,  # SIGXFSZ stays ignored: writing fails as on a full disk
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000)))
    assert result.returncode == 1, result.stderr
    assert result.stderr.count("\n") == 1 and f"voxshift: {out}/a." in result.stderr, result.stderr
    assert files(out) == []


def run_within(limits, *arguments):
    """With so many bytes of address space and of a thread's stack."""
    def limit():
        for what, size in limits.items():
            resource.setrlimit(what, (size, size))

    result = subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=60,
                            preexec_fn=limit)
    if "ReserveShadowMemoryRange" in result.stderr:
        pytest.skip("AddressSanitizer takes more address space than the limit leaves")
    return result


def test_a_scan_larger_than_memory(model, tmp_path):
    scans = [put(tmp_path / f"{name}.bin", cloud(50)) for name in "abc"]
    os.truncate(scans[1], 2 << 30)  # takes no room on the disk
    out = tmp_path / "out"
    result = run_within({resource.RLIMIT_AS: 3 << 29}, "segment", *scans, "--model", model, "--threads", 1, "--out",
                        out, "--write", "label")
    assert (result.returncode, result.stderr) == (1, f"voxshift: {scans[1]}: not enough memory\n")
    assert files(out) == ["a.label", "c.label"]


def test_threads_that_the_system_refuses(model, tmp_path):
    """The stack of a thread is larger than all memory: one thread does all the work."""
    scans = [put(tmp_path / f"{name}.bin", cloud(5000)) for name in "abc"]
    segment = ["segment", *scans, "--model", model, "--threads", 4, "--write", "label"]
    assert run(*segment, "--out", tmp_path / "usual").returncode == 0
    result = run_within({resource.RLIMIT_STACK: 8 << 30, resource.RLIMIT_AS: 4 << 30}, *segment, "--out",
                        tmp_path / "alone")
    assert (result.returncode, result.stderr) == (0, "")
    for name in "abc":
        assert (tmp_path / "alone" / f"{name}.label").read_bytes() == (tmp_path / "usual" / f"{name}.label").read_bytes()


@pytest.mark.parametrize("name", ["bad.bin", "bad.npy", "bad.ply", "bad.pcd"])
@pytest.mark.parametrize("place", ["/proc/self/mem", "/sys/devices/system/cpu/online"])
def test_a_scan_that_cannot_be_read(model, tmp_path, place, name):
    """Opened, and then reading fails (EIO), or gives fewer bytes than the file claims."""
    if not os.path.exists(place):
        pytest.skip(f"this system has no {place}")
    bad, good = tmp_path / name, put(tmp_path / "good.bin", cloud(50))
    bad.symlink_to(place)
    out = tmp_path / "out"
    fails("segment", bad, good, "--model", model, "--out", out, "--write", "label", says=[bad])
    assert files(out) == ["good.label"]
    fails("segment", good, "--model", bad, "--out", out, says=[bad])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(model, tmp_path):
    scan = put(tmp_path / "a.bin", cloud(50))
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(stat.S_IRUSR | stat.S_IXUSR)
    fails("segment", scan, "--model", model, "--out", out, "--write", "label", says=[out / "a.label", "Permission"])
    assert files(out) == []


def test_names_that_would_collide(model, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        put(tmp_path / folder / "a.bin", cloud(20))
    arguments = ["--model", model, "--out", tmp_path / "out"]
    fails("segment", tmp_path / "one", tmp_path / "two", *arguments, says=["a.label", "would replace"])
    scan = tmp_path / "one" / "a.bin"
    fails("segment", scan, scan, *arguments, says=["would replace"])
    ply = tmp_path / "a.ply"
    ply.write_bytes(b"ply")
    fails("segment", ply, "--model", model, "--out", tmp_path, "--write", "ply", says=[ply, "would replace"])
    assert ply.read_bytes() == b"ply"
    assert not (tmp_path / "out").exists()


def test_names_that_are_no_utf8(model, tmp_path):
    name = os.fsencode(tmp_path) + b"/\xff\xfe.bin"
    with open(name, "wb") as file:
        file.write(cloud(30).tobytes())
    result = subprocess.run([COMMAND, "segment", name, "--model", model, "--out", tmp_path, "--write", "label",
                             "--stats", tmp_path / "stats.json"], capture_output=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "stats.json").read_text())[0]["points"] == 30
    assert os.path.getsize(os.fsencode(tmp_path) + b"/\xff\xfe.label") == 120
