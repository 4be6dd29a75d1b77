#!/usr/bin/env bash
# Predicts how fast the f32 tiles run on Arm, without a board: compiles the convolution for 64-bit Arm exactly as the
# library is and lets llvm-mca simulate its inner loops on a Neoverse N1, the core of Cortex-A76. Fails when the main
# tile does less than 85 % of two FMLA a cycle or a tile spills registers.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/quietly.sh

scripts/packages.sh arm64 arm64_throughput
build=build/arm64_throughput
quietly arm64_throughput_configure cmake --preset arm64 -B $build -DVOXSHIFT_APPS=OFF -DVOXSHIFT_TESTS=OFF
/usr/bin/python3 scripts/arm_throughput.py $build/compile_commands.json
