"""The cards of the shipped models: what huggingface_hub reads of them, and that the script that writes their tables leaves it."""

import re
import shutil
from pathlib import Path

import pytest

huggingface_hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
FOLDER = Path(__file__).parents[2] / "networks" / "pretrained"
CARDS = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"


def test_every_model_has_a_card():
    models = {path.stem.removesuffix("-i8") for path in FOLDER.glob("*.safetensors")}
    assert models == {card.stem for card in CARDS} and len(models) == 3


@pytest.mark.parametrize("path", CARDS, ids=[card.stem for card in CARDS])
def test_the_hub_reads_a_card(path):
    card = huggingface_hub.ModelCard.load(path)
    data = card.data.to_dict()
    assert data["license"] == "apache-2.0" and data["library_name"] == "voxshift"
    assert data["pipeline_tag"] in {"other", "object-detection", "video-classification"}  # of huggingface.co/tasks
    assert "voxshift" in data["tags"] and len(set(data["tags"])) == len(data["tags"]) > 3
    assert all(re.fullmatch(r"[a-z0-9-]+", tag) for tag in data["tags"])
    assert card.data.datasets == [] and "simulated" in card.text
    assert data["metrics"] and set(data["metrics"]) <= {"accuracy", "average_precision", "mean_iou"}
    assert card.text.lstrip().startswith(f"# {path.stem}\n")
    assert not re.search(r"\]\((?!https?://)", card.text), "a link to a file leads nowhere in the hub"


@pytest.mark.parametrize("path", CARDS, ids=[card.stem for card in CARDS])
def test_tables_are_written_anew_and_the_rest_stays(path, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER.parents[1] / "benchmarks"))
    import tables

    copy = Path(shutil.copy(path, tmp_path))
    tables.insert(copy, "new tables")
    before, after = path.read_text(encoding="utf-8"), copy.read_text(encoding="utf-8")
    assert after == before.split(BEGIN)[0] + BEGIN + "\nnew tables\n" + END + before.split(END)[1]
    assert huggingface_hub.ModelCard.load(copy).data.to_dict() == huggingface_hub.ModelCard.load(path).data.to_dict()
