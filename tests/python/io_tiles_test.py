"""LAS tiles labelled block by block, against plain loops over all points."""

import math
import resource
import tracemalloc
import warnings

import numpy as np
import pytest
import voxshift as vs
from io_files_test import tile
from voxshift.io import tiles

laspy = pytest.importorskip("laspy", reason="needs laspy (pip install voxshift[io])")


class Recorder:
    """In a model's place: labels a point by the number of the call that it came with, and keeps what it was given."""

    def __init__(self, relative_to="tile", scale=(1, 1, 1, 1)):
        self.profile = {"scale": list(scale), "relative_to": relative_to}
        self.classes, self.calls = [], []

    def segment(self, points, **options):
        self.calls.append((points.copy(), options))
        return np.full(len(points), len(self.calls) % 250, np.uint8)


def made_tile(path, points=3000, size=100.0, seed=5, corner=(431003.25, 5407011.5)):
    """Points over a square."""
    random = np.random.default_rng(seed)
    las = laspy.create(point_format=6)
    las.header.scales, las.header.offsets = [0.001] * 3, [*corner, 0]
    las.x = corner[0] + random.random(points) * size
    las.y = corner[1] + random.random(points) * size
    las.z = 412.0 + random.random(points) * 10
    las.intensity = random.integers(0, 65536, points)
    las.write(path)
    return laspy.read(path)


def classification(path):
    return np.array(laspy.read(path).classification)


@pytest.mark.parametrize("corner", [(431003.25, 5407011.5), (-53.5, -31.25)], ids=["utm", "around 0"])
@pytest.mark.parametrize("overlap", [0, 3, 25])
def test_blocks(overlap, corner, tmp_path):
    """Each point's label is that of the square it is in, which saw all points up to the overlap, once, in order."""
    las, model, block = made_tile(tmp_path / "a.las", corner=corner), Recorder(), 25.0
    [path] = vs.label_tiles(model, tmp_path / "a.las", tmp_path / "out", block=block, overlap=overlap, remission_scale=65535)
    assert path == tmp_path / "out" / "a.las"
    x, y, z = np.array(las.x), np.array(las.y), np.array(las.z)
    squares = sorted({(math.floor(a / block), math.floor(b / block)) for a, b in zip(x, y)})
    assert len(squares) == len(model.calls) >= 25
    labels = classification(path)
    for number, ((i, j), (points, options)) in enumerate(zip(squares, model.calls), 1):
        middle = ((i + 0.5) * block, (j + 0.5) * block)
        reach = block / 2 + overlap
        seen = [k for k in range(len(x)) if -reach <= x[k] - middle[0] < reach and -reach <= y[k] - middle[1] < reach]
        expected = [(x[k] - middle[0], y[k] - middle[1], z[k] - 400, las.intensity[k]) for k in seen]
        assert points.dtype == np.float32 and options == {"remission_scale": 65535.0}
        np.testing.assert_array_equal(points, np.float32(expected))
        nearest = [k for k in seen if max(abs(x[k] - middle[0]), abs(y[k] - middle[1])) < block / 2]
        assert all(labels[k] == number for k in nearest)
    assert sorted(labels.tolist()) == sorted(
        squares.index((math.floor(a / block), math.floor(b / block))) + 1 for a, b in zip(x, y))


def test_everything_else_stays_bit_by_bit(tmp_path):
    las = tile(tmp_path / "a.las", 7)
    [path] = vs.label_tiles(Recorder(), tmp_path / "a.las", tmp_path / "b.las", block=100, remission_scale=65535)
    again = laspy.read(path)
    for name in las.point_format.dimension_names:
        if name != "classification":
            assert np.array_equal(np.array(again[name]), np.array(las[name])), name
    assert list(again.header.scales) == list(las.header.scales) and list(again.header.offsets) == list(las.header.offsets)


def test_the_size_of_chunks_shows_nowhere(tmp_path, monkeypatch, small_model):
    made_tile(tmp_path / "a.las")
    found = []
    for chunk in (1 << 17, 100, 7):
        monkeypatch.setattr(tiles, "CHUNK", chunk)
        with pytest.warns(UserWarning, match="a.las: intensity was taken for 0..65535, the model takes 0..1$"):
            [path] = vs.label_tiles(small_model, tmp_path / "a.las", tmp_path / f"{chunk}", block=40, overlap=4)
        found.append(path.read_bytes())
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("relative_to", ["sensor", "tile"])
def test_labels_of_a_model(relative_to, synthetic_points, tmp_path):
    """What the model says of each square alone, with the sensor over its middle."""
    shipped = vs.Model.pretrained("minkunet-lidar")
    xyz = synthetic_points[::5, :3].astype(np.float64)
    las = laspy.create(point_format=6)
    las.header.scales, las.header.offsets = [0.001] * 3, [5e5, 5e6, 0]
    las.x, las.y, las.z = (xyz + [5e5 + 30, 5e6, 250]).T
    las.intensity = np.round(synthetic_points[::5, 3] * 255)
    las.write(tmp_path / "a.las")
    las = laspy.read(tmp_path / "a.las")

    model = Recorder()
    model.profile = {**shipped.profile, "relative_to": relative_to}
    model.classes, model.segment = shipped.classes, shipped.segment
    codes = {info.name: info.raw_id for info in shipped.classes}
    with pytest.warns(UserWarning, match="a.las: intensity was taken for 0..255, the model takes 0..1$") as guesses:
        [path] = vs.label_tiles(model, tmp_path / "a.las", tmp_path / "out", overlap=2, codes=codes)
    assert len(guesses) == 1
    labels = classification(path)
    there, kinds = np.column_stack([las.x, las.y, las.z]), set()
    for i, j in sorted({tuple(one) for one in np.floor(there[:, :2] / 50).tolist()}):
        middle = [i * 50 + 25, j * 50 + 25, 200]
        away = there[:, :2] - middle[:2]
        seen = ((away >= -27) & (away < 27)).all(1)
        own = (np.floor(there[:, :2] / 50) == [i, j]).all(1)
        points = np.column_stack([there - middle, las.intensity]).astype(np.float32)[seen]
        options = {}
        if relative_to == "sensor":
            near = [z for x, y, z, _ in points.tolist() if math.hypot(x, y) < 10] or points[:, 2].tolist()
            options["origin"] = [0, 0, float(np.quantile(np.float32(near), 0.25)) + 1.73]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = shipped.segment(points, remission_scale=255, **options)[own[seen]]
        assert labels[own].tolist() == [shipped.classes[label].raw_id for label in expected]
        kinds |= set(expected.tolist())
    assert len(kinds) > 5


def test_options_and_guesses(tmp_path):
    made_tile(tmp_path / "a.las", points=200)
    for options in ({"sensor": "kitti"}, {"remission_scale": 65535.0}):
        model = Recorder()
        vs.label_tiles(model, tmp_path / "a.las", tmp_path / "out", **options)
        assert all(given == options for _, given in model.calls)
    model = Recorder("sensor")
    vs.label_tiles(model, tmp_path / "a.las", tmp_path / "out", remission_scale=1)
    assert all(set(given) == {"remission_scale", "origin"} for _, given in model.calls)
    model = Recorder(scale=(1, 1, 1))  # of a network that takes no remission
    vs.label_tiles(model, tmp_path / "a.las", tmp_path / "out")
    assert all(given == {} for _, given in model.calls)
    las = laspy.read(tmp_path / "a.las")
    las.intensity[:] = 0
    las.write(tmp_path / "a.las")
    with pytest.warns(UserWarning, match="a.las: has no intensity: results will be worse than with it$"):
        vs.label_tiles(Recorder(), tmp_path / "a.las", tmp_path / "out")
    las.intensity[:] = 1
    las.write(tmp_path / "a.las")
    vs.label_tiles(Recorder(), tmp_path / "a.las", tmp_path / "out")


def test_several_tiles(tmp_path):
    (tmp_path / "in").mkdir()
    for i, name in enumerate(("b.las", "a.las", "c.laz")):
        if name.endswith("laz"):
            pytest.importorskip("lazrs")
        made_tile(tmp_path / "in" / name, points=100, seed=i)
    (tmp_path / "in" / "notes.txt").write_text("..")
    model = Recorder()
    expected = [tmp_path / "out" / name for name in ("a.las", "b.las", "c.laz")]
    assert vs.label_tiles(model, tmp_path / "in", tmp_path / "out", remission_scale=1) == expected
    given = [str(tmp_path / "in" / name) for name in ("b.las", "c.laz")]
    assert vs.label_tiles(model, given, str(tmp_path / "out"), remission_scale=1) == expected[1:]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.las", "b.las", "c.laz"]
    empty = laspy.create(point_format=6)
    empty.write(tmp_path / "empty.las")
    [path] = vs.label_tiles(model, tmp_path / "empty.las", tmp_path / "out")
    assert len(laspy.read(path)) == 0


def test_memory_is_set_by_the_block(tmp_path, monkeypatch):
    """A tile of nine times the points, as dense, takes no more; a block of nine times the points does."""
    monkeypatch.setattr(tiles, "CHUNK", 500)
    made_tile(tmp_path / "small.las", points=4000, size=100)
    made_tile(tmp_path / "large.las", points=36000, size=300)

    def peak(name, block):
        model = Recorder()
        model.segment = lambda points, **options: np.zeros(len(points), np.uint8)
        tracemalloc.start()
        vs.label_tiles(model, tmp_path / name, tmp_path / "out", block=block, overlap=2, remission_scale=1)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak("small.las", 50)  # imports
    small = peak("small.las", 50)
    assert peak("large.las", 50) < 1.3 * small
    assert peak("large.las", 150) > 2 * small


def test_bad_input(tmp_path, small_model):
    made_tile(tmp_path / "a.las", points=100)
    (tmp_path / "out").mkdir()
    for model, paths, out, options, kind, text in (
        (Recorder(scale=(1,) * 6), "a.las", "out", {}, ValueError, "expected a model that labels points of x, y, z and rem"),
        (Recorder(), "a.las", "out", {"block": 0}, ValueError, "block above 0 and overlap of 0 to block, found 0 and 5.0$"),
        (Recorder(), "a.las", "out", {"overlap": 51}, ValueError, "found 50.0 and 51$"),
        (Recorder(), "a.las", "out", {"overlap": math.nan}, ValueError, "found 50.0 and nan$"),
        (Recorder(), "a.las", ".", {}, ValueError, "a.las would replace the tile that it is made of$"),
        (Recorder(), "a.las", "a.las", {}, ValueError, "a.las would replace the tile that it is made of$"),
        (Recorder(), "out", "out", {}, ValueError, "found no .las or .laz file$"),
        (Recorder(), "none.las", "out", {}, OSError, "none.las: No such file$"),
        (Recorder(), "a.ply", "out", {}, ValueError, "expected .las and .laz files, found .*a.ply$"),
        (Recorder(), ["a.las", "a.las"], "b.las", {}, ValueError, "expected a folder for 2 tiles, found .*b.las$"),
        (Recorder(), ["a.las", "a.las"], "out", {}, ValueError, "two tiles have the same name: a.las, a.las$"),
    ):
        given = [tmp_path / path for path in paths] if isinstance(paths, list) else tmp_path / paths
        with pytest.raises(kind, match=text):
            vs.label_tiles(model, given, tmp_path / out, **options)
    data = (tmp_path / "a.las").read_bytes()
    (tmp_path / "cut.las").write_bytes(data[:-10])
    with pytest.raises(vs.IoError, match=r"cut.las: is (cut: the header promises 100 points, |no LAS file, or is cut: )"):
        vs.label_tiles(Recorder(), tmp_path / "cut.las", tmp_path / "out")

    class Broken(Recorder):
        def segment(self, points, **options):
            raise RuntimeError("of the model's own")

    with pytest.raises(RuntimeError, match="of the model's own"):
        vs.label_tiles(Broken(), tmp_path / "a.las", tmp_path / "out", remission_scale=1)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("most", [100, 5000, 70000])
def test_a_full_disk_loses_nothing(most, tmp_path):
    """While points are sorted, labelled or written. A limit of a file's size stands for the disk."""
    made_tile(tmp_path / "a.las", points=3000)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.las").write_bytes(b"before")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        with pytest.raises(vs.IoError) as error:
            vs.label_tiles(Recorder(), tmp_path / "a.las", tmp_path / "out", remission_scale=1, block=20, overlap=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(error.value) == f"{tmp_path / 'out' / 'a.las'}: cannot be written: File too large"
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "out").iterdir()] == [("a.las", b"before")]
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(vs.IoError, match="file: folder cannot be created: File exists$"):
        vs.label_tiles(Recorder(), tmp_path / "a.las", tmp_path / "file")


def test_progress_is_on_standard_error_alone(tmp_path, capsys, monkeypatch):
    import sys

    las = made_tile(tmp_path / "a.las", points=100)
    count = len({(a // 50, b // 50) for a, b in zip(np.array(las.x), np.array(las.y))})
    vs.label_tiles(Recorder(), tmp_path / "a.las", tmp_path / "out", remission_scale=1)
    assert capsys.readouterr() == ("", "")
    vs.label_tiles(Recorder(), tmp_path / "a.las", tmp_path / "out", remission_scale=1, progress=True)
    out, err = capsys.readouterr()
    assert out == "" and "a.las" in err and f"{count}/{count}" in err
    monkeypatch.setitem(sys.modules, "tqdm", None)
    vs.label_tiles(Recorder(), tmp_path / "a.las", tmp_path / "out", remission_scale=1, progress=True)
    assert capsys.readouterr() == ("", "".join(f"\ra.las: {i} of {count}" for i in range(count + 1)) + "\n")
