#!/usr/bin/env bash
# On a machine with a CUDA GPU: builds everything for it, runs all GPU tests, compute-sanitizer on a subset, and the
# benchmarks, whose figures go to benchmarks/results/<gpu>.json.
#
#   scripts/test_cuda.sh [DEBS]
#
# DEBS: a folder of the .deb packages that the build needs, for a machine that cannot install any. Fetch them where
# packages can be had: apt-get download libhwy-dev libhwy1 nlohmann-json3-dev libcli11-dev libgtest-dev googletest \
#   libbenchmark-dev libbenchmark1debian pkg-config
# The Python tests run where python3 has its headers, pybind11, numpy and pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/quietly.sh

if [[ $# -gt 0 ]]; then
  packages=$PWD/build/cuda_packages
  mkdir -p "$packages"
  for package in "$1"/*.deb; do dpkg -x "$package" "$packages"; done
  libraries=$packages/usr/lib/$(uname -m)-linux-gnu
  export CMAKE_PREFIX_PATH=$packages/usr PKG_CONFIG_SYSROOT_DIR=$packages PKG_CONFIG_PATH=$libraries/pkgconfig
  export LIBRARY_PATH=$libraries LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
fi

# The architecture of this GPU; a Jetson's nvidia-smi does not tell, and its GPU is Orin's.
capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d .) || true
[[ $capability =~ ^[0-9]+$ ]] || capability=87
gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1) || true
gpu=${gpu:-Orin}

echo "Building in build/cuda for $gpu (sm_$capability)"
start=$SECONDS
quietly cuda_configure cmake --preset cuda -D CMAKE_CUDA_ARCHITECTURES="$capability-real" -D VOXSHIFT_BENCHMARKS=ON \
  -D VOXSHIFT_OPENCV=OFF
quietly cuda_build cmake --build --preset cuda --parallel "$(nproc)"
echo "built in $((SECONDS - start)) s on $(nproc) cores"

echo "Running the GPU tests"
GTEST_FILTER='*/cuda*' quietly cuda_ctest ctest --preset cuda --tests-regex '_test$' --parallel 4
grep "tests passed" build/cuda_ctest.log

if python=$(command -v python3) && pybind11=$(python3 -m pybind11 --cmakedir 2>/dev/null) &&
  python3 -c "import numpy, pytest" 2>/dev/null; then
  echo "Running the Python tests of CUDA arrays"
  quietly cuda_python_configure cmake --preset cuda -D VOXSHIFT_PYTHON=ON -D pybind11_DIR="$pybind11" \
    -D Python_EXECUTABLE="$python"
  quietly cuda_python_build cmake --build --preset cuda --target _voxshift --parallel "$(nproc)"
  PYTHONPATH=$PWD/build/cuda/python_bindings VOXSHIFT_REQUIRE_CUDA=1 quietly cuda_pytest \
    python3 -m pytest tests/python/cuda_arrays_test.py tests/python/cuda_model_test.py tests/python/cuda_ops_test.py
  tail -n 1 build/cuda_pytest.log
else
  echo "No Python tests: they need python3 with its headers, pybind11, numpy and pytest"
fi

if command -v compute-sanitizer >/dev/null; then
  check_with() {  # TOOL PROGRAM FILTER
    echo "compute-sanitizer $1 $2"
    quietly "cuda_$1_$2" compute-sanitizer --tool "$1" --error-exitcode 9 --require-cuda-init=no "build/cuda/tests/$2" \
      --gtest_filter="$3-*/cpu" --gtest_brief=1
  }
  check_with memcheck kernel_map_test '*CloudsAtTheEdges*'
  check_with memcheck half_features_test '*Slices*:*NoRows*:*RowsAndSegments*'
  check_with memcheck sampling_test '*'
  check_with memcheck rows_test '*Linear*'
  check_with memcheck half_video_test '*'
  check_with racecheck half_features_test '*Slices*'
  check_with racecheck rows_test '*LinearOfRealNumbers*'
  check_with racecheck half_video_test '*ShiftedRuns*:*Lists*'
fi

echo "Measuring"
data=${VOXSHIFT_DATA:-}
scan=${data:+$data/lidar/semantickitti_000000.bin}
name=$(echo "$gpu" | tr '[:upper:] ' '[:lower:]-')
out=benchmarks/results/$name.json
commit=${VOXSHIFT_COMMIT:-$(git rev-parse --short HEAD 2>/dev/null || echo unknown)}
driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1) || true
build/cuda/benchmarks/cuda_bench "$scan" >build/cuda_bench.json
peers=null
if python3 -c "import torch; assert torch.cuda.is_available()" 2>/dev/null; then
  mkdir -p build/cuda_peers
  build/cuda/apps/voxshift new minkunet --seed 1 -o build/cuda_peers/minkunet.safetensors
  build/cuda/benchmarks/peer_input $scan --model=build/cuda_peers/minkunet.safetensors --out=build/cuda_peers
  (cd benchmarks/peers && python3 cuda_networks.py ../../build/cuda_peers ../../build/cuda_peers/minkunet.safetensors) \
    >build/cuda_peers.json 2>build/cuda_peers.log && peers=$(tail -n 1 build/cuda_peers.json)
fi
printf '{"commit": "%s", "date": "%s", "gpu": "%s", "driver": "%s", "ours": %s, "peers": %s}\n' "$commit" \
  "$(date +%F)" "$gpu" "${driver:-unknown}" "$(cat build/cuda_bench.json)" "$peers" >"$out"
echo "wrote $out; python3 benchmarks/cuda_tables.py puts it into the documents"
