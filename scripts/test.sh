#!/usr/bin/env bash
# From nothing to a tested voxshift: installs the packages, builds everything, runs all C++ and all Python tests.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/quietly.sh

scripts/packages.sh build test
echo "Building in build/cpu"
quietly cpu_configure cmake --preset cpu
quietly cpu_build cmake --build --preset cpu
echo "Running the C++ tests"
quietly cpu_ctest ctest --preset cpu --parallel "$(nproc)"
grep "tests passed" build/cpu_ctest.log

echo "Installing the Python package in build/python"
[[ -x build/python/bin/pip ]] || quietly python_venv /usr/bin/python3 -m venv --system-site-packages build/python
# Built where the tests were: the package has the library that they have tested. Without isolation, for what is left in
# that folder names the pybind11 that it was built with.
quietly python_builder build/python/bin/pip install scikit-build-core pybind11
quietly python_install build/python/bin/pip install --no-build-isolation ".[test]" \
  --config-settings=build-dir=build/cpu --config-settings=build.targets=_voxshift \
  --config-settings=cmake.define.VOXSHIFT_TESTS=ON --config-settings=cmake.define.VOXSHIFT_SMALL=OFF
echo "Running the Python tests"
VOXSHIFT_COMMAND="$PWD/build/cpu/apps/voxshift" quietly python_pytest build/python/bin/python -m pytest
tail -n 1 build/python_pytest.log
echo "All tests passed."
