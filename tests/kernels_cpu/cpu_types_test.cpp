// Kernels of the CPU refuse element types that they have not, by name, before they read anything: features are f32,
// f16, bf16 and i8.
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

// Every entry of the contracts that takes features, with null operands of `dtype`; products by what packs their
// weights.
std::multimap<std::string, std::function<void(DType)>> entries() {
  const Context c{Device::cpu(), nullptr, 1, nullptr};
  const auto& rows = cpu::row_kernels();
  const auto& conv = cpu::sparse_conv_kernels();
  const auto& video = cpu::video_kernels();
  const auto& points = cpu::point_voxel_kernels();
  const auto in = [](DType d) { return ConstRowView{nullptr, 4, 1, 4, d}; };
  const auto out = [](DType d) { return RowView{nullptr, 4, 1, 4, d}; };
  const auto image = [=](DType d) { return ImageView{ChannelRuns(in(d))}; };
  return {
      {"linear", [=, &rows](DType d) { rows.pack(c, nullptr, 4, 4, d); }},
      {"affine", [=, &rows](DType d) { rows.affine(c, in(d), nullptr, nullptr, {}, {}, out(d)); }},
      {"multiply", [=, &rows](DType d) { rows.multiply(c, in(d), in(d), out(d)); }},
      {"apply", [=, &rows](DType d) { rows.apply(c, Elementwise{}, in(d), out(d)); }},
      {"matmul", [=, &rows](DType d) { rows.matmul_picked(c, in(d), in(d), nullptr, out(d)); }},
      {"above", [=, &rows](DType d) { rows.above(c, in(d), 0, nullptr); }},
      {"top", [=, &rows](DType d) { rows.top(c, in(d), nullptr, 1, nullptr); }},
      {"argmax", [=, &rows](DType d) { rows.argmax(c, in(d), nullptr); }},
      {"gather", [=, &rows](DType d) { rows.gather(c, in(d), nullptr, out(d)); }},
      {"spread_scores", [=, &rows](DType d) { rows.spread_scores(c, in(d), nullptr, nullptr, 1, nullptr); }},
      {"conv", [=, &conv](DType d) { conv.pack(c, nullptr, 1, 4, 4, d); }},
      {"pool", [=, &conv](DType d) { conv.pool(c, in(d), {}, Pooling::kMax, out(d)); }},
      {"depthwise", [=, &conv](DType d) { conv.depthwise(c, in(d), {}, nullptr, {}, out(d)); }},
      {"bird_eye_view", [=, &conv](DType d) { conv.bird_eye_view(c, in(d), {}, {}, out(d)); }},
      {"reduce", [=](DType d) { cpu::coordinate_kernels().reduce(c, in(d), nullptr, Reduce::kMean, out(d)); }},
      {"interpolate", [=, &points](DType d) { points.interpolate(c, in(d), nullptr, nullptr, 3, out(d)); }},
      {"cylindrical", [=, &points](DType d) { points.cylindrical(c, in(d), out(d)); }},
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

void expect_refused(const std::string& op, const std::function<void(DType)>& entry, DType dtype) {
  try {
    entry(dtype);
    ADD_FAILURE() << op << " took " << name(dtype);
  } catch (const BackendUnavailable& error) {
    EXPECT_NE(std::string(error.what()).find("[" + op + "]"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find(name(dtype)), std::string::npos) << error.what();
  }
}

TEST(CpuTypes, EveryKernelNamesItselfAndTheType) {
  for (const auto& [op, entry] : entries())
    for (const DType dtype : {DType::kI32, DType::kI64, DType::kU8}) expect_refused(op, entry, dtype);
}

TEST(CpuTypes, ImagesOfFramesAreNotOfI8) {
  expect_refused("normalize", entries().find("normalize")->second, DType::kI8);
}

// A dtype of what comes out alone is enough.
TEST(CpuTypes, EveryViewCounts) {
  const Context c{Device::cpu(), nullptr, 1, nullptr};
  const ConstRowView in{nullptr, 4, 1, 4, DType::kF32};
  const RowView out{nullptr, 4, 1, 4, DType::kI32};
  expect_refused(
      "affine", [&](DType) { cpu::row_kernels().affine(c, in, nullptr, nullptr, {}, {}, out); }, DType::kI32);
  expect_refused(
      "gather", [&](DType) { cpu::row_kernels().gather(c, in, nullptr, out); }, DType::kI32);
  expect_refused(
      "interpolate", [&](DType) { cpu::point_voxel_kernels().interpolate(c, in, nullptr, nullptr, 3, out); },
      DType::kI32);
}

}  // namespace
}  // namespace voxshift
