#!/usr/bin/env bash
# From nothing to a segmented scan and a recognised video: installs the packages, builds the library and the command,
# simulates one LiDAR scan and one clip, labels both and says where the pictures are.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/quietly.sh

scripts/packages.sh build
echo "Building in build/release"
quietly release_configure cmake --preset release
quietly release_build cmake --build --preset release

voxshift=build/release/apps/voxshift
echo "Simulating a scan, making a model with random weights, labelling the scan"
"$voxshift" synth lidar --seed 1 -o out/sample
"$voxshift" new minkunet --seed 1 -o out/minkunet.safetensors
echo
"$voxshift" segment out/sample/velodyne/000000.bin --model out/minkunet.safetensors --out out/demo \
  --write label,ply,png --stats out/demo/stats.json
cat <<'END'

The picture from above is out/demo/000000.png, the coloured points are out/demo/000000.ply. The weights are random:
colours mean nothing yet, points, voxels and times are those of a trained network. The same as JSON: out/demo/stats.json

Now a video: a clip of a moving shape, and a temporal shift network that computes only what changed.
END
"$voxshift" synth video --seed 1 --label "moving right" --noise 0 -o out/clips
"$voxshift" new tsm-mobilenetv2 --width 0.5 --seed 1 -o out/tsm.safetensors
echo
"$voxshift" recognize out/clips/000000.mkv --model out/tsm.safetensors --skip exact --annotate out/demo/recognized.mp4 \
  --stats out/demo/video.json
cat <<'END'

out/demo/recognized.mp4 shows the label of every frame, and grey what was not computed anew. Again the weights are random.
END
