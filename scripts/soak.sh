#!/usr/bin/env bash
# soak.sh [FRAMES] [SCANS]: so many frames through four streams, one of each mode of skipping, and so many small
# scans through a session: memory, bits and what is kept must stay. 10^6 and 10^5 unless told otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/quietly.sh

scripts/packages.sh build test
quietly cpu_configure cmake --preset cpu
quietly soak_build cmake --build --preset cpu --target soak_test
VOXSHIFT_SOAK_FRAMES=${1:-1000000} VOXSHIFT_SOAK_SCANS=${2:-100000} build/cpu/tests/soak_test
