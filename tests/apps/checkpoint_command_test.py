"""`voxshift info` of checkpoints that are no model files."""

import json
import os
import struct

import numpy as np
import pytest
from command_fixture import fails, needs_command, run, succeeds

torch = pytest.importorskip("torch")
pytestmark = needs_command


@pytest.fixture(autouse=True)
def needs_libzip(tmp_path):
    path = tmp_path / "probe.pth"
    torch.save({}, path)
    result = run("info", path)
    if "libzip-dev" in result.stderr:
        pytest.skip(result.stderr)


class Scheduler:
    def __init__(self):
        self.hidden = torch.ones(5)


class Command:
    def __reduce__(self):
        return os.system, ("touch ran",)


def rows(text, head):
    """{first word: other words} of the table whose first line begins with `head`."""
    lines = text.split("\n")
    first = next(i for i, line in enumerate(lines) if line.startswith(head))
    return {line.split()[0]: line.split()[1:] for line in lines[first + 1 : lines.index("", first)]}


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_is_listed(tmp_path, zipped):
    weight = torch.arange(12, dtype=torch.float16).view(3, 4)
    content = {"state_dict": {"module.w": weight, "module.tied": weight, "module.n": torch.tensor(3)}, "epoch": 12, "lr": 0.25,
               "name": "a\x1b[31m" + "é" * 80, "betas": (0.9, 0.999), "steps": list(range(30)), "best": None, "nested": [{"t": torch.ones(2)}, {}],
               "scheduler": [Scheduler(), Scheduler()], "evil": Command(), "loaded": True, "again": {}}
    content["again"]["meta"] = content["betas"]
    path = tmp_path / "last.weights"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    text = succeeds("info", path, cwd=tmp_path)
    assert text.startswith(f"{path}: a checkpoint of PyTorch" + ("" if zipped else " before 1.6") + ", 4 tensors, 0.00 MB")
    tensors = rows(text, "tensor")
    assert tensors == {"state_dict.module.w": ["f16", "[3,", "4]", "12"], "state_dict.module.tied": ["f16", "[3,", "4]", "12"],
                       "state_dict.module.n": ["i64", "[]", "1"], "nested[0].t": ["f32", "[2]", "2"]}
    values = rows(text, "key")
    assert values["epoch"] == ["12"] and values["lr"] == ["0.25"] and values["best"] == ["None"] and values["loaded"] == ["True"]
    assert values["betas"] == ["[0.9,", "0.999]"] and values["again.meta"] == ["as", "betas"]
    assert values["steps"] == ["[0,", "1,", "2,", "3,", "4,", "5,", "6,", "7,", "..", "30", "in", "all]"]
    assert "\x1b" not in text and "é.." in values["name"][0] and len(values["name"][0]) < 70
    objects = next(line for line in text.splitlines() if line.startswith("Objects of other classes, not read:"))
    assert ".Scheduler (2 times)" in objects and "posix.system" in objects and "hidden" not in text
    assert f"voxshift convert {path}" in text
    assert not (tmp_path / "ran").exists()


def test_a_module_is_listed_by_its_parameters(tmp_path):
    path = tmp_path / "net.pth"
    torch.save(torch.nn.Sequential(torch.nn.Linear(2, 3)), path)
    tensors = rows(succeeds("info", path), "tensor")
    assert tensors["_modules.0._parameters.weight"] == ["f32", "[3,", "2]", "6"]


def test_safetensors_without_a_model(tmp_path):
    header = json.dumps({"a": {"dtype": "F64", "shape": [2], "data_offsets": [0, 16]}}).encode()
    path = tmp_path / "weights.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + np.ones(2).tobytes())
    text = succeeds("info", path)
    assert "a safetensors file without a model of voxshift" in text and rows(text, "tensor") == {"a": ["f64", "[2]", "2"]}


def test_bad_checkpoints(tmp_path):
    whole = tmp_path / "whole.pth"
    torch.save({"w": torch.ones(100)}, whole)
    for name, content, says in [("cut.pth", whole.read_bytes()[:300], "cut or damaged"), ("empty.pt", b"", "is empty"),
                                ("text.ckpt", b"hello", "is no checkpoint"), ("call.pkl", b"cos\nsystem\n(S'touch ran'\ntR.", "os.system")]:
        (tmp_path / name).write_bytes(content)
        line = fails("info", tmp_path / name, says=[f"{tmp_path / name}: ", says], cwd=tmp_path)
        assert line.count(str(tmp_path / name)) == 1
    assert not (tmp_path / "ran").exists()
