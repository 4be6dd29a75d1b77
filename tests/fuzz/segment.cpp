// Any floats as points of tiny networks, prepared by any options.
#include <fuzzer/FuzzedDataProvider.h>
#include <voxshift/networks/minkunet.h>
#include <voxshift/networks/pvcnn.h>
#include <voxshift/networks/spvcnn.h>
#include <voxshift/tasks/segmenter.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "fuzz_input.h"

namespace {

using namespace voxshift;

/// Without the calibration of batch norm on simulated scans, which takes long under sanitizers.
std::vector<Segmenter>& sessions() {
  static std::vector<Segmenter> all;
  if (!all.empty()) return all;
  constexpr double kWidth = 0.0625;
  constexpr int kClasses = 3;
  const auto add = [&](const Network& network, const char* name) {
    const std::vector<ClassInfo> classes(kClasses, {"a class", 1, {1, 2, 3}});
    Profile profile = find_profile(name);
    if (profile.blocks) profile.blocks->points = 32;
    const Model model("fuzz", network.graph, network.parameters, profile, classes);
    all.emplace_back(model, Device::cpu(), Threads(1));
  };
  add(make_minkunet(kWidth, kClasses, 1), "spvnas");
  add(make_minkunet(kWidth, kClasses, 1), "pointcept");
  add(make_spvcnn(kWidth, kClasses, 1), "nuscenes");
  PvcnnSpec spec = PvcnnSpec::s3dis();
  spec.width = kWidth;
  spec.resolution = 0.125;
  spec.classes = kClasses;
  spec.in_channels = find_profile("kitti-blocks").channels();
  add(make_pvcnn(spec, 1), "kitti-blocks");
  return all;
}

/// A number that is not one, or one of those near which arithmetic changes.
template <class Number>
Number special(FuzzedDataProvider& input) {
  using Limits = std::numeric_limits<Number>;
  return input.PickValueInArray<Number>({0, Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity(), Limits::max(),
                                         Limits::lowest(), Limits::min(), Limits::denorm_min(), 1e6, -1e9, 6553.6, 1});
}

float number(FuzzedDataProvider& input) {
  const auto kind = input.ConsumeIntegral<std::uint8_t>();
  if (kind < 8) return special<float>(input);
  if (kind < 64) return std::bit_cast<float>(input.ConsumeIntegral<std::uint32_t>());
  return static_cast<float>(input.ConsumeIntegral<std::int16_t>()) / 256;
}

PrepareOptions options(FuzzedDataProvider& input) {
  PrepareOptions options;
  const auto given = input.ConsumeIntegral<std::uint8_t>();
  if (given & 1) options.sensor = known_sensors()[input.ConsumeIntegralInRange<std::size_t>(0, 4)];
  if (given & 2) options.full_remission = given & 4 ? special<float>(input) : 255.0f;
  if (given & 8) options.origin = {special<double>(input), special<double>(input), special<double>(input)};
  if (given & 16) options.frame = {special<double>(input), special<double>(input), special<double>(input)};
  return options;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider input(data, size);
  Segmenter& segmenter = sessions()[input.ConsumeIntegralInRange<std::size_t>(0, sessions().size() - 1)];
  const auto columns = input.ConsumeIntegralInRange<std::int64_t>(2, 6);
  const PrepareOptions prepare = options(input);
  const bool with_scores = input.ConsumeBool();
  std::vector<float> values;
  while (input.remaining_bytes() > 0) values.push_back(number(input));
  const std::int64_t count = static_cast<std::int64_t>(values.size()) / columns;
  values.resize(static_cast<std::size_t>(count * columns));
  fuzz::may_refuse([&] {
    const Segmentation result = segmenter.segment(Array::from(values, {count, columns}), with_scores, prepare);
    fuzz::expect(result.labels.count() == count, "a label per point");
    for (std::int64_t i = 0; i < count; ++i) {
      const std::uint8_t label = result.labels.data<std::uint8_t>()[i];
      fuzz::expect(label < 3 || label == kUnlabelled, "a train id");
    }
  });
  return 0;
}
