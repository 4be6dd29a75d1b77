#!/usr/bin/env python3
"""Who may include whom. Reads the includes of every C++ source and compares them with the table below."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = re.compile(r"\.(h|cpp|cu|cuh)$")
INCLUDE = re.compile(r'^\s*#\s*include\s+(<[^>]+>|"[^"]+")', re.MULTILINE)

FAMILIES = "sparse_conv|point_voxel|temporal_shift|video|detection"
ROOMS = "graph|engine|streaming|networks|tasks|quantize|look|ros"
LIBRARY = rf"(tensor|rows|synth|files|checkpoints|onnx|convert|{ROOMS}|{FAMILIES})/.*"
CONTRACT = rf"(tensor|rows|{FAMILIES})/kernels\.h"  # for backends; not installed
PUBLIC = rf"(?!{CONTRACT}){LIBRARY}"

# Folder -> what it may include of ours beside its own files, as <voxshift/...>.
OURS = {
    "tensor": r"(?!)",
    "rows": r"tensor/.*",
    **dict.fromkeys(FAMILIES.split("|"), r"(tensor|rows)/.*"),
    "video": r"(tensor|rows|files)/.*",
    "synth": r"tensor/.*",
    "graph": rf"(tensor|rows|files|{FAMILIES})/.*",
    "engine": rf"(graph|tensor|rows|{FAMILIES})/.*",
    "streaming": rf"(engine|graph|tensor|rows|{FAMILIES})/.*",
    "networks": rf"(graph|tensor|files|{FAMILIES})/.*",
    "tasks": rf"(networks|streaming|engine|graph|synth|files|tensor|rows|{FAMILIES})/.*",
    "quantize": rf"(tasks|networks|streaming|engine|graph|synth|files|tensor|rows|{FAMILIES})/.*",
    "look": r"(tasks|files|tensor)/.*",
    "ros": r"(tasks|files|tensor)/.*",
    "files": r"tensor/.*",
    "checkpoints": r"(graph|files|tensor)/.*",
    "onnx": r"(graph|files|video|tensor)/.*",
    "convert": rf"(checkpoints|onnx|tasks|networks|graph|files|tensor|{FAMILIES})/.*",
    "kernels_cpu": rf"tensor/.*|{CONTRACT}",
    "kernels_cuda": rf"tensor/.*|{CONTRACT}",
    "c_api": PUBLIC,
    "java": r"c_api\.h",
    "apps": rf"c_api\.h|{PUBLIC}",
    "python_bindings": PUBLIC,
    "examples": rf"voxshift\.h|c_api\.h|{PUBLIC}",
    "ros2": PUBLIC,
    "benchmarks": rf"voxshift\.h|c_api\.h|rows/kernels\.h|kernels_cuda/(dense_choice|product_design)\.h|{PUBLIC}",
    "tests": r"voxshift\.h|c_api\.h|kernels_cpu/(pair_lists|narrow_product|packed_narrow|x86_features)\.h|"
    rf"kernels_cuda/(device|dense_choice|dense_call|cublas_lt|product_design)\.h|{CONTRACT}|{PUBLIC}",
}

# Header of others -> the only files that may include it. The standard library, <name> without dot or slash, is free.
THEIRS = {
    r"hwy/.*|immintrin\.h|arm_neon\.h|cpuid\.h": r"kernels_cpu/.*",
    r"pthread\.h|sched\.h": r"kernels_cpu/processors\.cpp|tests/tensor/thread_pool_system_test\.cpp",
    r"omp\.h": r"(?!)",
    r"malloc\.h": r"kernels_cpu/host_memory\.cpp|apps/heap\.cpp",
    r"std(def|int)\.h": r"c_api/c_api\.h",
    r"sys/mman\.h": r"kernels_cpu/runtime\.cpp|kernels_cuda/emulation/memory\.cpp|apps/heap\.cpp",
    r"link\.h": r"kernels_cuda/emulation/races\.cpp",
    r"cuda.*|cub/.*|thrust/.*|cublas.*|boost/.*": r"kernels_cuda/.*|benchmarks/cuda_limits\.cpp|tests/kernels_cuda/fake_cublas_lt\.cpp",
    r"sanitizer/.*": r"kernels_cuda/emulation/\w+\.(h|cpp)",
    r"jni\.h": r"java/.*",
    r"lzf\.h": r"files/pcd\.cpp|tests/(files/point_cloud_files|tasks/refused_memory)_test\.cpp",
    r"opencv2/.*": r"apps/opencv_\w+\.(h|cpp)|video/(frame_source|raw_frames|video_file)\.(h|cpp)"
    r"|tests/video/(frame_\w+\.h|frame_source_test\.cpp|video_file_test\.cpp)|tests/streaming/camera_opencv_test\.cpp",
    r"stb_\w+\.h": r"apps/plain_canvas\.cpp",
    r"open3d/.*": r"apps/open3d_module\.cpp",
    r"onnx/onnx_file\.pb\.h|google/protobuf/.*": r"onnx/.*",
    r"zip\.h": r"checkpoints/zip_archive\.cpp|tests/checkpoints/\w+\.h",
    r"nlohmann/.*": r"(graph|streaming|networks|tasks|look|apps|tests)/.*",
    r"CLI/.*": r"apps/.*",
    r"pybind11/.*": r"python_bindings/.*",
    r"gtest/.*|gmock/.*": r"tests/.*",
    r"fuzzer/.*": r"tests/fuzz/.*",
    r"rclcpp.*|sensor_msgs/.*": r"ros2/.*",
    r"benchmark/.*": r"benchmarks/.*",
    r"(dlfcn|fcntl|signal|unistd)\.h|sys/.*": r"(files|graph|apps|tests|benchmarks)/.*|kernels_cuda/cublas_lt\.cu|"
    r"kernels_cpu/(arm_features|cache_size|processors)\.cpp",
    r"(windows|psapi|io|stdio)\.h|mach-o/.*": r"apps/system_(posix|windows)\.cpp",
    r"(process|wchar)\.h": r"files/process\.cpp",
}


def wrong_include(path: str, include: str) -> bool:
    """Whether the file `path`, relative to the repository, may not include `include`, written with its delimiters."""
    folder, name = path.split("/")[0], include[1:-1]
    if include[0] == '"':  # beside this file; for tests also what they share, and apps/, which is no part of the library
        folders = [Path(path).parent] + [Path("tests"), Path("apps")] * (folder == "tests")
        folders += [Path("apps")] * (path == "python_bindings/command.cpp")  # the command in the Python package
        return "/" in name or not any((ROOT / near / name).is_file() for near in folders)
    if name.startswith("voxshift/"):
        name = name[len("voxshift/") :]
        if re.fullmatch(rf"{PUBLIC}\.h", path) and re.fullmatch(CONTRACT, name):
            return True
        return not (name.startswith(folder + "/") or re.fullmatch(OURS[folder], name))
    users = [user for header, user in THEIRS.items() if re.fullmatch(header, name)]
    return not re.fullmatch(users[0], path) if users else re.fullmatch(r"[a-z0-9_]+", name) is None


def violations():
    for folder in OURS:
        for file in sorted((ROOT / folder).rglob("*")):
            if SOURCE.search(file.name):
                path = file.relative_to(ROOT).as_posix()
                for include in INCLUDE.findall(file.read_text(encoding="utf-8")):
                    if wrong_include(path, include):
                        yield f"{path}: may not include {include}"


# Fractions of a text must not depend on the locale of the program that the library is part of: number_from_chars() does
# not.
OF_LOCALE = re.compile(r"\b(strto(d|f|ld)|sto(d|f|ld)|atof|[a-z]*scanf)\s*\(")


def test_fractions_are_read_whatever_the_locale():
    found = []
    for folder in set(OURS) - {"tests", "benchmarks"}:
        for file in (ROOT / folder).rglob("*"):
            if SOURCE.search(file.name):
                if file.match("files/number_text.cpp"):  # which sees to it
                    continue
                calls = [match[0] for match in OF_LOCALE.finditer(file.read_text(encoding="utf-8"))]
                found += [f"{file.relative_to(ROOT)}: {call}" for call in calls]
    assert not found, "\n".join(found)


def test_every_source_folder_has_its_rule():
    found = {file.relative_to(ROOT).parts[0] for file in ROOT.glob("*/*") if SOURCE.search(file.name)}
    assert found <= set(OURS), f"no rule for {sorted(found - set(OURS))}"
    assert {"tensor", "sparse_conv", "kernels_cpu"} <= found


def test_no_file_breaks_the_rule():
    found = list(violations())
    assert not found, "\n".join(found)


def named_types(text: str):
    """Qualified names of the types that a file defines in namespaces with names."""
    inside = []
    for line in text.splitlines():
        if found := re.match(r"(?:inline )?namespace ?([\w:]*) \{$", line):
            inside.append(found[1])
        elif line.startswith("}  // namespace"):
            inside.pop()
        elif "" not in inside and (found := re.match(r"(?:struct|class|union|enum class) (?:alignas\(\w+\) )?([\w:]+)(?!\w*<)[^;]*\{", line)):
            yield "::".join((*inside, found[1]))


def test_no_two_types_have_one_name():
    """Programs that link both would mix what templates make of them. kernels_cuda/emulation stands in CUDA's place."""
    homes = {}
    sources = (file for folder in OURS.keys() - {"tests", "benchmarks"} for file in (ROOT / folder).rglob("*"))
    for file in sorted(file for file in sources if SOURCE.search(file.name) and file.parent.name != "emulation"):
        for name in named_types(file.read_text(encoding="utf-8")):
            homes.setdefault(name, []).append(file.relative_to(ROOT).as_posix())
    assert {"voxshift::Array", "voxshift::Value", "voxshift::onnx::Value"} <= set(homes)
    found = [f"{name}: {', '.join(files)}" for name, files in homes.items() if len(files) > 1]
    assert not found, "\n".join(found)


def test_what_is_public_is_listed():
    """The headers that <voxshift/voxshift.h> leads to are those that are installed, and no contract is among them."""
    reached, todo = set(), ["voxshift.h"]
    while todo:
        header = todo.pop()
        if header not in reached:
            reached.add(header)
            todo += re.findall(r"#include <voxshift/([^>]+)>", (ROOT / header).read_text())
    listed = (ROOT / "cmake" / "public_headers.txt").read_text().split()
    assert listed == sorted(reached), f"not both listed and reached: {sorted(reached ^ set(listed))}"
    assert not [header for header in listed if re.fullmatch(CONTRACT, header)]


def test_the_rule_forbids():
    for path, include in [
        ("tensor/array.cpp", "<voxshift/rows/ops.h>"),
        ("rows/ops.cpp", "<voxshift/sparse_conv/conv.h>"),
        ("point_voxel/voxelize.cpp", "<voxshift/sparse_conv/conv.h>"),
        ("sparse_conv/conv.cpp", "<voxshift/kernels_cpu/matmul.h>"),
        ("sparse_conv/conv.h", "<voxshift/sparse_conv/kernels.h>"),
        ("tensor/kernel_map.h", "<voxshift/kernels_cpu/pair_lists.h>"),
        ("kernels_cpu/rows.cpp", "<voxshift/rows/ops.h>"),
        ("kernels_cuda/no_cuda.cpp", "<voxshift/kernels_cpu/parallel.h>"),
        ("tasks/classes.cpp", "<voxshift/apps/scan_files.h>"),
        ("apps/scan_files.cpp", "<voxshift/sparse_conv/kernels.h>"),
        ("apps/scan_files.cpp", "<opencv2/core.hpp>"),
        ("apps/view.cpp", "<open3d/geometry/PointCloud.h>"),
        ("apps/scan_files.cpp", "<lzf.h>"),
        ("apps/scan_files.cpp", '"tensor/array.h"'),
        ("kernels_cpu/rows.cpp", "<omp.h>"),
        ("tensor/array.cpp", "<nlohmann/json.hpp>"),
        ("sparse_conv/conv.cpp", "<hwy/highway.h>"),
        ("tasks/classes.cpp", "<Eigen/Core>"),
    ]:
        assert wrong_include(path, include), f"{path} could include {include}"


if __name__ == "__main__":
    failed = False
    for test in [
        test_every_source_folder_has_its_rule,
        test_no_file_breaks_the_rule,
        test_no_two_types_have_one_name,
        test_fractions_are_read_whatever_the_locale,
        test_what_is_public_is_listed,
        test_the_rule_forbids,
    ]:
        try:
            test()
        except AssertionError as error:
            failed = True
            print(f"{test.__name__}:\n{error}", file=sys.stderr)
    sys.exit(failed)
