"""ConfusionMatrix against the official evaluator's formulas in numpy, and train ids against its tables."""

import threading

import numpy as np
import pytest
import voxshift as vs


def official(predicted, truth, classes):
    """(iou, mean, accuracy, matrix) as np_ioueval.py computes them: class 0 is ignored, ours follow it."""
    rows, columns = (np.where(ids == 255, 0, ids.astype(int) + 1) for ids in (predicted, truth))
    matrix = np.zeros((classes + 1, classes + 1), np.int64)
    np.add.at(matrix, (rows, columns), 1)
    matrix[:, 0] = 0
    hits = np.diag(matrix)
    positives, misses = matrix.sum(1) - hits, matrix.sum(0) - hits
    iou = hits / (hits + positives + misses + 1e-15)
    return iou[1:], iou[1:].mean(), hits.sum() / (hits[1:].sum() + positives[1:].sum() + 1e-15), matrix


def random_labels(random, classes, points=20_000):
    truth = random.integers(0, classes, points).astype(np.uint8)
    predicted = np.where(random.random(points) < 0.6, truth, random.integers(0, classes, points)).astype(np.uint8)
    truth[random.random(points) < 0.1] = 255
    predicted[random.random(points) < 0.05] = 255
    return predicted, truth


@pytest.mark.parametrize("classes", [1, 3, 19, 255])
def test_against_the_official_formulas(random, classes):
    predicted, truth = random_labels(random, classes)
    truth[truth == 2] = 255  # a class that is predicted only
    iou, mean, accuracy, matrix = official(predicted, truth, classes)
    ours = vs.ConfusionMatrix(classes)
    ours.add(predicted[:5000], truth[:5000])
    ours.add(predicted[5000:], truth[5000:])
    np.testing.assert_array_equal(ours.matrix, matrix[1:, 1:])
    np.testing.assert_array_equal(ours.predicted_unlabelled, matrix[0, 1:])
    np.testing.assert_array_equal(ours.iou(), iou)
    assert ours.mean_iou() == pytest.approx(mean, rel=1e-14)
    assert ours.accuracy == pytest.approx(accuracy, rel=1e-14)
    assert ours.classes == classes and ours.matrix.dtype == np.int64 and ours.iou().dtype == np.float64
    assert f"classes={classes}" in repr(ours)


def test_classes_that_do_not_occur():
    matrix = vs.ConfusionMatrix(3)
    matrix.add(np.array([0, 0, 0, 1], np.uint8), np.zeros(4, np.uint8))
    np.testing.assert_allclose(matrix.iou(), [0.75, 0, 0])
    np.testing.assert_allclose(matrix.iou("one"), [0.75, 1, 1])
    np.testing.assert_allclose(matrix.iou(absent="left_out"), [0.75, 0, np.nan])
    assert [matrix.mean_iou(word) for word in ("zero", "one", "left_out")] == pytest.approx([0.25, 2.75 / 3, 0.375])
    with pytest.raises(ValueError, match="absent expects one of zero, one, left_out"):
        matrix.iou("nan")
    empty = vs.ConfusionMatrix(2)
    assert empty.mean_iou() == 0 and empty.accuracy == 0 and np.isnan(empty.mean_iou("left_out"))


def test_merging_is_adding(random):
    predicted, truth = random_labels(random, 5)
    whole, parts = vs.ConfusionMatrix(5), vs.ConfusionMatrix(5)
    whole.add(predicted, truth)
    for part in range(4):
        matrix = vs.ConfusionMatrix(5)
        matrix.add(predicted[part::4], truth[part::4])
        parts.merge(matrix)
    np.testing.assert_array_equal(parts.matrix, whole.matrix)
    np.testing.assert_array_equal(parts.predicted_unlabelled, whole.predicted_unlabelled)
    with pytest.raises(ValueError, match="matrix of 5 classes, found 4"):
        parts.merge(vs.ConfusionMatrix(4))


def test_threads_may_add_to_one_matrix(random):
    predicted, truth = random_labels(random, 7)
    alone, shared = vs.ConfusionMatrix(7), vs.ConfusionMatrix(7)
    alone.add(predicted, truth)

    def run():
        for _ in range(20):
            shared.add(predicted, truth)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(shared.matrix, 80 * alone.matrix)


@pytest.mark.parametrize(
    ("predicted", "truth", "message"),
    [
        (np.zeros(3, np.uint8), np.zeros(2, np.uint8), r"\[3\] and \[2\]"),
        (np.zeros((3, 1), np.uint8), np.zeros((3, 1), np.uint8), r"\[N\], found \[3, 1\]"),
        (np.zeros(3, np.int64), np.zeros(3, np.int64), "u8"),
        (np.array([0, 4], np.uint8), np.zeros(2, np.uint8), "found 4 at point 1"),
        (np.zeros(2, np.uint8), np.array([200, 0], np.uint8), "truth .* found 200 at point 0"),
    ],
)
def test_bad_labels(predicted, truth, message):
    matrix = vs.ConfusionMatrix(4)
    with pytest.raises(ValueError, match=message):
        matrix.add(predicted, truth)
    assert matrix.matrix.sum() == 0


@pytest.mark.parametrize("classes", [0, -1, 256])
def test_bad_class_counts(classes):
    with pytest.raises(ValueError, match=f"1 to 255, found {classes}"):
        vs.ConfusionMatrix(classes)


def test_train_ids():
    words = np.array([10, 252, 60, 259, 0, 81 + (5 << 16), 99], np.uint32)
    assert vs.train_ids(words).tolist() == [0, 0, 8, 4, 255, 18, 255]
    assert vs.train_ids(words, protocol="spvnas").tolist() == [0, 0, 255, 4, 255, 18, 255]
    assert vs.train_ids(words.astype(np.int64)).dtype == np.uint8
    assert vs.train_ids(np.zeros(0, np.uint32)).shape == (0,)
    assert vs.train_ids(np.array([17, 31], np.uint8), "nuscenes").tolist() == [3, 255]
    assert vs.train_ids(np.array([4, 16], np.uint8), "nuscenes", predicted=True).tolist() == [3, 15]
    assert vs.train_ids(np.array([0, 22], np.uint32), "waymo").tolist() == [255, 21]
    with pytest.raises(ValueError, match="found 17 at point 1"):
        vs.train_ids(np.array([10, 17], np.uint32))
    with pytest.raises(ValueError, match="semantickitti, spvnas, nuscenes, waymo"):
        vs.train_ids(words, "kitti")
    for bad in (words.astype(np.float32), words.reshape(7, 1)):
        with pytest.raises(ValueError, match=r"whole numbers \[N\]"):
            vs.train_ids(bad)


def test_a_simulated_scan_against_itself():
    raw = vs.synth_lidar(3)[1]
    labels = vs.train_ids(raw)
    matrix = vs.ConfusionMatrix(19)
    matrix.add(labels, labels)
    present = len(np.unique(labels[labels < 255]))
    assert 5 < present < 19
    assert matrix.mean_iou() == pytest.approx(present / 19)
    assert matrix.mean_iou("one") == matrix.mean_iou("left_out") == pytest.approx(1)
    assert matrix.accuracy == pytest.approx(1)
    by_raw_id = dict(zip(*np.unique(raw, return_counts=True)))
    assert matrix.matrix[8, 8] == by_raw_id[40]
