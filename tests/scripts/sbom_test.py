"""scripts/sbom.py on small wheels: the document is true of the wheel, and the wheel stays one."""

import base64
import csv
import hashlib
import io
import json
import pathlib
import re
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[2]
INFO = "voxshift-1.2.3.dist-info"
NAME = "voxshift-1.2.3-cp311-cp311-manylinux_2_28_x86_64.whl"
DOCUMENT = f"{INFO}/sboms/voxshift.spdx.json"
LICENCES = ["LICENSE", *(f"packaging/licenses/{path.name}" for path in sorted((ROOT / "packaging/licenses").iterdir()))]


def write_wheel(folder, without=()):
    files = {"voxshift/__init__.py": b"from voxshift._voxshift import *\n", "voxshift/_voxshift.so": bytes(range(256)) * 8,
             "voxshift.libs/libgomp-1a2b.so.1.0.0": b"\x7fELF", f"{INFO}/METADATA": b"Name: voxshift\n",
             **{f"{INFO}/licenses/{name}": name.encode() for name in LICENCES if name not in without}}
    path = folder / NAME
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
        wheel.writestr(f"{INFO}/RECORD", "")
    return path, files


def sbom(*arguments, status=0):
    result = subprocess.run([sys.executable, ROOT / "scripts/sbom.py", *map(str, arguments)], capture_output=True, text=True)
    assert result.returncode == status, result.stderr
    return result.stderr


def test_document_lists_files_with_their_hashes_and_what_is_compiled_in(tmp_path):
    wheel, files = write_wheel(tmp_path)
    sbom(wheel, "--with", "pybind11=2.13.6", "--without", "cli11", "-o", tmp_path / "out.json")
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["spdxVersion"] == "SPDX-2.3"

    listed = {file["fileName"]: {sum["algorithm"]: sum["checksumValue"] for sum in file["checksums"]} for file in document["files"]}
    assert listed == {f"./{name}": {"SHA1": hashlib.sha1(content).hexdigest(), "SHA256": hashlib.sha256(content).hexdigest()}
                      for name, content in files.items()}
    packages = {package["name"]: package.get("versionInfo") for package in document["packages"]}
    assert packages == {"voxshift": "1.2.3", "Highway": "1.0.3", "JSON for Modern C++": "3.11.2", "LibLZF": "3.6",
                        "stb": "8b5f1f37b5b75829fc72d38e7b5d4bcbf8a26d55",
                        "pybind11": "2.13.6", "libgomp-1a2b.so.1.0.0": None}
    pins = re.findall(r"\b[0-9a-f]{64}\b", (ROOT / "cmake/voxshift_dependencies.cmake").read_text())
    hashes = {sum["checksumValue"] for package in document["packages"] for sum in package.get("checksums", [])}
    assert len(hashes) == 4 and hashes < set(pins)

    known = {"SPDXRef-DOCUMENT"} | {entry["SPDXID"] for entry in document["packages"] + document["files"]}
    assert len(known) == 1 + len(packages) + len(files)
    for relation in document["relationships"]:
        assert {relation["spdxElementId"], relation["relatedSpdxElement"]} <= known


def test_wheel_holds_the_document_and_stays_valid(tmp_path):
    wheel, files = write_wheel(tmp_path)
    sbom(wheel)
    first = wheel.read_bytes()
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == sorted([*files, DOCUMENT, f"{INFO}/RECORD"])
        for name, content in files.items():
            assert archive.read(name) == content
        rows = {name: (digest, size) for name, digest, size in csv.reader(io.StringIO(archive.read(f"{INFO}/RECORD").decode()))}
        assert rows.pop(f"{INFO}/RECORD") == ("", "")
        assert set(rows) == {*files, DOCUMENT}
        for name, (digest, size) in rows.items():
            expected = base64.urlsafe_b64encode(hashlib.sha256(archive.read(name)).digest()).decode().rstrip("=")
            assert (digest, int(size)) == (f"sha256={expected}", len(archive.read(name)))
    sbom(wheel)
    assert wheel.read_bytes() == first  # and so it is the same document
    assert sorted(path.name for path in tmp_path.iterdir()) == [NAME]


@pytest.mark.parametrize("arguments, without, says", [
    ([], ["packaging/licenses/liblzf.txt"], "lacks"),
    ([], ["LICENSE"], "lacks"),
    (["--without", "abacus"], [], "--without abacus: expected one of"),
    (["--with", "pybind11"], [], "expected NAME=VERSION"),
    (["--with", "abacus=1.0"], [], "licence of abacus is not known"),
])
def test_what_is_not_known_is_refused(tmp_path, arguments, without, says):
    wheel, _ = write_wheel(tmp_path, without)
    before = wheel.read_bytes()
    assert says in sbom(wheel, *arguments, status=1)
    assert wheel.read_bytes() == before


def test_what_is_no_wheel_is_refused(tmp_path):
    (tmp_path / NAME).write_bytes(b"no archive")
    assert "zip" in sbom(tmp_path / NAME, status=1)
