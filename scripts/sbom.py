#!/usr/bin/env python3
"""Says what a wheel of voxshift holds, as SPDX 2.3 in JSON, and puts that into the wheel.

sbom.py WHEEL [--with NAME=VERSION]... [--without NAME]... [-o FILE]

The document lists the wheel's files with their hashes, and what was compiled into them: the pinned sources of
cmake/voxshift_dependencies.cmake less those named --without, and what --with names (pybind11, and where it is linked
statically libstdc++ or libc++). It becomes DISTRIBUTION.dist-info/sboms/voxshift.spdx.json (PEP 770) of the wheel, whose
RECORD is written anew, or with -o FILE alone. A wheel that lacks the licence of a part is refused. The same wheel gives
the same document: its time is SOURCE_DATE_EPOCH, else 0.
"""

import argparse
import base64
import dataclasses
import datetime
import hashlib
import json
import os
import pathlib
import re
import sys
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
SBOM = "sboms/voxshift.spdx.json"


@dataclasses.dataclass(frozen=True)
class Known:
    """Of a part: what it is called, its licence, and the file in packaging/licenses with its text, if it asks for one."""

    name: str
    licence: str
    text: str | None
    purl: str


KNOWN = {
    "highway": Known("Highway", "Apache-2.0", "highway.txt", "pkg:github/google/highway@{}"),
    "nlohmann_json": Known("JSON for Modern C++", "MIT", "nlohmann_json.txt", "pkg:github/nlohmann/json@v{}"),
    "liblzf": Known("LibLZF", "BSD-2-Clause OR GPL-2.0-or-later", "liblzf.txt", "pkg:generic/liblzf@{}"),
    "cli11": Known("CLI11", "BSD-3-Clause", "cli11.txt", "pkg:github/CLIUtils/CLI11@v{}"),
    "stb": Known("stb", "MIT OR Unlicense", "stb.txt", "pkg:github/nothings/stb@{}"),
    "pybind11": Known("pybind11", "BSD-3-Clause", "pybind11.txt", "pkg:pypi/pybind11@{}"),
    "libstdc++": Known("GCC's runtime libraries", "GPL-3.0-or-later WITH GCC-exception-3.1", None, "pkg:generic/gcc@{}"),
    "cudart": Known("CUDA Runtime", "LicenseRef-NVIDIA-CUDA-EULA", None, "pkg:generic/cudart@{}"),
    "libc++": Known("LLVM's C++ library", "Apache-2.0 WITH LLVM-exception", None, "pkg:generic/libcxx@{}"),
}


@dataclasses.dataclass(frozen=True)
class Part:
    key: str
    version: str
    url: str = "NOASSERTION"
    sha256: str = ""


def refuse(message):
    sys.exit(f"sbom.py: {message}")


def pinned_parts(cmake_file=ROOT / "cmake/voxshift_dependencies.cmake"):
    """The archives that the build may take, as Part by their names."""
    pins = re.findall(r"voxshift_fetch\((\w+)\s+(https?://\S+)\s+([0-9a-f]{64})\)", cmake_file.read_text(encoding="utf-8"))
    parts = {}
    for key, url, sha256 in pins:
        version = re.search(r"(\d+(?:\.\d+)+|[0-9a-f]{40})\.(?:tar|zip|tgz)", url)
        parts[key] = Part(key, version[1] if version else refuse(f"{url} names no version"), url, sha256)
    return parts or refuse(f"{cmake_file} pins nothing")


def chosen_parts(options):
    parts = pinned_parts()
    for key in options.without:
        if parts.pop(key, None) is None:
            refuse(f"--without {key}: expected one of {', '.join(parts)}")
    for entry in options.with_:
        key, _, version = entry.partition("=")
        parts[key] = Part(key, version or refuse(f"--with {entry}: expected NAME=VERSION"))
    for key in parts:
        if key not in KNOWN:
            refuse(f"the licence of {key} is not known here: give it a line in KNOWN and its text in packaging/licenses")
    return sorted(parts.values(), key=lambda part: part.key)


def check_licences(names, info, parts):
    for text in ["LICENSE", *(KNOWN[part.key].text for part in parts)]:
        if text and not any(name.startswith(f"{info}/licenses/") and name.endswith(f"/{text}") for name in names):
            refuse(f"the wheel lacks {info}/licenses/../{text}")


def spdx_id(kind, name):
    return f"SPDXRef-{kind}-" + re.sub(r"[^a-zA-Z0-9.-]", "-", name)


def described_file(number, name, content):
    suffix = pathlib.PurePosixPath(name).suffix
    kind = {".py": "SOURCE", ".pyi": "SOURCE", ".txt": "TEXT", ".md": "TEXT", ".so": "BINARY"}.get(suffix, "OTHER")
    return {
        "SPDXID": f"SPDXRef-File-{number}",
        "fileName": f"./{name}",
        "fileTypes": ["BINARY" if ".so." in name else kind],
        "checksums": [{"algorithm": "SHA1", "checksumValue": hashlib.sha1(content).hexdigest()},
                      {"algorithm": "SHA256", "checksumValue": hashlib.sha256(content).hexdigest()}],
        "licenseConcluded": "NOASSERTION",
        "licenseInfoInFiles": ["NOASSERTION"],
        "copyrightText": "NOASSERTION",
    }


def described_part(part):
    known = KNOWN[part.key]
    return {
        "SPDXID": spdx_id("Package", part.key),
        "name": known.name,
        "versionInfo": part.version,
        "downloadLocation": part.url,
        "filesAnalyzed": False,
        "licenseConcluded": known.licence,
        "licenseDeclared": known.licence,
        "copyrightText": "NOASSERTION",
        **({"checksums": [{"algorithm": "SHA256", "checksumValue": part.sha256}]} if part.sha256 else {}),
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                          "referenceLocator": known.purl.format(part.version)}],
    }


def described_library(name):
    """A shared library that auditwheel copied into the wheel: from where, and of which version, it does not say."""
    return {
        "SPDXID": spdx_id("Library", name.rsplit("/", 1)[-1]),
        "name": name.rsplit("/", 1)[-1],
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
    }


def verification_code(files):
    """SPDX 2.3, 7.9: the SHA1 of all files' SHA1, sorted and joined."""
    hashes = sorted(file["checksums"][0]["checksumValue"] for file in files)
    return hashlib.sha1("".join(hashes).encode()).hexdigest()


def document(wheel_name, info, contents, parts):
    name, version = wheel_name.split("-")[:2]
    excluded = [f"{info}/RECORD", f"{info}/{SBOM}"]
    files = [described_file(number, file, contents[file])
             for number, file in enumerate(sorted(set(contents) - set(excluded)), start=1)]
    libraries = [described_library(file) for file in sorted(contents) if re.match(r"[^/]+\.libs/[^/]+\.so[.\d]*$", file)]
    package = spdx_id("Package", name)
    code = verification_code(files)
    created = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", 0)), datetime.timezone.utc)

    def related(element, relation, other):
        return {"spdxElementId": element, "relationshipType": relation, "relatedSpdxElement": other}

    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": wheel_name,
        "documentNamespace": f"https://spdx.org/spdxdocs/{wheel_name}-{code}",
        "creationInfo": {"created": created.strftime("%Y-%m-%dT%H:%M:%SZ"), "creators": ["Tool: voxshift-sbom.py"]},
        "packages": [{
            "SPDXID": package,
            "name": name,
            "versionInfo": version,
            "packageFileName": f"{wheel_name}.whl",
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": True,
            "packageVerificationCode": {"packageVerificationCodeValue": code,
                                        "packageVerificationCodeExcludedFiles": [f"./{file}" for file in excluded]},
            "licenseConcluded": "Apache-2.0",
            "licenseDeclared": "Apache-2.0",
            "licenseInfoFromFiles": ["NOASSERTION"],
            "copyrightText": "NOASSERTION",
            "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                              "referenceLocator": f"pkg:pypi/{name}@{version}"}],
        }, *map(described_part, parts), *libraries],
        "files": files,
        "relationships": [
            related("SPDXRef-DOCUMENT", "DESCRIBES", package),
            *(related(package, "CONTAINS", file["SPDXID"]) for file in files),
            *(related(package, "STATIC_LINK", spdx_id("Package", part.key)) for part in parts),
            *(related(package, "DYNAMIC_LINK", library["SPDXID"]) for library in libraries),
        ],
    }


def record(contents, info):
    """RECORD's lines: each file, its SHA256 and its size."""
    lines = []
    for name, content in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        quoted = f'"{name}"' if "," in name else name
        lines.append(f"{quoted},sha256={digest},{len(content)}")
    return "\n".join([*lines, f"{info}/RECORD,,", ""]).encode()


def put_into(wheel, text, info):
    """Replaces the wheel by one that holds the document, too; all or nothing."""
    target = f"{info}/{SBOM}"
    with zipfile.ZipFile(wheel) as archive, tempfile.NamedTemporaryFile(dir=wheel.parent, delete=False) as made:
        entries = [entry for entry in archive.infolist() if entry.filename not in (target, f"{info}/RECORD")]
        old_record = archive.getinfo(f"{info}/RECORD")
        contents = {entry.filename: archive.read(entry) for entry in entries if not entry.is_dir()}
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new:
            for entry in entries:
                new.writestr(entry, contents.get(entry.filename, b""), compress_type=zipfile.ZIP_DEFLATED, compresslevel=9)
            contents[target] = text
            for name, content in ((target, text), (f"{info}/RECORD", record(contents, info))):
                entry = zipfile.ZipInfo(name, old_record.date_time)
                entry.external_attr = old_record.external_attr
                new.writestr(entry, content, compress_type=zipfile.ZIP_DEFLATED, compresslevel=9)
    os.chmod(made.name, wheel.stat().st_mode)
    os.replace(made.name, wheel)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=pathlib.Path)
    parser.add_argument("--with", dest="with_", action="append", default=[], metavar="NAME=VERSION")
    parser.add_argument("--without", action="append", default=[], metavar="NAME")
    parser.add_argument("-o", dest="out", type=pathlib.Path, metavar="FILE")
    options = parser.parse_args()
    parts = chosen_parts(options)
    try:
        with zipfile.ZipFile(options.wheel) as archive:
            contents = {entry.filename: archive.read(entry) for entry in archive.infolist() if not entry.is_dir()}
    except (OSError, zipfile.BadZipFile) as error:
        refuse(f"{options.wheel}: {error}")
    records = [name for name in contents if re.fullmatch(r"[^/]+\.dist-info/RECORD", name)]
    if len(records) != 1:
        refuse(f"{options.wheel}: expected one .dist-info/RECORD, found {len(records)}")
    info = records[0].removesuffix("/RECORD")
    check_licences(contents, info, parts)
    text = (json.dumps(document(options.wheel.stem, info, contents, parts), indent=1) + "\n").encode()
    if options.out:
        options.out.write_bytes(text)
    else:
        put_into(options.wheel, text, info)


if __name__ == "__main__":
    main()
