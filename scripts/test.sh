#!/usr/bin/env bash
# From nothing to a tested voxshift: installs the packages, builds everything, runs all C++ and all Python tests.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/packages.sh build test
mkdir -p build
# Runs a command, shows nothing but its last line; all of its output when it fails.
quietly() {
  local log=build/$1.log
  shift
  "$@" >"$log" 2>&1 </dev/null || { cat "$log" >&2 && echo "test.sh: failed: $*" >&2 && exit 1; }
}

echo "Building in build/cpu"
quietly configure cmake --preset cpu
quietly build cmake --build --preset cpu
echo "Running the C++ tests"
quietly ctest ctest --preset cpu
grep "tests passed" build/ctest.log

echo "Installing the Python package in build/python"
[[ -x build/python/bin/pip ]] || quietly venv /usr/bin/python3 -m venv --system-site-packages build/python
quietly pip build/python/bin/pip install --quiet ".[test]"
echo "Running the Python tests"
quietly pytest build/python/bin/python -m pytest
tail -n 1 build/pytest.log
echo "All tests passed."
