// A scan of the simulator, labelled on a CUDA device; says so where there is none.
#include <voxshift/voxshift.h>

#include <cstdint>
#include <cstdio>

int main() {
  const voxshift::Model model = voxshift::Model::create({.arch = "minkunet", .width = 0.5, .seed = 1});
  const voxshift::SynthScan scan = voxshift::synth_lidar(1);
  const auto points = voxshift::Array::from(scan.points, {static_cast<std::int64_t>(scan.labels.size()), 4});
  try {
    voxshift::Segmenter segmenter(model, voxshift::Device::cuda());
    const voxshift::Segmentation result =
        segmenter.segment(points.to(voxshift::Device::cuda()));                // work is queued, not waited for
    const voxshift::Array labels = result.labels.to(voxshift::Device::cpu());  // waits
    std::printf("%lld labels\n", static_cast<long long>(labels.count()));
  } catch (const voxshift::BackendUnavailable& error) {
    std::printf("%s\n", error.what());
  }
}
