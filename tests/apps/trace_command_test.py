"""`--trace`: Chrome's trace event format, read back."""

import json

import pytest
from command_fixture import cloud, fails, model, needs_command, put, succeeds  # noqa: F401
from detect_command_test import detector, scan  # noqa: F401
from recognize_command_test import clips, video_model  # noqa: F401
from run_command_test import arguments, network  # noqa: F401

pytestmark = needs_command

MICRO = 1e-3  # a nanosecond: what adding up durations may lose


def read(path):
    """The spans, each with its `parent`, after what holds for every trace was looked at."""
    document = json.loads(path.read_text(encoding="utf-8"))
    assert set(document) == {"traceEvents", "displayTimeUnit", "otherData"}
    assert document["otherData"]["device"] == "cpu" and document["otherData"]["threads"] >= 1
    events = document["traceEvents"]
    rows = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert sorted(rows.values()) == ["compute", "read", "write"]
    spans = [event for event in events if event["ph"] == "X"]
    assert len(spans) + 4 == len(events)
    for row in rows:
        nest([span for span in spans if span["tid"] == row])
    for span in spans:
        assert span["ts"] >= 0 and span["dur"] >= 0 and span["pid"] == 1
        span["row"] = rows[span["tid"]]
    return spans


def nest(spans):
    """Sets the parents; spans of a row lie within one another or apart."""
    stack = []
    for span in sorted(spans, key=lambda s: (s["ts"], -s["dur"])):
        while stack and stack[-1]["ts"] + stack[-1]["dur"] <= span["ts"] + MICRO and stack[-1]["cat"] != "stage":
            stack.pop()
        while stack and span["cat"] == "stage":
            assert stack[-1]["ts"] + stack[-1]["dur"] <= span["ts"] + MICRO
            stack.pop()
        if stack:
            assert span["ts"] + span["dur"] <= stack[-1]["ts"] + stack[-1]["dur"] + MICRO, (span["name"], stack[-1]["name"])
        span["parent"] = stack[-1] if stack else None
        stack.append(span)


def of(spans, kind, row="compute"):
    return [span for span in spans if span["cat"] == kind and span["row"] == row]


def test_segment(model, tmp_path):
    (tmp_path / "scans").mkdir()
    for i in range(3):
        put(tmp_path / "scans" / f"{i}.bin", cloud(3000, seed=i))
    succeeds("segment", tmp_path / "scans", "--model", model, "--out", tmp_path / "out", "--write", "label", "--trace",
             tmp_path / "trace.json", "--stats", tmp_path / "stats.json", "--threads", 1)  # fmt: skip
    spans, stats = read(tmp_path / "trace.json"), json.loads((tmp_path / "stats.json").read_text())
    for row in ["read", "compute", "write"]:
        assert [span["name"] for span in of(spans, "stage", row)] == ["0.bin", "1.bin", "2.bin"]
    networks = [span for span in of(spans, "step") if span["name"] == "network"]
    assert [span["args"]["macs"] for span in networks] == [one["model"]["macs"] for one in stats]
    for span, one in zip(networks, stats):
        layers = [layer for layer in of(spans, "layer") if layer["parent"] is span]
        assert sum(layer["args"]["macs"] for layer in layers) == one["model"]["macs"] > 0
        assert span["dur"] / 1e6 == pytest.approx(one["seconds"]["network"])
        assert len(layers) > 20 and {layer["args"]["dtype"] for layer in layers} == {"f32"}
    stages = of(spans, "stage")
    assert [stage["args"]["points"] for stage in stages] == [3000] * 3
    assert [[part["name"] for part in of(spans, "step") if part["parent"] is stage] for stage in stages] == [
        ["voxelize", "maps", "network"]] * 3  # fmt: skip


def test_detect(detector, scan, tmp_path):
    put(tmp_path / "a.bin", scan)
    succeeds("detect", tmp_path / "a.bin", "--columns", 4, "--model", detector, "--out", tmp_path, "--write", "json",
             "--trace", tmp_path / "trace.json", "--stats", tmp_path / "stats.json")  # fmt: skip
    spans, stats = read(tmp_path / "trace.json"), json.loads((tmp_path / "stats.json").read_text())
    assert [part["name"] for part in of(spans, "step")] == ["voxelize", "maps", "network", "boxes"]
    assert sum(layer["args"]["macs"] for layer in of(spans, "layer")) == stats[0]["model"]["macs"] > 0


def test_run(network, tmp_path):
    folder, _, _ = network
    succeeds("run", *arguments(folder), "--out", folder, "--trace", folder / "trace.json", "--stats", folder / "stats.json")
    spans, stats = read(folder / "trace.json"), json.loads((folder / "stats.json").read_text())
    layers = of(spans, "layer")
    assert [layer["name"] for layer in layers] == [layer["name"] for layer in stats["layers"]]
    for layer, expected in zip(layers, stats["layers"]):
        assert layer["args"]["macs"] == expected["macs"] and layer["dur"] / 1e6 == pytest.approx(expected["seconds"])
        assert (layer["args"]["op"], layer["args"]["rows"]) == (expected["kind"], expected["rows"])


@pytest.mark.parametrize("skip", ["off", "exact", "0.2"])
@pytest.mark.parametrize("clip", ["moving.mkv", "still.mkv"])
def test_recognize(clips, video_model, tmp_path, clip, skip):
    succeeds("recognize", clips / clip, "--model", video_model, "--skip", skip, "--json", tmp_path / "frames.json",
             "--trace", tmp_path / "trace.json", "--threads", 1)  # fmt: skip
    frames = [json.loads(line) for line in (tmp_path / "frames.json").read_text().splitlines()]
    spans = read(tmp_path / "trace.json")
    stages = of(spans, "stage")
    assert [stage["name"] for stage in stages] == [f"frame {frame['frame']}" for frame in frames]
    for stage, frame in zip(stages, frames):
        network, = [part for part in of(spans, "step") if part["parent"] is stage]
        layers = [layer for layer in of(spans, "layer") if layer["parent"] is network]
        assert sum(layer["args"]["macs"] for layer in layers) == stage["args"]["macs"] == network["args"]["macs"]
        assert stage["args"]["macs"] / stage["args"]["dense_macs"] == pytest.approx(frame["mac_fraction"])
        assert network["dur"] == pytest.approx(1e3 * frame["ms"])
    assert stages[0]["args"]["macs"] > 0


def test_a_trace_changes_no_result(clips, video_model, tmp_path):
    def scores(*options):
        out = succeeds("recognize", clips / "moving.mkv", "--model", video_model, "--skip", "0.2", "--json", "-", *options)
        return [(frame["score"], frame["mac_fraction"]) for frame in map(json.loads, out.splitlines())]

    assert scores("--trace", tmp_path / "trace.json") == scores()


def test_a_trace_that_cannot_be_written(model, tmp_path):
    put(tmp_path / "a.bin", cloud(100))
    fails("segment", tmp_path / "a.bin", "--model", model, "--out", tmp_path, "--trace", tmp_path / "none" / "t.json",
          says=["t.json"])  # fmt: skip
