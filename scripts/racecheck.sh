#!/usr/bin/env bash
# Looks for races between the threads of CUDA kernels, without a GPU: builds the emulation that reports them, and runs
# tests that meet every line of a kernel that reads or writes memory.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/quietly.sh

programs=(half_features half_gradients half_images half_points half_training sampling fused_block neighbors conv_backward kernel_map point_voxel_backward masked_layer
  conv2d_backward half_video voxelize pixel_masks emulated_races rows training_rows link dense_grid pool_backward
  frame_change combine group three_nearest boxes byte_features byte_images byte_rows product_design)
# Tests that do more of the same at length, or meet no kernel.
long='*/cpu:*BackwardTest.AllChannelCounts*:*GradientsTest.AllChannelCounts*:*LinearAtAll*:*LinearBackwardAtAll*:*SameBitsOnAny*:*SameMapOnAny*'
long+=':*ManyPairs*:*WideLayers*:*EveryWindowOnStacks*:*WindowsOnEveryDimension*:*GlobalPerBatch*:*CrowdedCell*'
long+=':*ProductDesignTest.ChannelCounts*:*AllSizes*:*TiesOnALattice*:*MoreSamplesThan*:*KeptValuesStay*:*NetworkAgrees*:*TheCpuHasNo*'

run() {
  VOXSHIFT_REQUIRE_CUDA=1 OMP_NUM_THREADS=1 quietly "racecheck_$1" "build/racecheck/tests/$1_test" --gtest_filter="-$2"
}
export -f run quietly

quietly racecheck_configure cmake --preset racecheck
quietly racecheck_build cmake --build --preset racecheck --parallel "$(nproc)" --target "${programs[@]/%/_test}"
printf '%s\n' "${programs[@]}" | xargs -P "$(nproc)" -I{} bash -c 'run {} "$0"' "$long"
echo "no races in ${#programs[@]} programs"
