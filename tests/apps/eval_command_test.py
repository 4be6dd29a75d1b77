"""`voxshift eval`: label files in, scores out, against the official evaluator's formulas in numpy."""

import json
import os

import numpy as np
import pytest
from command_fixture import CLASSES, cloud, fails, labels_of, needs_command, put, read_header, run, succeeds

pytestmark = needs_command

NAMES = list(CLASSES.values())
# learning_map of semantic-kitti.yaml: raw id -> 1 to 19, 0 is ignored
OFFICIAL = {raw: i + 1 for i, raw in enumerate(CLASSES)} | {
    0: 0, 1: 0, 52: 0, 99: 0, 13: 5, 16: 5, 60: 9, 252: 1, 253: 7, 254: 6, 255: 8, 256: 5, 257: 5, 258: 4, 259: 5}
SPVNAS = OFFICIAL | {13: 0, 16: 0, 60: 0, 256: 0, 257: 0}


def official(pairs, table=OFFICIAL):
    """(iou of the 19, mean, accuracy, matrix [20, 20] by prediction and truth) as np_ioueval.py computes them."""
    matrix = np.zeros((20, 20), np.int64)
    for predicted, truth in pairs:
        rows, columns = ([table[raw] for raw in words & 0xFFFF] for words in (predicted, truth))
        np.add.at(matrix, (rows, columns), 1)
    matrix[:, 0] = 0
    hits = np.diag(matrix)
    positives, misses = matrix.sum(1) - hits, matrix.sum(0) - hits
    iou = (hits / (hits + positives + misses + 1e-15))[1:]
    return iou, iou.mean(), hits.sum() / (hits[1:].sum() + positives[1:].sum() + 1e-15), matrix


def random_pair(seed, points=3000, raw_ids=tuple(OFFICIAL)):
    """Words of a label file with instances in the upper half; two thirds of the predictions are right."""
    random = np.random.default_rng(seed)
    truth = random.choice(raw_ids, points).astype(np.uint32)
    predicted = np.where(random.random(points) < 0.67, truth, random.choice(raw_ids, points).astype(np.uint32))
    return predicted, truth | random.integers(0, 2**16, points).astype(np.uint32) << 16


@pytest.fixture
def folders(tmp_path):
    """(predictions, truth), the folders of three pairs of files, and the pairs."""
    pairs = [random_pair(seed) for seed in range(3)]
    pred, gt = tmp_path / "pred", tmp_path / "gt"
    for folder, side in ((pred, 0), (gt, 1)):
        folder.mkdir()
        for i, pair in enumerate(pairs):
            pair[side].astype("<u4").tofile(folder / f"{i:06}.label")
    return pred, gt, pairs


def scores(*arguments):
    text = succeeds("eval", *arguments, "--json")
    assert text.count("\n") == 1
    return json.loads(text)


def test_json_against_the_official_formulas(folders):
    pred, gt, pairs = folders
    found = scores("--pred", pred, "--gt", gt)
    assert list(found) == ["protocol", "files", "points", "ignored_points", "miou", "accuracy", "classes",
                           "confusion_axes", "confusion", "predicted_unlabelled"]
    iou, mean, accuracy, matrix = official(pairs)
    assert (found["protocol"], found["files"]) == ("semantickitti", 3)
    assert found["points"] == matrix.sum() and found["points"] + found["ignored_points"] == 9000
    assert found["miou"] == pytest.approx(mean, rel=1e-14)
    assert found["accuracy"] == pytest.approx(accuracy, rel=1e-14)
    assert all(list(entry) == ["name", "iou", "gt_points", "predicted_points"] for entry in found["classes"])
    assert [entry["name"] for entry in found["classes"]] == NAMES
    assert [entry["iou"] for entry in found["classes"]] == iou.tolist()
    assert [entry["gt_points"] for entry in found["classes"]] == matrix.sum(0)[1:].tolist()
    assert [entry["predicted_points"] for entry in found["classes"]] == matrix.sum(1)[1:].tolist()
    assert found["confusion_axes"] == ["prediction", "ground_truth"]
    assert found["confusion"] == matrix[1:, 1:].tolist()
    assert found["predicted_unlabelled"] == matrix[0, 1:].tolist()


def test_a_case_by_hand(tmp_path):
    # car 2 right, 1 taken for road, 1 missed; moving cars are cars; lane markings are road; 52 is ignored
    truth = [10, 252, 10, 10, 40, 60, 44, 0, 52]
    predicted = [10, 10, 40, 0, 40, 40, 10, 10, 40]
    for folder, words in (("gt", truth), ("pred", predicted)):
        (tmp_path / folder).mkdir()
        np.array(words, "<u4").tofile(tmp_path / folder / "000000.label")
    found = scores("--pred", tmp_path / "pred", "--gt", tmp_path / "gt")
    by_name = {entry["name"]: entry for entry in found["classes"]}
    assert by_name["car"] == {"name": "car", "iou": pytest.approx(2 / 5), "gt_points": 4, "predicted_points": 3}
    assert by_name["road"] == {"name": "road", "iou": pytest.approx(2 / 3), "gt_points": 2, "predicted_points": 3}
    assert by_name["parking"]["iou"] == 0 and by_name["person"]["iou"] == 0
    assert found["miou"] == pytest.approx((2 / 5 + 2 / 3) / 19)
    assert found["accuracy"] == pytest.approx(4 / 6)  # the unlabelled miss is not counted, as the official one does
    assert (found["points"], found["ignored_points"]) == (7, 2)

    spvnas = scores("--pred", tmp_path / "pred", "--gt", tmp_path / "gt", "--protocol", "spvnas")
    by_name = {entry["name"]: entry["iou"] for entry in spvnas["classes"]}
    assert by_name["road"] == pytest.approx(1 / 2) and by_name["car"] == pytest.approx(2 / 5)
    assert by_name["person"] == 1 and by_name["parking"] == 0
    assert spvnas["miou"] == pytest.approx((1 / 2 + 2 / 5 + 16) / 19)
    assert (spvnas["points"], spvnas["ignored_points"]) == (6, 3)


def test_spvnas_on_many_points(folders):
    pred, gt, pairs = folders
    found = scores("--pred", pred, "--gt", gt, "--protocol", "spvnas")
    iou, mean, _, matrix = official(pairs, SPVNAS)
    assert (matrix.sum(0)[1:] > 0).all()  # no class is absent, so the rules differ in the ids alone
    assert [entry["iou"] for entry in found["classes"]] == iou.tolist()
    assert found["miou"] == pytest.approx(mean, rel=1e-14)
    assert found["miou"] != pytest.approx(official(pairs)[1], rel=1e-3)


def test_labels_against_themselves(folders):
    _, gt, _ = folders
    found = scores("--pred", gt, "--gt", gt)
    assert found["miou"] == pytest.approx(1) and found["accuracy"] == pytest.approx(1)
    assert np.count_nonzero(found["confusion"]) == 19


def test_tables(folders):
    pred, gt, pairs = folders
    text = succeeds("eval", "--pred", pred, "--gt", gt)
    iou, mean, accuracy, matrix = official(pairs)
    lines = text.splitlines()
    assert lines[0] == f"semantickitti: 3 files, {matrix.sum()} points with a class, {9000 - matrix.sum()} ignored"
    rows = {line.split()[0]: line.split()[1:] for line in lines if line}
    for c, name in enumerate(NAMES):
        assert rows[name] == [f"{100 * iou[c]:.2f}", str(matrix.sum(0)[c + 1]), str(matrix.sum(1)[c + 1])]
    assert rows["unlabelled"] == [str(matrix[0].sum())]
    assert rows["mIoU"] == [f"{100 * mean:.2f}", "%"] and rows["accuracy"] == [f"{100 * accuracy:.2f}", "%"]

    with_confusion = succeeds("eval", "--pred", pred, "--gt", gt, "--confusion")
    assert with_confusion.startswith(text)
    shares = 100 * matrix / np.maximum(matrix.sum(0), 1)
    table = with_confusion[len(text):].splitlines()[3:]
    assert len(table) == 19
    for c, line in enumerate(table):
        assert line.split()[:2] == [str(c), NAMES[c]]
        expected = [shares[p, c + 1] for p in [*range(1, 20), 0]]
        assert [0 if cell == "." else float(cell) for cell in line.split()[2:]] == pytest.approx(expected, abs=0.051)


def test_layout_of_semantickitti(folders, tmp_path):
    pred, gt, _ = folders
    flat = scores("--pred", pred, "--gt", gt)
    root = tmp_path / "root" / "sequences"
    for sequence, kind, folder in (("08", "labels", gt), ("08", "predictions", pred), ("00", "labels", gt),
                                   ("00", "predictions", gt)):
        (root / sequence / kind).mkdir(parents=True)
        for file in folder.iterdir():
            (root / sequence / kind / file.name).write_bytes(file.read_bytes())
    assert scores("--pred", root.parent, "--gt", root.parent) == flat
    assert scores("--pred", pred, "--gt", root.parent) == flat
    assert scores("--pred", root.parent, "--gt", root.parent, "--sequence", "00")["miou"] == pytest.approx(1)
    says = [root / "11" / "labels", "no such folder", "sequence 11"]
    fails("eval", "--pred", root.parent, "--gt", root.parent, "--sequence", 11, says=says)


def test_other_files_are_left_alone(folders):
    pred, gt, _ = folders
    before = scores("--pred", pred, "--gt", gt)
    (pred / "000000.ply").write_bytes(b"ply")
    put(pred / "000000.bin", cloud(3))
    (pred / "folder.label").mkdir()
    assert scores("--pred", pred, "--gt", gt) == before


def test_the_labels_of_a_model(model, tmp_path):
    """segment's files are scored as they are; what it drops counts as missed."""
    points = cloud(1000)
    points[:100, 0] = np.nan
    put(tmp_path / "a.bin", points)
    succeeds("segment", tmp_path / "a.bin", "--model", model, "--out", tmp_path / "pred", "--write", "label")
    (tmp_path / "gt").mkdir()
    truth = np.where(np.arange(1000) % 2, 40, 50).astype("<u4")
    truth.tofile(tmp_path / "gt" / "a.label")
    found = scores("--pred", tmp_path / "pred", "--gt", tmp_path / "gt")
    predicted = labels_of(tmp_path / "pred" / "a.label")
    assert found["miou"] == pytest.approx(official([(predicted, truth)])[1])
    assert sum(found["predicted_unlabelled"]) == 100


def test_nuscenes(tmp_path):
    """Ground truth: uint8 of 32 categories; predictions: uint8 or segment's uint32 of 16 classes."""
    truth = [17, 17, 24, 2, 3, 0, 31, 30]
    predicted = [4, 10, 11, 7, 7, 7, 1, 16]
    for folder in ("gt", "bytes", "words"):
        (tmp_path / folder).mkdir()
    np.array(truth, np.uint8).tofile(tmp_path / "gt" / "token_lidarseg.bin")
    np.array(predicted, np.uint8).tofile(tmp_path / "bytes" / "token_lidarseg.bin")
    np.array(predicted, "<u4").tofile(tmp_path / "words" / "token_lidarseg.label")
    found = scores("--pred", tmp_path / "bytes", "--gt", tmp_path / "gt", "--protocol", "nuscenes")
    assert found == scores("--pred", tmp_path / "words", "--gt", tmp_path / "gt", "--protocol", "nuscenes")
    by_name = {entry["name"]: entry["iou"] for entry in found["classes"]}
    assert len(by_name) == 16 and by_name["trailer"] is None  # neither true nor predicted
    assert by_name["car"] == pytest.approx(1 / 2) and by_name["pedestrian"] == pytest.approx(1)
    assert by_name["truck"] == 0
    assert found["miou"] == pytest.approx((1 / 2 + 0 + 1 + 1 + 1) / 5)
    assert found["ignored_points"] == 2
    fails("eval", "--pred", tmp_path / "gt", "--gt", tmp_path / "gt", "--protocol", "nuscenes",
          says=["gt/token_lidarseg.bin", "found 17 at point 0"])
    fails("eval", "--pred", tmp_path / "bytes", "--gt", tmp_path / "gt", says=["holds no .label"])


def test_waymo(tmp_path):
    for folder, words in (("gt", [1, 22, 0, 18]), ("pred", [1, 18, 5, 18])):
        (tmp_path / folder).mkdir()
        np.array(words, "<u4").tofile(tmp_path / folder / "a.label")
    found = scores("--pred", tmp_path / "pred", "--gt", tmp_path / "gt", "--protocol", "waymo")
    assert len(found["classes"]) == 22 and found["miou"] == pytest.approx((1 + 1 / 2 + 0) / 3)


def test_picture(folders, tmp_path):
    pred, gt, _ = folders
    arguments = ["eval", "--pred", pred, "--gt", gt, "--picture", tmp_path / "confusion.png"]
    assert succeeds(*arguments) == succeeds(*arguments[:-2])
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG\r\n")
    bad = tmp_path / "none" / "confusion.png"
    fails(*arguments[:-1], bad, says=[bad, "cannot be written"])


@pytest.mark.parametrize(("preprocess", "classes", "first"), [("nuscenes", 16, "barrier"), ("waymo", 22, "car")])
def test_models_for_other_data_sets(tmp_path, preprocess, classes, first):
    path = tmp_path / "m.safetensors"
    text = succeeds("new", "minkunet", "--width", 0.04, "--preprocess", preprocess, "-o", path)
    assert f"{classes} classes" in text
    metadata = read_header(path)[0]["__metadata__"]
    assert json.loads(metadata["voxshift.profile"])["name"] == preprocess
    assert json.loads(metadata["voxshift.classes"])[0]["name"] == first


# Bad input

def test_unpaired_files(folders):
    pred, gt, _ = folders
    (pred / "000001.label").rename(pred / "000009.label")
    fails("eval", "--pred", pred, "--gt", gt, says=[pred / "000001.label", "no such file", gt / "000001.label"])
    (gt / "000001.label").rename(gt / "other")
    fails("eval", "--pred", pred, "--gt", gt, says=[pred / "000009.label", "no ground truth", "2 files, found 3"])


def test_bad_label_files(folders):
    pred, gt, pairs = folders
    good = pairs[1][0].astype("<u4")
    unknown = good.copy()
    unknown[17] = 5 << 16 | 17
    for content, says in [
        (good.tobytes()[:-4], ["2999 labels, expected 3000", gt / "000001.label"]),
        (good.tobytes() + b"\0\0\0\0", ["3001 labels, expected 3000"]),
        (good.tobytes()[:-1], ["11999 bytes", "multiple of 4"]),
        (b"", ["empty", "labels"]),
        (unknown.tobytes(), ["found 17 at point 17"]),
        (np.full(3000, 65535, "<u4").tobytes(), ["found 65535 at point 0"]),
    ]:
        (pred / "000001.label").write_bytes(content)
        result = run("eval", "--pred", pred, "--gt", gt, "--json")
        assert result.stdout == ""  # no score of a part
        line = fails("eval", "--pred", pred, "--gt", gt, says=says)
        assert line.startswith(f"voxshift: {pred / '000001.label'}: "), line
    (pred / "000001.label").write_bytes(good.tobytes())
    (gt / "000002.label").write_bytes(b"12345")
    assert fails("eval", "--pred", pred, "--gt", gt).startswith(f"voxshift: {gt / '000002.label'}: 5 bytes")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everywhere")
def test_a_file_without_permission(folders):
    pred, gt, _ = folders
    (pred / "000001.label").chmod(0)
    fails("eval", "--pred", pred, "--gt", gt, says=[pred / "000001.label", "Permission"])


def test_a_link_to_nowhere(folders):
    pred, gt, _ = folders
    (pred / "000001.label").unlink()
    (pred / "000001.label").symlink_to("nowhere")
    fails("eval", "--pred", pred, "--gt", gt, says=[pred / "000001.label", "no such file"])


def test_folders_without_labels(folders, tmp_path):
    pred, gt, _ = folders
    empty, file = tmp_path / "empty", gt / "000000.label"
    empty.mkdir()
    for bad, says in [(tmp_path / "none", "no such folder"), (file, "not a folder"), (empty, "holds no .label")]:
        fails("eval", "--pred", bad, "--gt", gt, says=[bad, says])
        fails("eval", "--pred", pred, "--gt", bad, says=[bad, says])


def test_usage(folders):
    pred, gt, _ = folders
    fails("eval", "--pred", pred, "--gt", gt, "--protocol", "kitti", says=["semantickitti, spvnas", '"kitti"'])
    for arguments in (["--pred", pred], ["--gt", gt], ["--pred", pred, "--gt", gt, "--sequence"]):
        assert run("eval", *arguments).returncode == 2
    options = succeeds("eval", "--help")
    for word in ("--pred", "--gt", "--sequence", "--protocol", "--confusion", "--json", "--picture"):
        assert word in options
