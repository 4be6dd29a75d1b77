#!/usr/bin/env bash
# Predicts how fast tiles run on Arm, without a board: compiles the kernels for 64-bit Arm exactly as the library is and
# lets llvm-mca simulate their inner loops: f32 and dot products of i8 on a Neoverse N1, the core of Cortex-A76, i8mm,
# bf16 and f16 on a Neoverse N2 and V1. Fails when the main tile of f32 does less than 85 % of the FMLA that the core
# can issue, one of narrow numbers less than 80 % of its instruction, or a tile spills registers.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/quietly.sh

scripts/packages.sh arm64 arm64_throughput
build=build/arm64_throughput
quietly arm64_throughput_configure cmake --preset arm64 -B $build -DVOXSHIFT_APPS=OFF -DVOXSHIFT_TESTS=OFF
/usr/bin/python3 scripts/arm_throughput.py $build/compile_commands.json
