// Several users of one model at once on a CUDA device, each on a thread and a stream of its own: the bits that each has
// alone.
#include <gtest/gtest.h>
#include <voxshift/networks/minkunet.h>
#include <voxshift/synth/lidar.h>
#include <voxshift/synth/video.h>
#include <voxshift/tasks/recognizer.h>
#include <voxshift/tasks/segmenter.h>

#include <barrier>
#include <cstdint>
#include <exception>
#include <thread>

#include "device_fixture.h"

namespace voxshift {
namespace {

constexpr int kUsers = 3;

class StreamsAtOnceTest : public DeviceTest {
 protected:
  using Bits = std::vector<float>;
  using Work = std::function<Bits(int user)>;

  // What every user's work gives, one after the other on the default stream and all at once.
  void expect_same_at_once(const Work& work) const {
    std::vector<Bits> alone, found(kUsers);
    for (int user = 0; user < kUsers; ++user) alone.push_back(work(user));
    std::vector<std::exception_ptr> errors(kUsers);
    std::vector<std::thread> threads;
    std::barrier meeting(kUsers);
    for (int user = 0; user < kUsers; ++user)
      threads.emplace_back([&, user] {
        const auto place = static_cast<std::size_t>(user);
        // CUDA's name for a stream that every thread has for itself (cudaStreamPerThread); the emulation takes any.
        void* const before = runtime(device()).use_stream(device(), reinterpret_cast<void*>(0x2));
        meeting.arrive_and_wait();
        try {
          found[place] = work(user);
        } catch (...) {
          errors[place] = std::current_exception();
        }
        runtime(device()).use_stream(device(), before);
      });
    for (std::thread& thread : threads) thread.join();
    for (const std::exception_ptr& error : errors)
      if (error) std::rethrow_exception(error);
    for (int user = 0; user < kUsers; ++user) {
      const auto place = static_cast<std::size_t>(user);
      ASSERT_FALSE(alone[place].empty());
      EXPECT_TRUE(alone[place] == found[place]) << "user " << user;
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Devices, StreamsAtOnceTest, ::testing::Values(Device::cuda()), device_name);

TEST_P(StreamsAtOnceTest, ScansOfOneModel) {
  const Network network = make_minkunet(1.0 / 16, 19, 1);
  const Model model("minkunet", network.graph, network.parameters, find_profile("spvnas"), semantic_kitti_classes());
  const std::int64_t most = emulated() ? 150 : 20'000;
  expect_same_at_once([&](int user) {
    const SynthScan scan = synth_lidar(static_cast<std::uint64_t>(user) + 1);
    Segmenter segmenter(model, device(), 1, user == 1 ? DType::kF32 : DType::kF16);
    Bits bits;
    for (const std::int64_t n : {most, most / (2 + user), most}) {
      const Array points = Array::from(std::vector<float>(scan.points.begin(), scan.points.begin() + 4 * n), {n, 4});
      const Bits scores = host<float>(segmenter.segment(points.to(device()), true).scores);
      bits.insert(bits.end(), scores.begin(), scores.end());
    }
    return bits;
  });
}

TEST_P(StreamsAtOnceTest, FramesOfOneNetwork) {
  Model model = Model::create({"tsm-mobilenetv2", 0.25, 27, 1});
  Profile profile = model.profile();
  profile.frames->height = profile.frames->width = profile.frames->resize = 32;
  model = model.with_profile(profile);
  const VideoNetwork network(model, device(), DType::kF16);
  const std::int64_t side = 32, count = emulated() ? 3 : 20;
  expect_same_at_once([&](int user) {
    SynthVideoOptions options;
    options.frames = count;
    options.height = options.width = side;
    const SynthClip clip = synth_video(static_cast<std::uint64_t>(user) + 1, options);
    Recognizer stream(network);
    Bits bits;
    for (std::int64_t t = 0; t < count; ++t) {
      const auto first = clip.frames.begin() + t * side * side * 3;
      const std::vector<std::uint8_t> bytes(first, first + side * side * 3);
      const auto logits = stream.push(Array::from(bytes, {side, side, 3})).logits;
      bits.insert(bits.end(), logits.begin(), logits.end());
    }
    return bits;
  });
}

}  // namespace
}  // namespace voxshift
