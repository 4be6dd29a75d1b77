"""Files that speak of others agree with them: versions, tools, forms of issues; and README stays short."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def text(path):
    return (ROOT / path).read_text(encoding="utf-8")


def test_the_citation_is_of_this_version():
    assert f"\nversion: {text('VERSION').strip()}\n" in text("CITATION.cff")
    released = re.search(rf"## \[{re.escape(text('VERSION').strip())}\] - (\S+)", text("CHANGELOG.md"))
    assert released and f"\ndate-released: {released[1]}\n" in text("CITATION.cff")


def test_commits_are_checked_by_the_tools_of_ci():
    wanted = set(text("scripts/lint_requirements.txt").split())
    found = re.findall(r"additional_dependencies: \[(.*)\]", text(".pre-commit-config.yaml"))
    assert {name for names in found for name in names.split(", ")} == wanted


def test_forms_of_issues():
    yaml = pytest.importorskip("yaml")
    forms = [path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"]
    assert len(forms) >= 3
    for form in forms:
        found = yaml.safe_load(form.read_text(encoding="utf-8"))
        assert {"name", "description", "body"} <= set(found), form
        ids = [field["id"] for field in found["body"] if field["type"] != "markdown"]
        assert ids and len(ids) == len(set(ids)), form
        for field in found["body"]:
            assert field["type"] in {"markdown", "input", "textarea", "dropdown", "checkboxes"}, form
            assert field["attributes"].get("value" if field["type"] == "markdown" else "label"), form
            assert field["type"] != "dropdown" or all(isinstance(option, str) for option in field["attributes"]["options"]), form


def test_readme_is_short():
    assert len(text("README.md").splitlines()) <= 150


def test_text_files_end_as_editorconfig_says():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no clone of git")
    ends = {".cpp", ".cu", ".h", ".c", ".py", ".pyi", ".md", ".sh", ".toml", ".yml", ".cmake", ".java", ".js"}
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.suffix in ends and path.is_file():
            data = path.read_bytes()
            if b"\r" in data or re.search(rb"[ \t]+$", data, re.MULTILINE) or (data and not data.endswith(b"\n")):
                found.append(name)
    assert not found
