"""Readers of files, against files that the libraries write which own the formats."""

import importlib.util
import io
import pickle
import struct
import sys
import warnings

import numpy as np
import pytest
import voxshift as vs
import voxshift.io as vio

needs = {name: pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"needs {name}")
         for name in ("laspy", "lazrs", "pyarrow")}


def assert_same(scan, cloud):
    """A Scan has what the compiled reader finds."""
    assert isinstance(scan, vio.Scan) and scan.points.tobytes() == cloud.points.tobytes()
    assert scan.origin.dtype == np.float64 and scan.origin.tolist() == list(cloud.origin)
    assert scan.has_remission == cloud.has_remission and len(scan) == len(cloud)
    for name in ("rgb", "label", "ring", "time"):
        found, expected = getattr(scan, name), getattr(cloud, name)
        assert (found is None) == (expected is None)
        if found is not None:
            assert found.dtype == expected.dtype and found.tolist() == expected.tolist()


@pytest.fixture
def compiled(tmp_path, random):
    """A file of each form that the compiled reader reads."""
    points = random.normal(0, 10, (50, 4)).astype(np.float32)
    points.tofile(tmp_path / "a.bin")
    np.save(tmp_path / "a.npy", np.column_stack([points, np.arange(50)]).astype(np.float32))
    (tmp_path / "a.ply").write_text(
        "ply\nformat ascii 1.0\nelement vertex 1\nproperty double x\nproperty double y\nproperty float z\nproperty uchar red\n"
        "property uchar green\nproperty uchar blue\nproperty uint label\nend_header\n500000.5 2 3 1 2 255 7\n")
    (tmp_path / "a.pcd").write_text(
        "VERSION .7\nFIELDS x y z intensity ring t\nSIZE 4 4 4 4 2 4\nTYPE F F F F U U\nCOUNT 1 1 1 1 1 1\nWIDTH 2\nHEIGHT 1\n"
        "POINTS 2\nDATA ascii\n1 2 3 4 5 6\n7 8 9 10 11 12\n")
    return [tmp_path / f"a.{kind}" for kind in ("bin", "npy", "ply", "pcd")]


def test_compiled_readers(compiled):
    for path in compiled:
        expected = vs.read_points(path)
        assert_same(vio.read_points(path), expected)
        assert_same(vio.read_points(str(path)), expected)
        data = path.read_bytes()
        for given in (data, bytearray(data), memoryview(data), io.BytesIO(data)):
            assert_same(vio.read_points(given, format=path.suffix[1:]), expected)
        with open(path, "rb") as stream:
            assert_same(vio.read_points(stream, path.suffix), expected)
        renamed = path.rename(path.with_suffix(".data"))
        assert_same(vio.read_points(renamed, format=path.suffix), expected)


def test_columns_and_guesses(tmp_path):
    five = np.column_stack([np.random.default_rng(1).normal(0, 20, (4000, 3)), np.arange(4000) % 256, np.arange(4000) % 32])
    five = five.astype(np.float32)
    five.tofile(tmp_path / "a.bin")
    assert vio.read_points(tmp_path / "a.bin", columns=5).points.tobytes() == five.tobytes()
    for given, shown in ((tmp_path / "a.bin", str(tmp_path / "a.bin")), (five.tobytes(), "<bin bytes>")):
        with pytest.warns(UserWarning) as guesses:
            found = vio.read_points(given, format="bin")
        assert found.points.tobytes() == five.tobytes()
        [guess] = guesses
        assert str(guess.message).startswith(f"{shown}: ") and "\n" not in str(guess.message)


def test_errors_of_compiled_readers(tmp_path):
    for given, shown in ((tmp_path / "a.pcd", str(tmp_path / "a.pcd")), (b"VERSION", "<pcd bytes>")):
        (tmp_path / "a.pcd").write_bytes(b"VERSION")
        with pytest.raises(vs.IoError) as error:
            vio.read_points(given, format="pcd")
        assert str(error.value).startswith(f"{shown}: ") and "\n" not in str(error.value)
    with pytest.raises(OSError, match="none.bin: "):
        vio.read_points(tmp_path / "none.bin")
    with pytest.raises(OSError, match=r"a.e57: expected a .bin, .npy, .ply, .pcd, .npz, .las, .laz, .parquet file$"):
        vio.read_points(tmp_path / "a.e57")
    with pytest.raises(ValueError, match=r"\[read_points\] bytes and file objects need a format"):
        vio.read_points(b"")
    with pytest.raises(ValueError, match=r"\[read_points\] row is not of .bin files"):
        vio.read_points(tmp_path / "none.bin", row=1)
    with pytest.raises(ValueError, match=r"\[read_points\] columns is not of .npz files"):
        vio.read_points(tmp_path / "none.npz", columns=4)


def test_scans_pickle(tmp_path):
    np.savez(tmp_path / "a.npz", points=np.eye(4), ring=np.arange(4), rest=np.arange(4))
    scan = vio.read_points(tmp_path / "a.npz")
    again = pickle.loads(pickle.dumps(scan))
    assert_same(again, scan)
    assert again.fields["rest"].tolist() == [0, 1, 2, 3]


# .npz

def test_npz_of_named_fields(tmp_path):
    given = {"X": np.float64([500000.125, 500001.5]), "Y": np.int64([1, 2]), "z": np.float16([3, 4]),
             "Intensity": np.uint16([7, 65535]), "ring": np.uint8([0, 31]), "t": np.uint32([5, 6]),
             "rgb": np.uint8([[1, 2, 3], [4, 5, 255]]), "label": np.int32([9, -1]), "normal": np.eye(3)[:2],
             "big": np.array([1, 2], ">i4"), "pose": np.eye(4), "name": np.array("drive")}
    np.savez(tmp_path / "a.npz", **given)
    scan = vio.read_points(tmp_path / "a.npz")
    assert scan.origin.tolist() == [500000, 0, 0]
    assert scan.points.tolist() == [[0.125, 1, 3, 7], [1.5, 2, 4, 65535]] and scan.has_remission
    assert scan.rgb.tolist() == [[1, 2, 3], [4, 5, 255]]
    assert (scan.ring.tolist(), scan.time.tolist(), scan.label.tolist()) == ([0, 31], [5, 6], [9, 0])
    assert {name: values.tolist() for name, values in scan.fields.items()} == {
        "normal": [[1, 0, 0], [0, 1, 0]], "big": [1, 2]}
    assert "remission, rgb, label, ring, time, normal, big" in repr(scan)


@pytest.mark.parametrize("name", ["points", "arr_0", "xyz", "anything"])
def test_npz_of_one_array(name, tmp_path, random):
    points = random.normal(0, 10, (20, 6)).astype(np.float32)
    np.savez_compressed(tmp_path / "a.npz", **{name: points, "label": np.arange(20)})
    scan = vio.read_points(tmp_path / "a.npz")
    assert scan.points.tobytes() == points.tobytes() and scan.has_remission and scan.label.tolist() == list(range(20))
    np.savez(tmp_path / "a.npz", **{name: points[:, :3], "intensity": points[:, 3], "colors": points[:, 3:]})
    scan = vio.read_points(tmp_path / "a.npz")
    assert scan.points.tobytes() == points[:, :4].tobytes() and scan.rgb is not None


@pytest.mark.parametrize(("arrays", "text"), [
    ({}, "expected arrays x, y, z, or points .* found none$"),
    ({"x": np.zeros(2), "y": np.zeros(2)}, r"expected arrays x, y, z, or points \[N, C >= 3\] of numbers, found x \[2\], y \[2\]$"),
    ({"a": np.zeros((2, 3)), "b": np.zeros((2, 3))}, r"expected arrays .* found a \[2, 3\], b \[2, 3\]$"),
    ({"x": np.zeros(2), "y": np.zeros(2), "z": np.zeros(3)}, r"expected 2 values of z, one per point, found \[3\]$"),
    ({"points": np.zeros((2, 3)), "label": np.zeros(3)}, r"expected 2 values of label, one per point, found \[3\]$"),
    ({"x": np.zeros(2), "y": np.zeros(2), "z": np.array(["a", "b"])}, "has no field z of numbers"),
    ({"x": np.zeros(2), "y": np.zeros(2), "z": np.zeros(2), "Y": np.zeros(2)}, "has field y twice$"),
    ({"x": np.zeros(2), "y": np.zeros(2), "z": np.array([{}, 1], object)}, "is no .npz file of numbers, or is cut: "),
])
def test_npz_without_points(arrays, text, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(vs.IoError, match=rf"^{tmp_path}/a.npz: {text}"):
        vio.read_points(tmp_path / "a.npz")


def cut_everywhere(path, extension):
    """Every file that is cut gives an error of one line."""
    data = path.read_bytes()
    for length in [0, 1, 7, *range(50, len(data), max(len(data) // 60, 1)), len(data) - 1]:
        with pytest.raises(vs.IoError) as error:
            vio.read_points(data[:length], format=extension)
            raise AssertionError(f"{length} of {len(data)} bytes were taken for a file")
        assert str(error.value).startswith(f"<{extension} bytes>: ") and "\n" not in str(error.value)


def test_npz_that_is_cut(tmp_path, random):
    np.savez(tmp_path / "a.npz", points=random.normal(0, 1, (40, 4)))
    cut_everywhere(tmp_path / "a.npz", "npz")
    np.savez_compressed(tmp_path / "a.npz", points=random.normal(0, 1, (40, 4)))
    cut_everywhere(tmp_path / "a.npz", "npz")
    with pytest.raises(vs.IoError, match="none.npz: No such file$"):
        vio.read_points(tmp_path / "none.npz")


# .parquet

def parquet(path, columns, **options):
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(columns), path, **options)
    return path


@needs["pyarrow"]
def test_parquet_of_points(tmp_path):
    import pyarrow as pa

    given = {"x": [500000.125, 500001.5], "y": pa.array([1, 2], pa.int32()), "z": pa.array([3.0, None], pa.float32()),
             "reflectivity": pa.array([7, 255], pa.uint8()), "red": [1, 2], "green": [3, 4], "blue": [5, 6],
             "laser": ["a", "b"], "normal": [[1.0, 0, 0], [0, 1.0, 0]], "ragged": [[1], [1, 2]],
             "fixed": pa.array([[1, 2], [3, 4]], pa.list_(pa.int16(), 2)), "timestamp": pa.array([1, 2], pa.timestamp("us"))}
    path = parquet(tmp_path / "a.parquet", given)
    for source in (path, path.read_bytes()):
        scan = vio.read_points(source, format="parquet")
        assert scan.points[0].tolist() == [0.125, 1, 3, 7] and scan.points[1, :2].tolist() == [1.5, 2]
        assert np.isnan(scan.points[1, 2]) and scan.points[1, 3] == 255
        assert scan.rgb.tolist() == [[1, 3, 5], [2, 4, 6]] and scan.time.tolist() == [1, 2]
        assert {name: values.tolist() for name, values in scan.fields.items()} == {
            "laser": ["a", "b"], "normal": [[1, 0, 0], [0, 1, 0]], "fixed": [[1, 2], [3, 4]]}
    with pytest.raises(vs.IoError, match="has a point per row, so no row is a scan$"):
        vio.read_points(path, row=0)


@needs["pyarrow"]
@pytest.mark.parametrize("fixed", [False, True])
def test_parquet_of_a_list_per_point(fixed, tmp_path, random):
    import pyarrow as pa

    points = random.normal(0, 10, (7, 5)).astype(np.float32)
    kind = pa.list_(pa.float32(), 5) if fixed else pa.list_(pa.float32())
    path = parquet(tmp_path / "a.parquet", {"points": pa.array(list(points), kind), "label": list(range(7))}, row_group_size=2)
    scan = vio.read_points(path)
    assert scan.points.tobytes() == points.tobytes() and scan.label.tolist() == list(range(7))


@needs["pyarrow"]
def test_parquet_of_a_scan_per_row(tmp_path, random):
    import pyarrow as pa

    scans = [random.normal(0, 10, (n, 4)).astype(np.float32) for n in (3, 0, 5, 2)]
    columns = {name: pa.array([scan[:, i] for scan in scans], pa.list_(pa.float32())) for i, name in
               enumerate(("x", "y", "z", "intensity"))}
    columns |= {"ring": [list(range(len(scan))) for scan in scans], "name": ["a", "b", "c", "d"]}
    nested = {"points": pa.array([scan.tolist() for scan in scans], pa.list_(pa.list_(pa.float32(), 4)))}
    for several in (columns, nested):
        path = parquet(tmp_path / "a.parquet", several, row_group_size=3)
        for row, expected in enumerate(scans):
            if row == 1 and several is nested:
                continue  # no point says how many columns there are
            scan = vio.read_points(path, row=row)
            assert scan.points.tobytes() == expected.tobytes()
            if several is columns:
                assert (scan.ring is None) if row == 1 else (scan.ring.tolist() == list(range(len(expected))))
        with pytest.raises(vs.IoError, match=r"a.parquet: holds 4 scans, one a row: give row=0 to 3$"):
            vio.read_points(path)
        with pytest.raises(vs.IoError, match=r"a.parquet: expected a row of 0 to 3, found 4$"):
            vio.read_points(path, row=4)
    parquet(path, {name: column.slice(2, 1) if hasattr(column, "slice") else column[2:3] for name, column in columns.items()})
    assert vio.read_points(path).points.tobytes() == scans[2].tobytes()


@needs["pyarrow"]
def test_bad_parquet(tmp_path):
    path = parquet(tmp_path / "a.parquet", {"x": [1.0], "y": [2.0], "name": ["a"]})
    with pytest.raises(vs.IoError, match=r"a.parquet: expected arrays x, y, z, or points .*found x \[1\], y \[1\], name \[1\]$"):
        vio.read_points(path)
    parquet(path, {"x": [[1.0], [2.0]], "y": [[1.0, 2.0], [1.0]], "z": [[1.0], [2.0]]})
    with pytest.raises(vs.IoError, match=r"a.parquet: expected 1 values of y, one per point, found \[2\]$"):
        vio.read_points(path, row=0)
    parquet(path, {"x": [float(i) for i in range(50)], "y": [1.0] * 50, "z": [1.0] * 50})
    cut_everywhere(path, "parquet")
    with pytest.raises(vs.IoError, match="none.parquet: No such file$"):
        vio.read_points(tmp_path / "none.parquet")


# .las, .laz

def tile(path, point_format=7, points=500, extra=True):
    laspy = pytest.importorskip("laspy", reason="needs laspy (pip install voxshift[io])")
    random = np.random.default_rng(3)
    header = laspy.LasHeader(point_format=point_format, version="1.4" if point_format > 5 else "1.2")
    header.scales, header.offsets = [0.001, 0.002, 0.01], [431000.5, 5407000.0, -20.0]
    if extra:
        header.add_extra_dims([laspy.ExtraBytesParams("amplitude_db", "f8"), laspy.ExtraBytesParams("pair", "3u2")])
    las = laspy.LasData(header)
    las.X, las.Y = random.integers(-400000, 400000, (2, points))
    las.Z = random.integers(-40000, 40000, points)
    las.intensity = random.integers(0, 65536, points)
    las.classification = random.integers(0, 32, points)
    las.return_number = random.integers(1, 5, points)
    las.number_of_returns = np.full(points, 5)
    las.user_data = random.integers(0, 256, points)
    las.point_source_id = random.integers(0, 65536, points)
    if "gps_time" in las.point_format.dimension_names:
        las.gps_time = random.random(points) * 1e9
    if "red" in las.point_format.dimension_names:
        for name in ("red", "green", "blue"):
            las[name] = random.integers(0, 65536, points)
    if extra:
        las.amplitude_db = random.random(points)
        las.pair = random.integers(0, 65536, (points, 3))
    las.write(path)
    return las


@needs["laspy"]
@pytest.mark.parametrize("extension", ["las", pytest.param("laz", marks=needs["lazrs"])])
@pytest.mark.parametrize("point_format", [0, 1, 3, 6, 7, 8])
def test_tiles(point_format, extension, tmp_path):
    path = tmp_path / f"a.{extension}"
    las = tile(path, point_format)
    for source in (path, path.read_bytes()):
        scan = vio.read_points(source, format=extension)
        names = set(las.point_format.dimension_names) - {"X", "Y", "Z", "intensity", "classification"}
        assert scan.points[:, 3].tolist() == las.intensity.tolist() and scan.has_remission
        assert scan.label.tolist() == np.array(las.classification).tolist()
        # integers times scale plus offset, in mm
        exact = np.column_stack([las.X + 431000500, las.Y * 2 + 5407000000, las.Z * 10 - 20000])
        assert np.abs(scan.xyz * 1000 - exact).max() < 0.04  # half of what float32 tells apart at 1 km
        assert (scan.origin % 100 == 0).all() and scan.origin[0] > 400000
        if "gps_time" in names:
            assert scan.time.tolist() == las.gps_time.tolist()
        if "red" in names:
            expected = np.round(np.column_stack([las.red, las.green, las.blue]) / 65535 * 255)
            assert scan.rgb.tolist() == expected.tolist()
        names -= {"gps_time", "red", "green", "blue"}
        assert set(scan.fields) == names and {"return_number", "amplitude_db", "pair"} < names
        for name in names:
            assert scan.fields[name].dtype == np.array(las[name]).dtype
            assert scan.fields[name].tolist() == np.array(las[name]).tolist(), name
        assert scan.ring is None


@needs["laspy"]
def test_scaled_extra_dimensions_and_names_that_are_known(tmp_path):
    """A field that is called Reflectance does not take the place of the intensity; it stays by its name."""
    import laspy

    las = tile(tmp_path / "b.las")
    las.add_extra_dim(laspy.ExtraBytesParams("Reflectance", "i2", offsets=np.array([5.0]), scales=np.array([0.01])))
    las["Reflectance"] = np.linspace(0, 20, len(las))
    las.write(tmp_path / "a.las")
    scan = vio.read_points(tmp_path / "a.las")
    assert scan.points[:, 3].tolist() == las.intensity.tolist()
    assert np.abs(scan.fields["Reflectance"] - np.linspace(0, 20, len(las))).max() < 0.006


@needs["laspy"]
def test_extra_dimensions_that_are_called_as_the_standards(tmp_path):
    import laspy

    las = tile(tmp_path / "b.las")
    las.add_extra_dims([laspy.ExtraBytesParams("Intensity", "u4"), laspy.ExtraBytesParams("Classification", "u1")])
    las["Intensity"] = np.arange(len(las)) + 70_000
    las["Classification"] = np.arange(len(las)) % 7
    las.write(tmp_path / "a.las")
    scan = vio.read_points(tmp_path / "a.las")
    assert scan.points[:, 3].tolist() == las.intensity.tolist() and scan.label.tolist() == las["classification"].tolist()
    assert scan.fields["Intensity"].tolist() == las["Intensity"].tolist()
    assert scan.fields["Classification"].tolist() == las["Classification"].tolist()


@needs["laspy"]
def test_bad_tiles(tmp_path):
    tile(tmp_path / "a.las", points=60)
    cut_everywhere(tmp_path / "a.las", "las")
    with pytest.raises(vs.IoError, match=r"none.las: No such file$"):
        vio.read_points(tmp_path / "none.las")
    (tmp_path / "a.las").write_text("no tile " * 100)
    with pytest.raises(vs.IoError, match=r"a.las: does not start with LASF and a header, so it is no LAS file$"):
        vio.read_points(tmp_path / "a.las")
    tile(tmp_path / "empty.las", points=0)
    assert vio.read_points(tmp_path / "empty.las").points.shape == (0, 4)


@needs["laspy"]
@needs["lazrs"]
def test_bad_compressed_tiles(tmp_path):
    tile(tmp_path / "a.laz", points=60)
    cut_everywhere(tmp_path / "a.laz", "laz")


@pytest.mark.parametrize(("module", "extension"), [("laspy", ".las"), ("lazrs", ".laz"), ("pyarrow", ".parquet")])
def test_without_the_libraries(module, extension, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError) as error:
        vio.read_points(tmp_path / f"a{extension}")
    assert str(error.value) == (f"voxshift.io needs {module} for {extension} files: pip install 'voxshift[io]', or {module} alone")


def test_a_scan_is_what_a_model_takes(synthetic_points, small_model, tmp_path):
    np.savez(tmp_path / "a.npz", points=synthetic_points)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        labels = small_model.segment(vio.read_points(tmp_path / "a.npz").points)
    assert labels.tobytes() == small_model.segment(synthetic_points).tobytes()


# what else .ply and .pcd have

OTHERS = {"range": ("u4", [1000, 2**32 - 1]), "wide": ("f8", [0.1, -1e300]), "near_ir": ("i2", [-5, 300])}


@pytest.mark.parametrize("kind", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_further_fields_of_ply(kind, tmp_path):
    names = {"u4": "uint", "f8": "double", "i2": "short", "f4": "float"}
    fields = {"x": ("f4", [1, 2]), **OTHERS, "y": ("f4", [3, 4]), "z": ("f4", [5, 6]), "line": ("i2", [7, 8])}
    header = "".join(f"property {names[code]} {name}\n" for name, (code, _) in fields.items())
    order = ">" if "big" in kind else "<"
    if kind == "ascii":
        body = "".join(" ".join(repr(values[i]) for _, values in fields.values()) + "\n" for i in range(2)).encode()
    else:
        body = b"".join(np.array(values[i], order + code).tobytes() for i in range(2) for code, values in fields.values())
    data = f"ply\nformat {kind} 1.0\nelement vertex 2\n{header}end_header\n".encode() + body
    (tmp_path / "a.ply").write_bytes(data)
    for scan in (vio.read_points(tmp_path / "a.ply"), vio.read_points(data, "ply")):
        assert scan.points.tolist() == [[1, 3, 5, 0], [2, 4, 6, 0]] and scan.ring.tolist() == [7, 8]
        assert {name: (values.dtype, values.tolist()) for name, values in scan.fields.items()} == {
            name: (np.dtype(code), values) for name, (code, values) in OTHERS.items()}


@pytest.mark.parametrize("kind", ["ascii", "binary", "binary_compressed"])
def test_further_fields_of_pcd(kind, tmp_path):
    """A field of several values is [N, k]; padding is none."""
    fields = {"x": ("f4", [[1], [2]]), "histogram": ("u1", [[1, 2, 3], [4, 5, 6]]), "_": ("u1", [[9, 9], [9, 9]]), "y": ("f4", [[3], [4]]),
              "z": ("f4", [[5], [6]]), "reflectivity": ("u2", [[8], [9]]), "intensity": ("f4", [[0.5], [0.25]])}
    header = (f"VERSION .7\nFIELDS {' '.join(fields)}\nSIZE {' '.join(code[1] for code, _ in fields.values())}\n"
              f"TYPE {' '.join(code[0].upper() for code, _ in fields.values())}\n"
              f"COUNT {' '.join(str(len(values[0])) for _, values in fields.values())}\nWIDTH 2\nHEIGHT 1\nPOINTS 2\nDATA {kind}\n")
    rows = [[np.array(values[i], f"<{code}") for code, values in fields.values()] for i in range(2)]
    if kind == "ascii":
        body = "".join(" ".join(str(one) for cell in row for one in cell.tolist()) + "\n" for row in rows).encode()
    elif kind == "binary":
        body = b"".join(cell.tobytes() for row in rows for cell in row)
    else:
        plain = b"".join(np.array(values, f"<{code}").tobytes() for code, values in fields.values())
        packed = b"".join(bytes([len(plain[i : i + 32]) - 1]) + plain[i : i + 32] for i in range(0, len(plain), 32))  # LZF's literal runs
        body = struct.pack("<II", len(packed), len(plain)) + packed
    (tmp_path / "a.pcd").write_bytes(header.encode() + body)
    scan = vio.read_points(tmp_path / "a.pcd")
    assert scan.points.tolist() == [[1, 3, 5, 0.5], [2, 4, 6, 0.25]]
    assert {name: values.tolist() for name, values in scan.fields.items()} == {
        "histogram": [[1, 2, 3], [4, 5, 6]], "reflectivity": [8, 9]}
    assert_same(scan, vs.read_points(tmp_path / "a.pcd"))
