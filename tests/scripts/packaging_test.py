"""What packaging/ and the presets say of the build is true of it: files, options, versions, pinned sources."""

import json
import pathlib
import re
import runpy

import pytest

ROOT = pathlib.Path(__file__).parents[2]
VERSION = (ROOT / "VERSION").read_text().strip()


def text(path):
    return (ROOT / path).read_text(encoding="utf-8")


def options_of_the_build():
    return set(re.findall(r"^(?:option\(|set\()(VOXSHIFT_\w+)", text("CMakeLists.txt") + text("packaging/debian.cmake"), re.MULTILINE))


def test_files_that_packages_hold_are_there():
    named = re.findall(r"\$\{(packaging|PROJECT_SOURCE_DIR)\}/([\w./-]+)", text("packaging/debian.cmake"))
    assert len(named) > 8
    for folder, name in named:
        assert (ROOT / ("packaging" if folder == "packaging" else "") / name).exists(), name


def test_the_example_of_a_package_is_whole():
    sources = re.findall(r"add_executable\(\w+ ([\w.]+)\)", text("tests/consumer/CMakeLists.txt"))
    assert sources
    for source in ["CMakeLists.txt", *sources]:
        assert f"tests/consumer/{source}" in text("packaging/debian.cmake")


def presets():
    document = json.loads(text("CMakePresets.json"))
    return {preset["name"]: preset.get("cacheVariables", {}) for preset in document["configurePresets"]}


@pytest.mark.parametrize("source, names", [
    ("presets", {name for variables in presets().values() for name in variables if name.startswith("VOXSHIFT_")}),
    ("portfile", set(re.findall(r"VOXSHIFT_\w+", text("packaging/vcpkg/portfile.cmake")))),
    ("recipe", set(re.findall(r"define\.(VOXSHIFT_\w+)", text("packaging/conda/recipe.yaml")))),
])
def test_options_that_are_set_are_those_of_the_build(source, names):
    assert names and names <= options_of_the_build(), source


def test_versions_are_that_of_the_project():
    assert json.loads(text("packaging/vcpkg/vcpkg.json"))["version-semver"] == VERSION
    assert re.search(r"^  version: (\S+)$", text("packaging/conda/recipe.yaml"), re.MULTILINE)[1] == VERSION


def test_pinned_sources_are_those_of_the_build_and_have_their_licences():
    sbom = runpy.run_path(str(ROOT / "scripts/sbom.py"))
    pins = {part.key: (part.url, part.sha256) for part in sbom["pinned_parts"]().values()}
    recipe = re.findall(r"- url: (\S+)\n    sha256: (\w+)\n    target_directory: (\w+)", text("packaging/conda/recipe.yaml"))
    assert {key: (url, sha256) for url, sha256, key in recipe} == pins
    for key in pins:
        assert f"FETCHCONTENT_SOURCE_DIR_{key.upper()}=$SRC_DIR/{key}" in text("packaging/conda/recipe.yaml")
        assert (ROOT / "packaging/licenses" / sbom["KNOWN"][key].text).stat().st_size > 400
    assert pins["liblzf"][0] in text("packaging/vcpkg/portfile.cmake")
