"""Recordings for rerun, read back with rerun's own reader."""

import re
import sys

import numpy as np
import pytest
import voxshift as vs
from voxshift.look import Recording

rerun = pytest.importorskip("rerun", reason="rerun is not installed")
dataframe = pytest.importorskip("rerun.dataframe", reason="this rerun has another reader")

CLASSES = [("road", (255, 0, 255)), "car"]


def cloud(count=6, seed=0):
    return np.random.default_rng(seed).uniform(1, 9, (count, 4)).astype(np.float32)


def rows_of(path, entity, timeline="frame"):
    """One dict a row: column name without the entity's -> values."""
    table = dataframe.load_recording(path).view(index=timeline, contents=entity).select().read_all()
    table = table.drop([name for name in table.column_names if name in ("log_time", "log_tick", "time")])
    return [{name.split(":")[-1].split(".")[-1]: row[name] for name in table.column_names} for row in table.to_pylist()]


def column(row, part):
    """The one whose name has the part; names differ among versions of rerun."""
    found = [value for name, value in row.items() if re.search(part, name, re.IGNORECASE) and value is not None]
    assert len(found) == 1, (part, list(row))
    return found[0]


def test_scans_come_back(tmp_path):
    first, second = cloud(), cloud(4, 1)
    first[2, 1] = np.nan
    path = tmp_path / "scans.rrd"
    boxes = np.array([[1, 2, 3, 4, 6, 8, np.pi]], np.float32)
    vs.write_rrd(path, [
        {"points": first, "labels": np.array([0, 1, 0, 1, -1, 0]), "boxes": boxes, "scores": [0.5], "classes": [1],
         "seconds": 1.5, "name": "a"},
        {"points": second, "seconds": 2.5}, cloud(3)], CLASSES)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scans.rrd"]
    rows = rows_of(path, "/scan/classes")
    assert [row["frame"] for row in rows] == [0, 1, 2]
    np.testing.assert_array_equal(column(rows[0], "position"), np.delete(first[:, :3], 2, axis=0))
    assert column(rows[0], "class") == [0, 1, 1, 255, 0]
    assert column(rows[1], "class") == [255] * 4
    assert len(set(column(rows_of(path, "/scan/remission")[1], "color"))) > 2
    box = rows_of(path, "/scan/boxes")[0]
    assert column(box, "class") == [1] and column(box, "label|text") == ["0.50"]
    assert column(box, "half_?size") == [[2, 3, 4]]
    x, y, z, w = column(box, "quat")[0]
    assert 2 * np.arctan2(z, w) == pytest.approx(np.pi, abs=1e-3) and x == y == 0
    times = rows_of(path, "/scan/classes", "time")
    assert len(times) == 2  # the third scan has no time
    assert column(rows_of(path, "/scan/name")[0], "text") == ["a"]


def test_frames_of_a_camera_come_back_with_what_was_computed(tmp_path):
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    mask = np.zeros((4, 6), bool)
    mask[1] = True
    with Recording(tmp_path / "video.rrd", ["left", "right"]) as recording:
        recording.add_image(image, number=7, seconds=0.25, computed=mask, label="left", score=0.5, mac_fraction=0.125,
                            milliseconds=2.0)
    row, = rows_of(tmp_path / "video.rrd", "/camera/image")
    assert row["frame"] == 7
    assert bytes(np.ravel(column(row, "buffer")).astype(np.uint8)) == image.tobytes()
    row, = rows_of(tmp_path / "video.rrd", "/camera/image/computed")
    assert bytes(np.ravel(column(row, "buffer")).astype(np.uint8)) == mask.astype(np.uint8).tobytes()
    assert column(rows_of(tmp_path / "video.rrd", "/stream/mac_fraction")[0], "scalar") == [0.125]
    assert column(rows_of(tmp_path / "video.rrd", "/stream/label")[0], "text") == ["left"]


def test_what_fails_leaves_nothing(tmp_path):
    (tmp_path / "old.rrd").write_text("old")
    with pytest.raises(ValueError, match="labels expects"):
        vs.write_rrd(tmp_path / "old.rrd", [cloud(), {"points": cloud(), "labels": np.zeros(2, int)}])
    assert [p.name for p in tmp_path.iterdir()] == ["old.rrd"]
    assert (tmp_path / "old.rrd").read_text() == "old"
    with pytest.raises(OSError, match="none"):
        vs.write_rrd(tmp_path / "none" / "scan.rrd", cloud())


def test_without_rerun_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(ImportError, match=r"pip install 'voxshift\[rerun\]'"):
        vs.write_rrd(tmp_path / "scan.rrd", cloud())
    assert list(tmp_path.iterdir()) == []
