#!/usr/bin/env bash
# From nothing to the C++ tests on 64-bit Arm: installs the packages, cross-builds the library and its tests, runs them
# in QEMU's user mode. The command and its file formats are left to scripts/test.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/packages.sh arm64
mkdir -p build
# Runs a command, shows nothing; all of its output when it fails.
quietly() {
  local log=build/arm64_$1.log
  shift
  "$@" >"$log" 2>&1 </dev/null || { cat "$log" >&2 && echo "test_arm64.sh: failed: $*" >&2 && exit 1; }
}

echo "Building for 64-bit Arm in build/arm64"
quietly configure cmake --preset arm64 -DVOXSHIFT_APPS=OFF -DVOXSHIFT_OPENCV=OFF -DVOXSHIFT_OPEN3D=OFF
quietly build cmake --build --preset arm64
echo "Running the C++ tests in QEMU"
quietly ctest ctest --preset arm64 --parallel "$(nproc)"
grep "tests passed" build/arm64_ctest.log
