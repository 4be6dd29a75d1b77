"""The programs that prepare and show measurements on a GPU, as far as they run without one."""

import importlib.util
import json
import struct
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import voxshift as vs

BENCHMARKS = Path(__file__).resolve().parent.parent.parent / "benchmarks"


def program(path):
    spec = importlib.util.spec_from_file_location(Path(path).stem, BENCHMARKS / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entry(architecture, payload):
    """A kernel of a container: kind, version, the header's size, the payload's, .., the architecture at byte 28."""
    header = struct.pack("<HHIQ", 2, 0x101, 64, len(payload)) + bytes(12) + struct.pack("<I", architecture)
    return header.ljust(64, b"h") + payload


def container(*entries):
    content = b"".join(entries)
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(content)) + content


def test_kernels_of_other_architectures_become_zeros(tmp_path, monkeypatch):
    before = b"code" + container(entry(80, b"A" * 24), entry(90, b"B" * 40)) + b"data" + container(entry(86, b"C" * 8)) + b"end"
    with zipfile.ZipFile(tmp_path / "kernels-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("kernels/core.so", before)
        wheel.writestr("kernels/__init__.py", "")
    monkeypatch.setattr(sys, "argv", ["pack_wheels.py", str(tmp_path), "90", str(tmp_path / "out.tar.xz")])
    program("peers/pack_wheels.py").main()
    with tarfile.open(tmp_path / "out.tar.xz") as archive:
        packed = archive.extractfile("kernels/core.so").read()
        assert "kernels/__init__.py" in archive.getnames()
    assert packed == before.replace(b"A" * 24, bytes(24)).replace(b"C" * 8, bytes(8))


def test_the_table_says_what_was_not_measured():
    tables = program("cuda_tables.py")
    results = {"gpu": "G", "driver": "1", "commit": "c", "date": "d", "peers": {"spconv": {"median_ms": 9.0, "version": "2"}},
               "ours": {"matmul_f16_tflops": 700, "copy_gb_per_s": 4000,
                        "results": [{"name": "segment minkunet f16", "ms": 3.0, "maps_ms": 0.4},
                                    {"name": "segment minkunet i8", "ms": 1.5},
                                    {"name": "layer stride 1 128 f16", "of_matmul": 0.2, "of_copy": 0.5},
                                    {"name": "layer stride 4 256 f16", "of_matmul": 0.1, "of_copy": 0.9}]},
               "training": {"f16": {"voxshift": {"step_ms": 10.0, "peak_mb": 500.0},
                                    "spconv": {"step_ms": 25.0, "peak_mb": 1000.0}, "spconv_triton": {"error": "no"}}}}
    lines = tables.table(results).splitlines()
    rows = {cells[1].strip(): cells[2].strip() for cells in (line.split("|") for line in lines) if len(cells) == 5}
    assert rows["MinkUNet 1.0, points to labels on the device, f16"] == "3.00 ms"
    assert rows["the same in i8: share of f16's time"] == "0.50"
    assert rows["the same in f32"] == "not measured"
    assert rows["faster than spconv 2 f16 (9.0 ms), maps included"] == "3.00 x"
    assert rows["3^3 layers of 128 channels and more, f16: share of cuBLAS' rate, true pairs counted"] == "10.0 to 20.0 %"
    assert rows["3^3 layers at strides 1 and 2, f16: share of copy bandwidth, a row per pair counted"] == "50.0 to 50.0 %"
    step = "training step of MinkUNet 1.0, two scans, f16"
    assert (rows[step], rows[f"faster than spconv, {step}"]) == ("10.0 ms", "2.50 x")
    assert rows["its peak memory, share of spconv's, f16"] == "0.50"
    assert rows[f"faster than spconv-triton, {step}"] == "not measured"
    assert "network|" in lines[-1] and "training" in lines[-1]


def test_dense_products_are_shown_and_wins_listed():
    tables = program("cuda_tables.py")

    def entry(name, own, library=None):
        found = {"name": name, "own_ms": own, "own_of_matmul": 0.25}
        return found if library is None else {**found, "cublaslt_ms": library, "cublaslt_of_matmul": 0.5}

    results = {"ours": {"device": "sm_90 G", "results": [
        {"name": "segment minkunet f16", "ms": 3.0},
        entry("dense pvcnn 100 64 128 f16", 1.0, 0.5), entry("dense minkunet 50 64 128 f16", 1.0, 0.9),
        entry("dense minkunet 50 96 20 f32", 1.0, 0.5), entry("dense second 70 96 20 f32", 1.0, 0.96),
        entry("dense minkunet 50 96 19 f16", 1.0), entry("dense_gradient pvcnn 100 64 128 f32", 2.0, 1.0)]}}
    assert tables.dense_wins(results) == ["{90, DenseOp::kProduct, DType::kF16, 64, 128},",
                                          "{90, DenseOp::kWeightGradient, DType::kF32, 64, 128},"]
    lines = tables.dense_table(results)
    assert len(lines) == 5 + 6
    assert "| pvcnn | 100 | 64 -> 128 | f16 | 1.0000 ms, 25.0 % | 0.5000 ms, 50.0 % |" in lines
    assert "| minkunet | 50 | 96 -> 19 | f16 | 1.0000 ms, 25.0 % | does not compute it |" in lines
    assert "| pvcnn, gradient | 100 | 64 -> 128 | f32 | 2.0000 ms, 25.0 % | 1.0000 ms, 50.0 % |" in lines
    assert tables.dense_table({"ours": {"results": []}}) == []


def test_a_training_step_is_timed(tmp_path, capsys, monkeypatch):
    pytest.importorskip("torch")
    vs.Model.new("minkunet", width=0.125, seed=1).save(str(tmp_path / "model.safetensors"))
    monkeypatch.setattr(sys, "argv", ["cuda_training.py", "--tiny", "--device", "cpu", "--side", "voxshift", "--dtype", "f32",
                                      "--repeats", "1", "--model", str(tmp_path / "model.safetensors")])
    program("peers/cuda_training.py").main()
    found = json.loads(capsys.readouterr().out)
    assert found["voxels"] > 400 and found["loss"] > 0
    assert found["step_ms"] == pytest.approx(found["forward_ms"] + found["backward_ms"] + found["optimizer_ms"])
