#!/usr/bin/env bash
# From nothing to a segmented scan and a recognised video: demo.sh [SCAN...] installs the packages, builds what labels need,
# simulates a LiDAR scan and a clip, labels both, finds boxes in the scan, does so with the scans it was given, says where
# the pictures are, and then builds the rest: what reads other libraries' networks, the window, and CUDA for the GPU that is
# here.
set -euo pipefail
scans=()
for scan in "$@"; do scans+=("$(realpath "$scan")"); done
cd "$(dirname "$0")/.."
source scripts/quietly.sh

scripts/packages.sh build
voxshift=build/release/apps/voxshift
case $(uname -m) in
  x86_64) sets="SSE4, AVX2 and AVX-512, of which the command takes what it finds" ;;
  *) sets="the instruction sets of $(uname -m)" ;;
esac
start=$SECONDS
if [[ -x $voxshift ]]; then
  echo "Building in build/release what has changed"  # CUDA stays, where an earlier run has built it
else
  echo "Building in build/release for the CPU: $sets"
  quietly release_configure cmake --preset release -DVOXSHIFT_{CUDA,CONVERT,OPEN3D}=OFF
fi
quietly release_build cmake --build --preset release --target voxshift_command
echo "Built in $((SECONDS - start)) s"

echo "Simulating a scan and labelling it with the trained model"
"$voxshift" synth lidar --seed 8 -o out/sample
echo
"$voxshift" segment out/sample/velodyne/000000.bin --out out/demo --write label,ply,png --stats out/demo/stats.json
"$voxshift" eval --pred out/demo --gt out/sample/labels
echo
"$voxshift" detect out/sample/velodyne/000000.bin --out out/demo/boxes --write json,ply,png
if [[ ${#scans[@]} -gt 0 ]]; then
  "$voxshift" segment "${scans[@]}" --out out/yours --write label,ply,png
  "$voxshift" detect "${scans[@]}" --out out/yours/boxes --write json,ply,png
fi
cat <<'END'

The picture from above is out/demo/000000.png, the coloured points are out/demo/000000.ply, and the boxes of vehicles and
people are in out/demo/boxes; what became of your own scans is in out/yours. The same as JSON: out/demo/stats.json

Now a video: a clip of a moving shape, and a trained temporal shift network that computes only what changed.
END
"$voxshift" synth video --seed 1 --label "moving right" -o out/clips
echo
"$voxshift" recognize out/clips/000000.mkv --skip auto --annotate out/demo/recognized.mp4 --stats out/demo/video.json
cat <<'END'

out/demo/recognized.mp4 shows the label of every frame, and grey what was not computed anew.

END

start=$SECONDS
nvcc=$(command -v "${CUDACXX:-nvcc}") || nvcc=
if [[ -n $nvcc ]] && { nvidia-smi --list-gpus >/dev/null 2>&1 || [[ -e /etc/nv_tegra_release ]]; }; then
  cuda=ON
else
  cuda=OFF
  [[ -n $nvcc ]] && missing="no GPU" || missing="no nvcc"
  echo "CUDA is left out: this machine has $missing. build/release is for the CPU."
fi
quietly release_configure cmake --preset release -DVOXSHIFT_CUDA=$cuda -DVOXSHIFT_{CONVERT,OPEN3D}=AUTO
grep -o "CUDA [0-9.]* for .*" build/release_configure.log | sed 's/^/Building /' || true
echo "Building the rest: what reads networks of other libraries, \`voxshift view\` where Open3D is installed, the C interface"
quietly release_build cmake --build --preset release
echo "Built in $((SECONDS - start)) s"
if [[ $cuda == ON ]]; then
  "$voxshift" segment out/sample/velodyne/000000.bin --device cuda --out out/demo/cuda --write label
fi
