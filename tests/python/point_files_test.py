"""Files of points, and what Model.segment guesses of points from elsewhere."""

import numpy as np
import pytest
import voxshift as vs


def test_a_file_of_every_kind_of_field(tmp_path):
    path = tmp_path / "a.PLY"
    path.write_text(
        "ply\nformat ascii 1.0\nelement vertex 2\nproperty double x\nproperty double y\nproperty float z\n"
        "property ushort Intensity\nproperty uchar red\nproperty uchar green\nproperty uchar blue\nproperty int label\n"
        "property uchar ring\nproperty double time\nend_header\n"
        "500000.25 2 3 40 1 2 3 252 63 0.5\n500001.5 5 6 65535 4 5 6 10 0 1.5\n"
    )
    cloud = vs.read_points(path)
    assert len(cloud) == 2 and cloud.points.dtype == np.float32 and cloud.has_remission
    assert cloud.origin == [500000, 0, 0]
    assert repr(cloud) == "PointCloud(points=(2, 4), remission, rgb, label, ring, time)"
    assert cloud.points.tolist() == [[0.25, 2, 3, 40], [1.5, 5, 6, 65535]]
    assert cloud.rgb.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert (cloud.label.dtype, cloud.label.tolist()) == (np.uint32, [252, 10])
    assert (cloud.ring.dtype, cloud.ring.tolist()) == (np.int32, [63, 0])
    assert (cloud.time.dtype, cloud.time.tolist()) == (np.float64, [0.5, 1.5])


def test_columns_and_notes(tmp_path, synthetic_points):
    five = np.column_stack([synthetic_points, np.arange(len(synthetic_points)) % 32]).astype(np.float32)
    five.tofile(tmp_path / "a.bin")
    with pytest.warns(UserWarning, match="a.bin: was taken for rows of 5"):
        guessed = vs.read_points(tmp_path / "a.bin")
    assert np.array_equal(guessed.points, five)
    assert np.array_equal(vs.read_points(tmp_path / "a.bin", columns=5).points, five)
    assert guessed.rgb is None and guessed.label is None and guessed.ring is None and guessed.time is None
    np.save(tmp_path / "b.npy", synthetic_points[:, :3].astype(np.float16))
    cloud = vs.read_points(str(tmp_path / "b.npy"))
    assert not cloud.has_remission and cloud.points.shape == (len(synthetic_points), 4)
    for name in ("none.bin", "scan.las", "b.txt"):
        with pytest.raises(vs.IoError, match=name):
            vs.read_points(tmp_path / name)
    with pytest.raises(OSError):
        vs.read_points(tmp_path)
    with pytest.raises(ValueError, match="columns"):
        vs.read_points(tmp_path / "a.bin", columns=2)


def test_points_in_another_unit_or_frame(small_model, synthetic_points):
    expected = small_model.segment(synthetic_points)
    bright = synthetic_points * np.float32([1, 1, 1, 255])
    with pytest.warns(UserWarning, match="taken for 0..255"):
        assert (small_model.segment(bright) == expected).mean() > 0.999
    for given in ({"remission_scale": 255}, {"sensor": "livox"}):
        assert (small_model.segment(bright, **given) == expected).mean() > 0.999
    far = synthetic_points + np.float32([200, -300, 0, 0])
    with pytest.warns(UserWarning, match="no points around the origin"):
        small_model.segment(far)
    assert (small_model.segment(far, origin=(200, -300, 0)) == expected).mean() > 0.9  # float32 moved some into other cells
    stray = np.concatenate([synthetic_points, np.float32([[1e6, 1e6, 1e6, 0]])])
    with pytest.warns(UserWarning, match="1 points further"):
        labels = small_model.segment(stray)
    assert (labels[:-1] == expected).all() and labels[-1] == 255
    for given in ({"sensor": "velodyne"}, {"remission_scale": 0}, {"remission_scale": -1}):
        with pytest.raises(ValueError, match="velodyne|remission_scale"):
            small_model.segment(bright, **given)


def test_prepared_points_are_those_of_segment(small_model, synthetic_points):
    profile = small_model.profile
    assert np.array_equal(vs.prepare_points(synthetic_points, profile), synthetic_points)
    bright = synthetic_points * np.float32([1, 1, 1, 255])
    with pytest.warns(UserWarning, match=r"\[prepare_points\] column 4 was taken for 0..255"):
        prepared = vs.prepare_points(bright, profile)
    np.testing.assert_allclose(prepared, synthetic_points, atol=1e-6)
    with pytest.warns(UserWarning):
        assert (small_model.segment(bright) == small_model.segment(prepared)).all()
    with pytest.raises(ValueError, match="prepare_points"):
        vs.prepare_points(synthetic_points[:, :2], profile)
