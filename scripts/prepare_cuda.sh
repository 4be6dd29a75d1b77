#!/usr/bin/env bash
# Packs what scripts/test_cuda.sh needs on a machine that has a GPU and nvcc, but no packages and no network: programs for one
# architecture, built here, and what they are built from, for where they do not start. This machine needs nvcc and no GPU.
#
#   scripts/prepare_cuda.sh FOLDER [ARCHITECTURE]            packs the programs
#   scripts/prepare_cuda.sh --peers FOLDER [ARCHITECTURE]    packs spconv and spconv-triton, 33 MB, for a run of the stages that need them
#
# FOLDER gets prepared, programs.tar.xz and debs/, or peers.tar.xz; and scan.bin of VOXSHIFT_DATA. ARCHITECTURE: 90 where none is named;
# `emulated` makes programs that rehearse it all without a GPU. VOXSHIFT_PYTHON is a Python of the version that is there, with
# its headers; python3 where it is unset. With ccache in CMAKE_CUDA_COMPILER_LAUNCHER a second time takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/quietly.sh

peers=
if [[ ${1:-} == --peers ]]; then
  peers=1
  shift
fi
if [[ $# -lt 1 || $# -gt 2 || ! ${2:-90} =~ ^([0-9]+|emulated)$ ]]; then
  echo "usage: scripts/prepare_cuda.sh [--peers] FOLDER [ARCHITECTURE]" >&2
  exit 2
fi
folder=$1 architecture=${2:-90} python=${VOXSHIFT_PYTHON:-python3} build=build/cuda
mkdir -p "$folder"
folder=$(realpath "$folder")
[[ -z ${VOXSHIFT_DATA:-} ]] || cp "$VOXSHIFT_DATA/lidar/semantickitti_000000.bin" "$folder/scan.bin"
if [[ $peers ]]; then
  rm -rf build/cuda_wheels
  quietly prepare_wheels "$python" -m pip download --no-deps --only-binary=:all: -d build/cuda_wheels \
    -r benchmarks/peers/cuda_requirements.txt
  quietly prepare_peers "$python" benchmarks/peers/pack_wheels.py build/cuda_wheels "$architecture" "$folder/peers.tar.xz"
  du -h --apparent-size "$folder"/*
  exit
fi

targets=(tests/all cuda_bench voxshift_command _voxshift)
options=(-D VOXSHIFT_BENCHMARKS=ON -D VOXSHIFT_OPENCV=OFF -D VOXSHIFT_OPEN3D=OFF -D VOXSHIFT_CONVERT=OFF -D VOXSHIFT_APPS=ON
         -D VOXSHIFT_PYTHON=ON -D Python_EXECUTABLE="$(command -v "$python")" -D BUILD_SHARED_LIBS=ON)
for kind in EXE SHARED MODULE; do options+=(-D "CMAKE_${kind}_LINKER_FLAGS=-s"); done
if pybind11=$("$python" -m pybind11 --cmakedir 2>/dev/null); then options+=(-D pybind11_DIR="$pybind11"); fi
if [[ $architecture == emulated ]]; then
  build=build/cuda_emulated
  options+=(-D VOXSHIFT_CUDA=EMULATED)
else
  targets+=(peer_input)
  options+=(-D CMAKE_CUDA_ARCHITECTURES="$architecture-real")
fi

start=$SECONDS
quietly prepare_configure cmake --preset cuda -B "$build" "${options[@]}"
quietly prepare_build cmake --build "$build" --parallel "$(nproc)" --target "${targets[@]}"
echo "built in $((SECONDS - start)) s on $(nproc) cores"

# Libraries of this system that a bare one has not.
mkdir -p "$build/carried"
for program in "$build"/benchmarks/cuda_bench "$build"/libvoxshift.so; do
  ldd "$program" | awk '/lib(hwy|benchmark|boost_context)\./ { print $3 }'
done | sort -u | xargs -r cp --dereference --target-directory "$build/carried"
find "$build" \( -path '*/CMakeFiles' -o -path "$build/examples" \) -prune -o \
  \( -name CTestTestfile.cmake -o -name '*.so*' -o -path "$build/python_bindings/voxshift/*" -o \
     -type f -perm -u+x ! -name '*.sh' \) -print >build/prepare_files
tar --create --files-from build/prepare_files | xz -T0 -6 >"$folder/programs.tar.xz"

mkdir -p "$folder/debs"
(cd "$folder/debs" && rm -f -- *.deb && apt-get -qq -o APT::Sandbox::User=root download libhwy-dev libhwy1 liblzf-dev liblzf1 \
  nlohmann-json3-dev libcli11-dev libstb-dev libgtest-dev googletest libbenchmark-dev libbenchmark1debian pybind11-dev pkg-config)
printf 'prepared_%s=%q\n' root "$PWD" build "$build" architecture "$architecture" \
  commit "$(git rev-parse --short HEAD 2>/dev/null || echo unknown)" >"$folder/prepared"
du -h --apparent-size "$folder"/*
