// Memory that the host and the device share: a GPU that is part of the processor reads points and frames where they
// lie.
#include <gtest/gtest.h>
#include <voxshift/networks/minkunet.h>
#include <voxshift/rows/ops.h>
#include <voxshift/synth/lidar.h>
#include <voxshift/synth/video.h>
#include <voxshift/tasks/recognizer.h>
#include <voxshift/tasks/segmenter.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "device_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

// The emulated device is one of a card, or with the variable one of the processor.
void emulate_integrated(bool wanted) {
#ifdef _WIN32
  _putenv_s("VOXSHIFT_EMULATE_INTEGRATED", wanted ? "1" : "");
#else
  if (wanted)
    setenv("VOXSHIFT_EMULATE_INTEGRATED", "1", 1);
  else
    unsetenv("VOXSHIFT_EMULATE_INTEGRATED");
#endif
}

class SharedMemoryTest : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    if (emulated()) emulate_integrated(true);
    if (!runtime(device()).shares_memory(device())) GTEST_SKIP() << "this GPU has memory of its own";
  }
  void TearDown() override {
    emulate_integrated(false);
    DeviceTest::TearDown();
  }

  // All around the sensor: of others on the CPU a place is guessed.
  static Array points_of(std::uint64_t seed, std::int64_t n) {
    const SynthScan scan = synth_lidar(seed);
    const auto step = static_cast<std::int64_t>(scan.points.size()) / 4 / std::max<std::int64_t>(n, 1);
    Array points({n, 4}, DType::kF32);
    for (std::int64_t i = 0; i < n; ++i)
      std::copy_n(scan.points.begin() + 4 * i * step, 4, points.data<float>() + 4 * i);
    return points;
  }
  Array shared_copy(const Array& of) const {
    Array copy = Array::shared(of.shape(), of.dtype(), device());
    std::memcpy(copy.memory(), of.memory(), of.bytes());
    return copy;
  }
};

INSTANTIATE_TEST_SUITE_P(Devices, SharedMemoryTest, ::testing::Values(Device::cuda()), device_name);

TEST_P(SharedMemoryTest, IsSeenWhereItLies) {
  const auto values = test_data::whole(7, 5, 1), weight = test_data::whole(5, 3, 2);
  const Array ours = shared_copy(array(values).to(Device::cpu()));
  EXPECT_EQ(ours.device(), Device::cpu());
  const auto there = ours.seen_from(device());
  ASSERT_TRUE(there.has_value());
  EXPECT_EQ(there->device(), device());
  EXPECT_EQ(std::as_const(*there).memory(), ours.memory());
  EXPECT_EQ(there->shape(), ours.shape());
  const Array sums = linear(*there, array(weight));
  for (std::size_t row = 0; row < 7; ++row)
    for (std::size_t column = 0; column < 3; ++column) {
      double expected = 0;
      for (std::size_t k = 0; k < 5; ++k) expected += values.at(row, k) * weight.at(k, column);
      EXPECT_EQ(host<float>(sums)[row * 3 + column], static_cast<float>(expected));
    }
}

TEST_P(SharedMemoryTest, OtherMemoryIsNotSeen) {
  const Array pageable({3}, DType::kF32), there({3}, DType::kF32, device());
  EXPECT_FALSE(pageable.seen_from(device()).has_value());
  EXPECT_FALSE(there.seen_from(Device::cpu()).has_value());
  EXPECT_EQ(there.seen_from(device())->memory(), there.memory());
  EXPECT_EQ(pageable.seen_from(Device::cpu())->memory(), pageable.memory());
  std::optional<Array> kept;
  {
    const Array ours = Array::shared({2}, DType::kF32, device());
    kept = ours.seen_from(device());
  }
  EXPECT_TRUE(runtime(device()).reads_in_place(device(), std::as_const(*kept).memory()));  // lives as long as a view
}

TEST_P(SharedMemoryTest, PointsGiveTheSameLabels) {
  const Network network = make_minkunet(1.0 / 16, 19, 1);
  const Model model("minkunet", network.graph, network.parameters, find_profile("spvnas"), semantic_kitti_classes());
  const std::int64_t n = emulated() ? 150 : 20'000;
  Segmenter segmenter(model, device());
  for (const std::int64_t count : {n, n / 2, std::int64_t{0}, n}) {
    SCOPED_TRACE(count);
    const Array points = points_of(3, count);
    const auto expected = host<float>(segmenter.segment(points.to(device()), true).scores);
    EXPECT_EQ(host<float>(segmenter.segment(points, true).scores), expected);  // by way of the session's own memory
    Array ours = shared_copy(points);
    const Segmentation result = segmenter.segment(ours, true);
    std::fill_n(ours.data<float>(), ours.count(), 1e30f);  // the caller's again
    EXPECT_EQ(host<float>(result.scores), expected);
  }
}

TEST_P(SharedMemoryTest, PointsWithoutRemissionGiveTheSameLabels) {
  const Network network = make_minkunet(1.0 / 16, 19, 1);
  const Model model("minkunet", network.graph, network.parameters, find_profile("spvnas"), semantic_kitti_classes());
  Segmenter segmenter(model, device());
  const std::int64_t n = 100;
  const Array points = points_of(4, n);
  Array narrow({n, 3}, DType::kF32), wide({n, 4}, DType::kF32);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t c = 0; c < 4; ++c) {
      if (c < 3) narrow.data<float>()[3 * i + c] = points.data<float>()[4 * i + c];
      wide.data<float>()[4 * i + c] = c < 3 ? points.data<float>()[4 * i + c] : 0;
    }
  const auto expected = host<float>(segmenter.segment(wide.to(device()), true).scores);
  EXPECT_EQ(host<float>(segmenter.segment(narrow, true).scores), expected);
  EXPECT_EQ(host<float>(segmenter.segment(shared_copy(narrow), true).scores), expected);
}

TEST_P(SharedMemoryTest, FramesGiveTheSameLogits) {
  Model model = Model::create({"tsm-mobilenetv2", 0.25, 27, 1});
  Profile profile = model.profile();
  profile.frames->height = profile.frames->width = profile.frames->resize = 32;
  model = model.with_profile(profile);
  const VideoNetwork network(model, device(), DType::kF16);
  SynthVideoOptions options;
  options.frames = 3;
  options.height = options.width = 32;
  const SynthClip clip = synth_video(1, options);
  const auto logits = [&](Skip skip) {
    StreamOptions stream_options;
    stream_options.skip = skip;
    Recognizer stream(network, stream_options);
    std::vector<float> all;
    for (std::int64_t t = 0; t < 3; ++t) {
      const auto first = clip.frames.begin() + t * 32 * 32 * 3;
      const auto its =
          stream.push(Array::from(std::vector<std::uint8_t>(first, first + 32 * 32 * 3), {32, 32, 3})).logits;
      all.insert(all.end(), its.begin(), its.end());
    }
    return all;
  };
  const auto dense = logits(Skip::kOff);
  EXPECT_EQ(logits(Skip::kExact), dense);
  if (!emulated()) return;
  emulate_integrated(false);
  EXPECT_EQ(logits(Skip::kOff), dense);
}

class OrdinaryMemoryTest : public DeviceTest {};
INSTANTIATE_TEST_SUITE_P(Devices, OrdinaryMemoryTest, ::testing::Values(Device::cpu(), Device::cuda()), device_name);

TEST_P(OrdinaryMemoryTest, SharedIsMemoryOfTheCpu) {
  const Array ours = Array::shared({4, 2}, DType::kI32, device());
  EXPECT_EQ(ours.device(), Device::cpu());
  EXPECT_EQ(ours.shape(), (Shape{4, 2}));
  EXPECT_EQ(ours.dtype(), DType::kI32);
  if (runtime(device()).shares_memory(device())) return;
  EXPECT_FALSE(ours.seen_from(device()).has_value());
}

}  // namespace
}  // namespace voxshift
