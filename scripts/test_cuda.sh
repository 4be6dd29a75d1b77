#!/usr/bin/env bash
# On a machine with a CUDA GPU, in at most nine minutes: all GPU tests, the benchmarks, compute-sanitizer on a few tests, and what
# others reach there. Figures and what became of each stage go to benchmarks/results/<gpu>.json after every stage.
#
#   scripts/test_cuda.sh [FOLDER]
#
# FOLDER: what scripts/prepare_cuda.sh packed, for a machine without packages. Its programs run where they start; else, and
# without FOLDER, all is compiled here. VOXSHIFT_STAGES, a regular expression, chooses among the stages: those that ran before stay in
# the results, and the programs in use. VOXSHIFT_BUDGET has the seconds of all of it, 540 at first. Ends with status 1 where a stage
# failed or had no time.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
source scripts/quietly.sh

budget=${VOXSHIFT_BUDGET:-540} stages=${VOXSHIFT_STAGES:-.}
packed=${1:+$(realpath "$1")}
export build=build/cuda results=build/cuda_results python=python3 scan=
mkdir -p "$results"
[[ $stages != . ]] || rm -rf "${results:?}"/*
touch "$results/stages"
commit=${VOXSHIFT_COMMIT:-$(git rev-parse --short HEAD 2>/dev/null || echo unknown)}

# The architecture of this GPU; a Jetson's nvidia-smi does not tell, and its GPU is Orin's.
ask() { nvidia-smi --query-gpu="$1" --format=csv,noheader 2>/dev/null | head -n 1; }
capability=$(ask compute_cap | tr -d .)
[[ $capability =~ ^[0-9]+$ ]] || capability=87
gpu=$(ask name) driver=$(ask driver_version)
gpu=${gpu:-Orin}
out=benchmarks/results/$(echo "$gpu" | tr '[:upper:] ' '[:lower:]-').json

# A text as JSON has it.
quoted() { printf '"%s"' "$(tr -d '\r' <<<"$1" | tr '\n\t' '; ' | sed 's/\\/\\\\/g; s/"/\\"/g; s/[; ]*$//')"; }

# The document, of what there is so far: the lines of the stages, those of cuda_bench, the last ones of the peers.
write_results() {
  local stage lines ours='' device=null training peers
  lines=$(paste -sd, "$results/stages")
  for stage in "${benches[@]}"; do
    [[ -s $results/$stage.out ]] || continue
    device=$(head -n 1 "$results/$stage.out" | sed 's/}$//')
    ours+=$(tail -n +2 "$results/$stage.out" | grep '}$' | sed 's/$/,/')
  done
  [[ $device == null ]] || device="$device, \"results\": [${ours%,}]}"
  training=$(grep '^{.*}$' "$results/training.out" 2>/dev/null | tail -n 1)
  peers=$(grep '^{.*}$' "$results/peers.out" 2>/dev/null | tail -n 1)
  printf '{"commit": %s, "date": "%s", "gpu": %s, "driver": %s, "cores": %d, "stages": {%s}, "ours": %s, "training": %s, "peers": %s}\n' \
    "$(quoted "$commit")" "$(date +%F)" "$(quoted "$gpu")" "$(quoted "${driver:-unknown}")" "$(nproc)" "$lines" "$device" \
    "${training:-null}" "${peers:-null}" >"$out.new" && mv "$out.new" "$out"
}

benches=(network layers video labels sessions designs dense)
failed=()
record() {  # NAME SECONDS STATUS SAID
  sed -i "/^\"$1\":/d" "$results/stages"
  printf '"%s": {"seconds": %d, "status": "%s", "said": %s}\n' "$1" "$2" "$3" "$(quoted "$4")" >>"$results/stages"
  [[ $3 == passed || $3 == left\ out ]] || failed+=("$1")
  printf '%4d s  %-28s %s, %d s%s\n' "$SECONDS" "$1" "$3" "$2" "${4:+: $4}"
  write_results
}

# stage NAME SECONDS LINES COMMAND..: runs it under a limit, its output in NAME.out and NAME.log; LINES of those, a regular expression,
# say what came out.
stage() {
  local name=$1 limit=$2 lines=$3 start=$SECONDS left=$((budget - SECONDS)) status=0 said
  shift 3
  [[ $name =~ $stages ]] || return 0
  if ((left < 5)); then
    record "$name" 0 "no time" ""
    return
  fi
  ((limit < left)) || limit=$left
  timeout --kill-after=5 "$limit" bash -c '"$@"' stage "$@" >"$results/$name.out" 2>"$results/$name.log" </dev/null || status=$?
  said=$(cat "$results/$name.out" "$results/$name.log" | grep -E "$lines" | tail -n 12)
  case $status in
    0) record "$name" $((SECONDS - start)) passed "$said" ;;
    124 | 137) record "$name" $((SECONDS - start)) stopped "$said" ;;
    *)
      tail -n 20 "$results/$name.out" "$results/$name.log" >&2
      record "$name" $((SECONDS - start)) failed "$said"
      ;;
  esac
}

leave_out() { [[ ! $1 =~ $stages ]] || record "$1" 0 "left out" "$2"; }  # NAME REASON

# What the packed debs hold, for the compiler and for programs.
use_packages() {
  local packages=$PWD/build/cuda_packages package libraries
  mkdir -p "$packages"
  for package in "$packed"/debs/*.deb; do dpkg -x "$package" "$packages" || return; done
  libraries=$packages/usr/lib/$(uname -m)-linux-gnu
  export CMAKE_PREFIX_PATH=$packages/usr PKG_CONFIG_SYSROOT_DIR=$packages PKG_CONFIG_PATH=$libraries/pkgconfig
  export CPLUS_INCLUDE_PATH=$packages/usr/include LIBRARY_PATH=$libraries
  export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
}

# Whether the packed programs, those that came with FOLDER or before, start here. They name files by the folder they were built
# in, which becomes a link to this one.
unpack() {
  local prepared=build/cuda_prepared program
  if [[ -f ${packed:-none}/programs.tar.xz ]]; then
    cp "$packed/prepared" "$prepared" || return
    # shellcheck source=/dev/null
    source "$prepared"
    rm -rf "${prepared_build:?}"
    tar -xf "$packed/programs.tar.xz" 2>/dev/null || python3 -m tarfile -e "$packed/programs.tar.xz" . || return
  fi
  [[ -f $prepared ]] || return
  # shellcheck source=/dev/null
  source "$prepared"
  [[ ${prepared_architecture:=} == emulated || $prepared_architecture == "$capability" ]] || return
  if [[ ! -e ${prepared_root:=} ]]; then
    mkdir -p "$(dirname "$prepared_root")" && ln -s "$PWD" "$prepared_root" || return
  fi
  [[ $(realpath "$prepared_root") == "$(realpath .)" ]] || return
  build=$prepared_build commit=${prepared_commit:-unknown}
  if [[ $prepared_architecture == emulated ]]; then
    gpu=emulated out=$results/emulated.json
    export VOXSHIFT_TINY=--tiny
  fi
  export LD_LIBRARY_PATH=$PWD/$build/carried:/usr/local/cuda/lib64${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  for program in "$build"/libvoxshift.so "$build"/benchmarks/cuda_bench; do
    if ldd "$program" 2>&1 | grep 'not found'; then return 1; fi
  done
  "$build/tests/array_test" --gtest_brief=1 >/dev/null
}

compile() {
  local module=() pybind11
  if pybind11=$("$python" -m pybind11 --cmakedir 2>/dev/null); then
    module=(-D VOXSHIFT_PYTHON=ON -D pybind11_DIR="$pybind11" -D Python_EXECUTABLE="$(command -v "$python")")
  fi
  cmake --preset cuda -D CMAKE_CUDA_ARCHITECTURES="$capability-real" -D BUILD_SHARED_LIBS=ON -D VOXSHIFT_BENCHMARKS=ON \
    -D VOXSHIFT_OPENCV=OFF -D VOXSHIFT_CONVERT=OFF "${module[@]}" && cmake --build --preset cuda --parallel "$(nproc)"
}

run_tests() { GTEST_FILTER='*/cuda*' ctest --test-dir "$build" --tests-regex '_test$' --parallel 4 --output-on-failure --timeout 120; }
run_tests_of() {  # DESIGN: of the product, that is not the one taken unasked
  local program
  for program in conv_test half_features_test; do
    VOXSHIFT_CUDA_PRODUCT=$1 "$build/tests/$program" --gtest_filter='*/cuda*' --gtest_brief=1 || return
  done
}
run_bench() { "$build/benchmarks/cuda_bench" ${scan:+"$scan"} --parts="$1" ${VOXSHIFT_TINY:+"$VOXSHIFT_TINY"}; }
run_python_tests() { VOXSHIFT_REQUIRE_CUDA=1 "$python" -m pytest -q "$@"; }  # FILE..
run_sanitizer() {  # TOOL PROGRAM FILTER
  compute-sanitizer --tool "$1" --error-exitcode 9 --require-cuda-init=no "$build/tests/$2" --gtest_filter="$3-*/cpu" --gtest_brief=1
}
run_training() { "$python" benchmarks/peers/cuda_training.py ${scan:+"$scan"} ${VOXSHIFT_TINY:+"$VOXSHIFT_TINY"}; }
run_peers() {
  local folder=$PWD/build/cuda_peers
  mkdir -p "$folder"
  "$build/apps/voxshift" new minkunet --seed 1 -o "$folder/minkunet.safetensors" &&
    "$build/benchmarks/peer_input" ${scan:+"$scan"} --model="$folder/minkunet.safetensors" --out="$folder" &&
    cd benchmarks/peers && "$python" cuda_networks.py "$folder" "$folder/minkunet.safetensors"
}
export -f compile run_tests run_tests_of run_bench run_python_tests run_sanitizer run_training run_peers
export capability

start=$SECONDS
if unpack; then
  record unpack $((SECONDS - start)) passed "programs for $prepared_architecture, built elsewhere"
else
  build=build/cuda
  [[ ! $packed ]] || { echo "the packed programs do not start here: compiling"; use_packages || exit; }
  stages=. stage compile "$budget" '^-- voxshift: CUDA' compile
  [[ ${#failed[@]} -eq 0 ]] || exit 1
  rm -f build/cuda_prepared
fi
if [[ -f ${packed:-none}/scan.bin ]]; then
  scan=$packed/scan.bin
elif [[ -n ${VOXSHIFT_DATA:-} ]]; then
  scan=$VOXSHIFT_DATA/lidar/semantickitti_000000.bin
fi
export PYTHONPATH=$PWD/$build/python_bindings
if [[ -f ${packed:-none}/peers.tar.xz ]]; then
  mkdir -p build/cuda_peers_packages
  tar -xf "$packed/peers.tar.xz" -C build/cuda_peers_packages 2>/dev/null ||
    python3 -m tarfile -e "$packed/peers.tar.xz" build/cuda_peers_packages
fi
PYTHONPATH+=:$PWD/build/cuda_peers_packages

stage tests 200 'tests passed|\((Failed|Timeout|SEGFAULT)\)|Total Test time' run_tests
if said=$("$python" -c 'import numpy, pytest, voxshift' 2>&1); then
  stage python_tests 120 ' (passed|failed|error|skipped)' run_python_tests tests/python/*cuda*_test.py
else
  leave_out python_tests "$(tail -n 1 <<<"$said")"
fi
for part in "${benches[@]}"; do stage "$part" 90 '^cuda_bench:' run_bench "$part"; done
for design in tall wgmma portable-split tall-split wgmma-split; do stage "tests_$design" 60 'FAILED|PASSED' run_tests_of "$design"; done
if said=$("$python" -c 'import torch, voxshift.torch; assert torch.cuda.is_available(), "torch sees no GPU"' 2>&1); then
  stage training 150 'Error' run_training
  stage torch_tests 60 ' (passed|failed|error|skipped)' run_python_tests tests/python/autocast*_test.py tests/python/torch_order_test.py
else
  for name in training torch_tests; do leave_out "$name" "$(tail -n 1 <<<"$said")"; done
fi
if command -v compute-sanitizer >/dev/null && [[ $gpu != emulated ]]; then
  while read -r tool program filter; do
    stage "$tool $program" 60 'ERROR SUMMARY|RACECHECK SUMMARY|FAILED' run_sanitizer "$tool" "$program" "$filter"
  done <<<'memcheck kernel_map_test *CloudsAtTheEdges*
memcheck half_features_test *Slices*:*NoRows*:*RowsAndSegments*
memcheck byte_features_test *Linear*:*NoRows*:*Tall*
memcheck sampling_test *
memcheck rows_test *Linear*
memcheck half_video_test *
memcheck product_design_test *RowsApart*
racecheck half_features_test *Slices*
racecheck byte_features_test *Tall*
racecheck rows_test *LinearOfRealNumbers*
racecheck half_video_test *ShiftedRuns*:*Lists*
racecheck product_design_test *TilesAreSplit*'
else
  leave_out sanitizers "no compute-sanitizer, or no GPU"
fi
if "$python" -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
  stage peers 150 'Error' run_peers
else
  leave_out peers "no torch that sees a GPU"
fi
echo "wrote $out; python3 benchmarks/cuda_tables.py puts it into the documents"
[[ ${#failed[@]} -eq 0 ]] || { echo "not passed: ${failed[*]}" >&2; exit 1; }
