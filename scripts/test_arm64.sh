#!/usr/bin/env bash
# From nothing to the C++ tests on 64-bit Arm: installs the packages, cross-builds the library and its tests, runs them
# in QEMU's user mode. The command and its file formats are left to test.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/quietly.sh

scripts/packages.sh arm64
echo "Building for 64-bit Arm in build/arm64"
quietly arm64_configure cmake --preset arm64 -DVOXSHIFT_APPS=OFF -DVOXSHIFT_OPENCV=OFF
quietly arm64_build cmake --build --preset arm64
echo "Running the C++ tests in QEMU"
quietly arm64_ctest ctest --preset arm64 --parallel "$(nproc)"
grep "tests passed" build/arm64_ctest.log
