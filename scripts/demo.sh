#!/usr/bin/env bash
# From nothing to a segmented scan and a recognised video: demo.sh [SCAN...] installs the packages, builds the library and
# the command, simulates a LiDAR scan and a clip, labels both, finds boxes in the scan, does so with the scans it was given,
# and says where the pictures are.
set -euo pipefail
scans=()
for scan in "$@"; do scans+=("$(realpath "$scan")"); done
cd "$(dirname "$0")/.."
source scripts/quietly.sh

scripts/packages.sh build
echo "Building in build/release"
quietly release_configure cmake --preset release
quietly release_build cmake --build --preset release

voxshift=build/release/apps/voxshift
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
