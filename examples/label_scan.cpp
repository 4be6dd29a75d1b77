// A scan of the simulator, labelled by a network with random weights.
#include <voxshift/voxshift.h>

#include <cstdio>

int main() {
  const voxshift::Model model = voxshift::Model::create({.arch = "minkunet", .width = 0.5, .seed = 1});
  voxshift::Segmenter segmenter(model, voxshift::Device::cpu(), /*threads=*/2);
  const voxshift::SynthScan scan = voxshift::synth_lidar(1);
  const auto points = voxshift::Array::from(scan.points, {static_cast<std::int64_t>(scan.labels.size()), 4});
  const voxshift::Segmentation result = segmenter.segment(points);
  std::printf("%lld labels, %lld voxels\n", static_cast<long long>(result.labels.count()),
              static_cast<long long>(segmenter.report().voxels));
}
