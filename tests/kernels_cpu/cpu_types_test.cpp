// Kernels of the CPU refuse element types that they have not, by name, before they read anything.
#include <gtest/gtest.h>
#include <voxshift/point_voxel/kernels.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/sparse_conv/kernels.h>
#include <voxshift/temporal_shift/kernels.h>
#include <voxshift/tensor/kernels.h>
#include <voxshift/video/kernels.h>

#include <functional>
#include <map>
#include <string>

namespace voxshift {
namespace {

struct NoWeights final : PackedWeights {
  NoWeights() : PackedWeights(1, 4, 4) {}
  std::size_t bytes() const override { return 0; }
};

// Every entry of the contracts that takes features, with null operands of `dtype`.
std::map<std::string, std::function<void(DType)>> entries() {
  const Context c{Device::cpu(), nullptr, 1, nullptr};
  const auto& rows = cpu::row_kernels();
  const auto& conv = cpu::sparse_conv_kernels();
  const auto& video = cpu::video_kernels();
  const auto& points = cpu::point_voxel_kernels();
  const auto in = [](DType d) { return ConstRowView{nullptr, 4, 1, 4, d}; };
  const auto out = [](DType d) { return RowView{nullptr, 4, 1, 4, d}; };
  const auto image = [=](DType d) { return ImageView{ChannelRuns(in(d))}; };
  static const NoWeights weights;
  return {
      {"linear", [=, &rows](DType d) { rows.linear(c, in(d), weights, {}, out(d)); }},
      {"affine", [=, &rows](DType d) { rows.affine(c, in(d), nullptr, nullptr, {}, {}, out(d)); }},
      {"multiply", [=, &rows](DType d) { rows.multiply(c, in(d), in(d), out(d)); }},
      {"apply", [=, &rows](DType d) { rows.apply(c, Elementwise{}, in(d), out(d)); }},
      {"argmax", [=, &rows](DType d) { rows.argmax(c, in(d), nullptr); }},
      {"gather", [=, &rows](DType d) { rows.gather(c, in(d), nullptr, out(d)); }},
      {"spread_scores", [=, &rows](DType d) { rows.spread_scores(c, in(d), nullptr, nullptr, 1, nullptr); }},
      {"conv", [=, &conv](DType d) { conv.conv(c, in(d), {}, weights, {}, out(d)); }},
      {"pool", [=, &conv](DType d) { conv.pool(c, in(d), {}, Pooling::kMax, out(d)); }},
      {"reduce", [=](DType d) { cpu::coordinate_kernels().reduce(c, in(d), nullptr, Reduce::kMean, out(d)); }},
      {"interpolate", [=, &points](DType d) { points.interpolate(c, in(d), nullptr, nullptr, 3, out(d)); }},
      {"group", [=, &points](DType d) { points.group(c, in(d), in(d), nullptr, 1, in(d), out(d)); }},
      {"gather_runs", [=](DType d) { cpu::temporal_shift_kernels().gather_runs(c, ChannelRuns(in(d)), out(d)); }},
      {"remember", [=](DType d) { cpu::temporal_shift_kernels().remember(c, in(d), nullptr, 1, out(d)); }},
      {"conv2d",
       [=, &video](DType d) {
         video.conv2d(c, {}, {1, 1}, image(d), {}, {nullptr, 1}, out(d));
       }},
      {"depthwise",
       [=, &video](DType d) {
         video.depthwise(c, {}, {1, 1}, in(d), {nullptr, 1}, out(d));
       }},
      {"fused_block",
       [=, &video](DType d) {
         video.fused_block(c, {}, image(d), {}, nullptr, {nullptr, 1}, out(d));
       }},
      {"max_pool",
       [=, &video](DType d) {
         video.max_pool(c, {}, {1, 1}, in(d), {nullptr, 1}, out(d));
       }},
      {"avg_pool",
       [=, &video](DType d) {
         video.avg_pool(c, {}, {1, 1}, in(d), {nullptr, 1}, out(d));
       }},
      {"mean_rows", [=, &video](DType d) { video.mean_rows(c, in(d), out(d)); }},
      {"spread_pixels",
       [=, &video](DType d) {
         video.spread_pixels(c, in(d), {1, 1}, 1, out(d));
       }},
      {"normalize",
       [=, &video](DType d) {
         video.normalize(c, nullptr, {1, 1}, nullptr, nullptr, {nullptr, 1}, nullptr, d, 3);
       }},
      {"commit",
       [=, &video](DType d) {
         video.commit(c, in(d), {nullptr, 1}, 0, out(d), nullptr);
       }},
  };
}

TEST(CpuTypes, EveryKernelNamesItselfAndTheType) {
  for (const auto& [op, entry] : entries()) {
    for (const DType dtype : {DType::kI64, DType::kI32}) {
      try {
        entry(dtype);
        ADD_FAILURE() << op << " took " << name(dtype);
      } catch (const BackendUnavailable& error) {
        EXPECT_NE(std::string(error.what()).find("[" + op + "]"), std::string::npos) << error.what();
        EXPECT_NE(std::string(error.what()).find(name(dtype)), std::string::npos) << error.what();
      }
    }
  }
}

}  // namespace
}  // namespace voxshift
