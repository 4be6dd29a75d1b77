// Streams of any options on a tiny network, and frames of any bytes: what skips nothing but the unchanged gives the
// bits of the dense stream.
#include <fuzzer/FuzzedDataProvider.h>
#include <voxshift/networks/network_builder.h>
#include <voxshift/tasks/recognizer.h>

#include <algorithm>
#include <bit>
#include <string>
#include <utility>
#include <vector>

#include "fuzz_input.h"

namespace {

using namespace voxshift;

constexpr std::int64_t kHeight = 20, kWidth = 12;

VideoNetwork tiny_network() {
  NetworkBuilder b(InputKind::kFrames, 3, 1);
  std::string x = b.relu6("relu0", b.norm("norm0", b.conv2d("conv0", kGraphInput, 8, 3, 2)));
  x = b.relu6("relu1", b.norm("norm1", b.conv2d("conv1", b.temporal_shift("shift", x, {4, false}), 16, 1)));
  x = b.relu6("relu2", b.norm("norm2", b.conv2d("conv2", x, 16, 3, 1, 16)));
  x = b.add("pool", "avg_pool", {b.max_pool2d("max", b.norm("norm3", b.conv2d("conv3", x, 8, 1)), {3, 2, 1})});
  Network network = b.take(b.linear("fc", x, 3));
  network.graph.dims = 2;
  Profile profile;
  profile.frames.emplace();
  profile.frames->height = kHeight;
  profile.frames->width = kWidth;
  const std::vector<ClassInfo> classes(3, {"a class", 1, {1, 2, 3}});
  return VideoNetwork(Model("tiny", network.graph, network.parameters, profile, classes));
}

float threshold(FuzzedDataProvider& input) {
  return input.ConsumeBool() ? std::bit_cast<float>(input.ConsumeIntegral<std::uint32_t>())
                             : static_cast<float>(input.ConsumeIntegral<std::uint8_t>()) / 64;
}

StreamOptions stream_options(FuzzedDataProvider& input) {
  StreamOptions options;
  options.skip = input.PickValueInArray({Skip::kOff, Skip::kExact, Skip::kThreshold, Skip::kAuto});
  options.threshold = threshold(input);
  if (input.ConsumeBool()) {
    options.thresholds.emplace();
    options.thresholds->frame = threshold(input);
    options.thresholds->whole_frame = threshold(input);
    for (const char* layer : {"conv0", "conv1", "fc", "none"})
      if (input.ConsumeIntegral<std::uint8_t>() % 8 == 1) options.thresholds->layers[layer] = threshold(input);
  }
  options.whole_frames = input.ConsumeBool();
  options.always_compare = input.ConsumeBool();
  options.key_frame_interval = input.ConsumeBool() ? input.ConsumeIntegral<std::int64_t>() : 0;
  options.threads = Threads(1);
  return options;
}

/// A frame that differs from the last one in a run of bytes; sometimes one of another size.
Array next_frame(FuzzedDataProvider& input, const std::vector<std::uint8_t>& bytes) {
  const std::int64_t height = input.ConsumeIntegral<std::uint8_t>() == 1 ? kHeight - 1 : kHeight;
  Array frame({height, kWidth, 3}, DType::kU8);
  std::copy_n(bytes.data(), frame.count(), frame.data<std::uint8_t>());
  return frame;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const VideoNetwork network = tiny_network();
  FuzzedDataProvider input(data, size);
  fuzz::may_refuse([&] {
    const StreamOptions options = stream_options(input);
    Recognizer stream(network, options), dense(network, {.threads = Threads(1)});
    std::vector<std::uint8_t> bytes(kHeight * kWidth * 3, 90);
    for (int frames = 0; frames < 8 && input.remaining_bytes() > 0; ++frames) {
      const auto change = input.ConsumeBytes<std::uint8_t>(input.ConsumeIntegral<std::uint8_t>());
      const std::size_t at = input.ConsumeIntegralInRange<std::size_t>(0, bytes.size() - change.size());
      std::ranges::copy(change, bytes.begin() + static_cast<std::ptrdiff_t>(at));
      const Array frame = next_frame(input, bytes);
      fuzz::may_refuse([&] {
        const FrameResult result = stream.push(frame), expected = dense.push(frame);
        fuzz::expect(result.label >= 0 && result.label < 3, "a class");
        fuzz::expect(result.cost.changed_pixels >= 0 && result.cost.changed_pixels <= kHeight * kWidth, "pixels");
        if (options.skip == Skip::kOff || options.skip == Skip::kExact)
          fuzz::expect(std::ranges::equal(result.logits, expected.logits), "the bits of the dense stream");
      });
      if (input.ConsumeIntegral<std::uint8_t>() == 1) stream.reset(), dense.reset();
    }
  });
  return 0;
}
