"""Pages from Python: what frames may be, and what the page then holds."""

import base64
import html
import json
import re
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import voxshift as vs


def cloud(count=6, seed=0):
    return np.random.default_rng(seed).uniform(-9, 9, (count, 4)).astype(np.float32)


def meta_of(page):
    text = page.html() if isinstance(page, vs.Page) else page
    return json.loads(re.search(r'id="meta">(.*?)</script>', text, re.DOTALL)[1])


def records_of(page, frame=0):
    text = re.search(rf'id="frame{frame}">(.*?)</script>', page.html(), re.DOTALL)[1]
    return np.frombuffer(base64.b64decode(text), [("xyz", "<u2", 3), ("remission", "u1"), ("label", "u1")])


@pytest.mark.parametrize("give", [
    lambda p: p,
    lambda p: p.astype(np.float64),
    lambda p: [p],
    lambda p: {"points": p},
    lambda p: ({"points": q} for q in [p]),
    lambda p: SimpleNamespace(points=p, has_remission=True),
    lambda p: {"points": SimpleNamespace(points=p, has_remission=True, origin=[0, 0, 0], time=np.zeros(6))},
])
def test_frames_are_given_in_many_ways(give):
    points = cloud()
    page = vs.Page(give(points))
    frame = meta_of(page)["frames"][0]
    found = np.array(frame["low"]) + records_of(page)["xyz"] / 65535 * np.array(frame["extent"])
    np.testing.assert_allclose(found, points[:, :3], atol=18 / 65535)
    assert meta_of(page)["remission"] == pytest.approx(points[:, 3].max())
    assert frame["counts"] == []


def test_labels_and_boxes_are_those_of_the_tasks():
    classes = [SimpleNamespace(name="road", rgb=(255, 0, 255)), ("car", (1, 2, 3)), "tree"]
    found = SimpleNamespace(boxes=np.array([[1, 2, 3, 4, 5, 6, 0.5, 7, 8]], np.float32), scores=np.array([0.75]),
                            classes=np.array([1]))
    page = vs.Page({"points": cloud(), "labels": np.array([0, 1, -1, 255, 2, 1]), "boxes": found, "name": "a",
                    "seconds": 1.5}, classes, title="t")
    meta = meta_of(page)
    assert [c["name"] for c in meta["classes"]] == ["road", "car", "tree"]
    assert [c["rgb"] for c in meta["classes"]][:2] == [[255, 0, 255], [1, 2, 3]]
    assert records_of(page)["label"].tolist() == [0, 1, 255, 255, 2, 1]
    assert meta["frames"][0]["boxes"] == [[1, 2, 3, 4, 5, 6, 0.5, 0.75, 1]]
    assert (meta["title"], meta["frames"][0]["name"], meta["frames"][0]["seconds"]) == ("t", "a", 1.5)


def test_a_cloud_of_a_file(tmp_path):
    cloud(50).tofile(tmp_path / "scan.bin")
    scan = vs.read_points(tmp_path / "scan.bin", columns=4)
    vs.write_html(tmp_path / "scan.html", scan)
    assert meta_of((tmp_path / "scan.html").read_text(encoding="utf-8"))["frames"][0]["points"] == 50


def test_without_classes_they_are_numbers():
    page = vs.Page({"points": cloud(), "labels": np.array([0, 1, 7, 7, 254, 3])})
    assert meta_of(page)["classes"][7]["name"] == "class 7"
    assert len({tuple(c["rgb"]) for c in meta_of(page)["classes"][:8]}) == 8


def test_what_is_left_out_is_said():
    with pytest.warns(UserWarning, match=r"\[page\] every 2nd of 4 frames is shown; 1 of 2 points is shown"):
        page = vs.Page([cloud(30000)] * 4, max_frames=2, max_points=40000)
    assert len(meta_of(page)["frames"]) == 2
    assert page.notes == ["every 2nd of 4 frames is shown", "1 of 2 points is shown"]


def test_notebooks_show_it_in_a_frame_of_its_own():
    page = vs.Page(cloud())
    text = page._repr_html_()
    srcdoc = re.fullmatch(r'<iframe sandbox="allow-scripts" style="[^"]*" srcdoc="([^"]*)"></iframe>', text)[1]
    assert html.unescape(srcdoc) == page.html()


@dataclass
class Empty:
    points: object = None


@pytest.mark.parametrize("frames, says", [
    (np.zeros((3, 2)), r"points expects numbers \[N, C\], C at least 3, found float64 \[3, 2\]"),
    ([np.zeros(3)], r"points expects numbers"),
    ({"points": cloud(), "labels": np.zeros(5, int)}, r"labels expects whole numbers \[6\], found int64 \[5\]"),
    ({"points": cloud(), "labels": np.zeros(6)}, r"labels expects whole numbers \[6\], found float64"),
    ({"points": cloud(), "boxes": np.zeros((2, 6))}, r"boxes expects numbers \[M, 7 or more\]"),
    ({"points": cloud(), "boxes": np.zeros((2, 7)), "scores": np.zeros(3)}, r"scores expects one a box, \[2\], found \[3\]"),
    ({"points": cloud(), "label": np.zeros(6, int)}, "a dict expects points labels .*, found label"),
    ({"labels": np.zeros(6, int)}, "a frame expects points, found none"),
    ([], "expects at least one frame, found none"),
    (Empty(), "a frame expects points, found none"),
])
def test_errors(frames, says):
    with pytest.raises(ValueError, match=says):
        vs.Page(frames)


def test_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(OSError, match="page.html"):
        vs.write_html(tmp_path / "none" / "page.html", cloud())
