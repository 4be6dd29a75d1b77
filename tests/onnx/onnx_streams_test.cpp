// Detectors and classifiers of ONNX files as streams that skip; networks written as ONNX and read again.
#include <voxshift/convert/convert.h>
#include <voxshift/convert/onnx_out.h>
#include <voxshift/networks/network_builder.h>
#include <voxshift/onnx/read_onnx.h>
#include <voxshift/onnx/write_onnx.h>
#include <voxshift/streaming/frame_stream.h>

#include <algorithm>
#include <cstdlib>

#include "file_test.h"

namespace voxshift {
namespace {

/// Two maps with heads, as a detector's; and what else has a counterpart.
Network detector() {
  NetworkBuilder net(InputKind::kFrames, 3, Seed(3));
  const std::string first = net.relu("relu1", net.norm("norm", net.conv2d("first", "input", 8, 3, 2)));
  const std::string second = net.relu("relu2", net.conv2d("second", first, 12, 3, 2));
  net.conv2d("boxes1", first, 12, 3);
  net.conv2d("boxes2", second, 8, 1);
  net.add("scores", "sigmoid", {"boxes2"});
  return net.take({"boxes1", "boxes2", "scores"});
}

Array frame_of(Extent2d extent, int seed) {
  Array frame({extent.height, extent.width, 3}, DType::kU8);
  for (std::int64_t i = 0; i < frame.count(); ++i)
    frame.data<std::uint8_t>()[i] = static_cast<std::uint8_t>((i * 7 + i / 31 * seed) % 251);
  return frame;
}

/// Frames of which a corner changes, through a stream that computes all and one that skips: the same bits, and less
/// work.
void expect_exact_skipping(const Network& network, const FrameProfile& frames) {
  const FrameNetwork ready(network, frames);
  StreamOptions exact;
  exact.skip = Skip::kExact;
  exact.always_compare = true;
  FrameStream all(ready), skipping(ready, exact);
  Array frame = frame_of(ready.extent(), 5);
  double fraction = 1;
  for (int f = 0; f < 3; ++f) {
    all.push(frame);
    fraction = skipping.push(frame).mac_fraction();
    for (std::size_t output = 0; output < ready.outputs().size(); ++output)
      ASSERT_TRUE(std::ranges::equal(all.values(output), skipping.values(output))) << f << ready.outputs()[output];
    for (std::int64_t i = 0; i < 12; ++i) frame.data<std::uint8_t>()[i] ^= 64;
  }
  EXPECT_LT(fraction, 0.5);
}

class OnnxStreamsTest : public FileTest {
 protected:
  fs::path path(const char* name) const { return folder_ / name; }
};

TEST_F(OnnxStreamsTest, DetectorSkipsWhatDidNotChange) {
  write_onnx(path("net.onnx"), detector(), {48, 64});
  const OnnxNetwork read = read_onnx(path("net.onnx"));
  EXPECT_EQ(read.frame, (Extent2d{48, 64}));
  EXPECT_EQ(read.network.graph.outputs, (std::vector<std::string>{"boxes1", "boxes2", "scores"}));
  FrameProfile frames;
  frames.height = 48;
  frames.width = 64;
  expect_exact_skipping(read.network, frames);
}

// A face detector's maps at 240 x 320; see VOXSHIFT_DATA in the contributors' page.
TEST_F(OnnxStreamsTest, FaceDetectorSkipsWhatDidNotChange) {
  const char* folder = std::getenv("VOXSHIFT_DATA");
  if (folder == nullptr) GTEST_SKIP() << "VOXSHIFT_DATA is not set: no trained detector";
  const OnnxNetwork read = read_onnx(std::filesystem::path(folder) / "checkpoints" / "slim320.onnx");
  EXPECT_EQ(read.network.graph.outputs.size(), 8u);
  FrameProfile frames;
  frames.height = 240;
  frames.width = 320;
  frames.resize = 320;
  frames.mean = {127.0f / 255, 127.0f / 255, 127.0f / 255};
  frames.std = {128.0f / 255, 128.0f / 255, 128.0f / 255};
  expect_exact_skipping(read.network, frames);
}

TEST_F(OnnxStreamsTest, ModelKeepsPreprocessingAndClasses) {
  NetworkBuilder net(InputKind::kFrames, 3, Seed(1));
  net.linear("head", net.add("mean", "avg_pool", {net.conv2d("conv", "input", 8, 3)}), 2);
  Network network = net.take("head");
  const Model model("small", network.graph, network.parameters, find_profile("motions"),
                    {{"left", 0, {1, 2, 3}}, {"right", 1, {4, 5, 6}}});
  write_onnx(model, path("net.onnx"));
  const Conversion read = convert(path("net.onnx"));
  EXPECT_EQ(to_text(read.model.profile()), to_text(model.profile()));
  ASSERT_EQ(read.model.classes().size(), 2u);
  EXPECT_EQ(read.model.classes()[1].name, "right");
}

std::string refusal(const Network& network, const std::filesystem::path& to) {
  try {
    write_onnx(to, network);
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "";
}

TEST_F(OnnxStreamsTest, WhatOnnxHasNotIsRefusedByName) {
  NetworkBuilder net(InputKind::kFrames, 3, Seed(1));
  net.temporal_shift("shift", net.conv2d("conv", "input", 8, 3), {8, false});
  EXPECT_NE(refusal(net.take("shift"), path("net.onnx")).find("node \"shift\" (temporal_shift)"), std::string::npos);
  NetworkBuilder voxels(InputKind::kVoxels, 3, Seed(1));
  voxels.conv("conv", "input", 8, 3, 1);
  EXPECT_NE(refusal(voxels.take("conv"), path("net.onnx")).find("frames"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(path("net.onnx")));
}

}  // namespace
}  // namespace voxshift
