#!/usr/bin/env bash
# fuzz.sh [SECONDS] [TARGET...]: runs each fuzz target of tests/fuzz, or those named, for SECONDS (20) from its corpus.
# An input that crashes, hangs or takes 2 GB (of Python 4) ends the script and stays in build/fuzz/findings. What is new in coverage is
# kept in build/fuzz. The target python_arrays is atheris', on the Python module; the others are programs.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/quietly.sh

seconds=${1:-20}
targets=("${@:2}")
if [[ ${#targets[@]} -eq 0 ]]; then
  for corpus in tests/fuzz/corpus/*/; do targets+=("$(basename "$corpus")"); done
fi
python=build/python/bin/python
runtime=build/fuzz/libfuzzer_and_asan.so

# One library of libFuzzer's and AddressSanitizer's run times, for an interpreter that has neither.
make_python_runtime() {
  local parts=build/fuzz/parts
  mkdir -p "$parts"
  (cd "$parts" && ar x "$(clang++-19 -print-file-name="libclang_rt.asan-$(uname -m).a")" && rm asan_preinit.cpp.o)
  clang++-19 -shared -o "$runtime" "$parts"/*.o -Wl,--whole-archive \
    "$(clang++-19 -print-file-name="libclang_rt.asan_cxx-$(uname -m).a")" \
    "$(clang++-19 -print-file-name="libclang_rt.fuzzer_no_main-$(uname -m).a")" -Wl,--no-whole-archive \
    "$(clang++-19 -print-file-name="libclang_rt.asan_static-$(uname -m).a")" -lpthread -ldl -lrt -lm
}

scripts/packages.sh build test asan
mkdir -p build/fuzz/findings
[[ -x $python ]] || quietly python_venv /usr/bin/python3 -m venv --system-site-packages build/python
quietly asan_configure cmake --preset asan -DVOXSHIFT_PYTHON=ON -DPython_EXECUTABLE="$PWD/$python"
built=()
for target in "${targets[@]}"; do
  [[ $target == python_arrays ]] && built+=(_voxshift) || built+=("fuzz_$target")
done
quietly fuzz_build cmake --build --preset asan --target "${built[@]}"
if [[ " ${built[*]} " == *" _voxshift "* ]]; then
  quietly fuzz_atheris "$python" -m pip install atheris
  quietly fuzz_runtime make_python_runtime
fi

run() {
  local command=("build/asan/tests/fuzz/fuzz_$1") megabytes=2048
  if [[ $1 == python_arrays ]]; then
    # Arguments are many bytes, so that short inputs are not where to begin; Python keeps what it has until it ends.
    command=(env LD_PRELOAD="$PWD/$runtime $(g++ -print-file-name=libstdc++.so)" PYTHONPATH=build/asan/python_bindings
             ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1
             "$python" -W ignore tests/fuzz/python_arrays.py -len_control=0)
    megabytes=4096
  fi
  mkdir -p "build/fuzz/$1"
  quietly "fuzz_$1" "${command[@]}" -max_total_time="$seconds" -max_len=4096 -rss_limit_mb=$megabytes -timeout=10 \
    -print_final_stats=1 -artifact_prefix="build/fuzz/findings/$1-" "build/fuzz/$1" "tests/fuzz/corpus/$1"
  echo "$1: $(sed -n 's/^stat::number_of_executed_units: *//p' "build/fuzz_$1.log") inputs, no finding"
}
export seconds python runtime
export -f run quietly
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -ec 'run {}'
