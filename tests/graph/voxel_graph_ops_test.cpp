// Ops of graphs that join voxels of different coordinates, make new ones, and read images at them, against plain loops.
#include "voxel_loops.h"

namespace voxshift {
namespace {

class VoxelGraphOpsTest : public VoxelGraphTest {};
VOXSHIFT_FOR_EACH_DEVICE(VoxelGraphOpsTest);

constexpr const char* kGenerative = "generative_conv_transpose";

TEST_P(VoxelGraphOpsTest, GeneratesEveryVoxelThatATapReaches) {
  for (int dims = 1; dims <= 4; ++dims)
    for (const Window& up : {cube(dims, 2, 2), cube(dims, 3, 2), cube(dims, 3), cube(dims, 1, 3), cube(dims, 1)}) {
      if (dims == 4 && up.volume() > 16 && emulated()) continue;
      SCOPED_TRACE(std::to_string(dims) + "-D, volume " + std::to_string(up.volume()));
      const SparseTensor x = whole_tensor(dims, rows() / 2, 4, 5);
      const PlainTensor in = voxels_of(x);
      NetworkWriter b(4, dims);
      const std::string made = b.grouped(kGenerative, kGraphInput, 6, up, 1, true),
                        paired = b.grouped(kGenerative, kGraphInput, 6, up, 2),
                        depthwise = b.grouped(kGenerative, kGraphInput, 4, up, 4),
                        next = b.conv(made, 3, cube(dims, 2, 2));
      b.graph.outputs = {made, paired, depthwise, next};
      const oracle::Coords coords = oracle::generated(in.coords, oracle_window(up));
      PlainTensor expected = convolved(in, coords, up, true, full_weight(b, made));
      expected.features = oracle::plus_bias(expected.features, bias_of(b, made));
      const Outputs found = run_all_threads(b, x);
      expect_equal(found.at(made), expected);
      expect_equal(found.at(paired), convolved(in, coords, up, true, full_weight(b, paired, 2)));
      expect_equal(found.at(depthwise), convolved(in, coords, up, true, full_weight(b, depthwise, 4)));
      const Window down = cube(dims, 2, 2);
      const oracle::Coords halves = oracle::floor_outputs(coords, oracle_window(down));
      expect_equal(found.at(next), convolved(expected, halves, down, false, full_weight(b, next)));
    }
}

TEST_P(VoxelGraphOpsTest, GeneratesWithinBounds) {
  for (int dims = 1; dims <= 4; ++dims)
    for (const int more : {-1, 0, 2}) {
      SCOPED_TRACE(std::to_string(dims) + "-D, output padding " + std::to_string(more));
      const SparseTensor x = whole_tensor(dims, rows() / 2, 4, 5, true);
      const PlainTensor in = voxels_of(x);
      Window up = bounded_cube(dims, dims == 4 ? 2 : 3, 2, 1);
      const Window down = bounded_cube(dims, 2, 2, 0);
      for (std::size_t d = 0; d < static_cast<std::size_t>(dims); ++d) up.output_pad[d] = more;
      NetworkWriter b(4, dims);
      const std::string made = b.grouped(kGenerative, kGraphInput, 6, up), next = b.conv(made, 3, down);
      b.graph.outputs = {made, next};
      const oracle::Window w = oracle_window(up);
      const std::vector<int> extent = oracle::finer_shape({x.shape()->begin(), x.shape()->begin() + dims}, w);
      const oracle::Coords coords = oracle::generated_within(in.coords, w, extent);
      const PlainTensor expected = convolved(in, coords, up, true, full_weight(b, made));
      const Outputs found = run_all_threads(b, x);
      expect_equal(found.at(made), expected);
      const oracle::Coords halves = oracle::bounded_outputs(coords, oracle_window(down), extent);
      expect_equal(found.at(next), convolved(expected, halves, down, false, full_weight(b, next)));
    }
}

// An encoder's voxels and generated ones, which are neither contained in the other.
TEST_P(VoxelGraphOpsTest, AddsVoxelsOfEither) {
  for (int dims = 1; dims <= 4; ++dims) {
    SCOPED_TRACE(dims);
    const SparseTensor x = whole_tensor(dims, rows(), 4, 5);
    const PlainTensor in = voxels_of(x);
    const Window down = cube(dims, 2, 2), window = cube(dims, 3);
    Window up = cube(dims, 2, 2);
    up.size[0] = 1;  // every other plane stays empty
    NetworkWriter b(4, dims);
    const std::string coarse = b.conv(kGraphInput, 4, down), made = b.grouped(kGenerative, coarse, 4, up),
                      both = b.add_node("union_add", {kGraphInput, made}, 4).name,
                      turned = b.add_node("union_add", {made, kGraphInput}, 4).name,
                      sum = b.add(both, turned),  // on the same voxels
        again = b.add_node("union_add", {both, made}, 4).name, self = b.add_node("union_add", {made, made}, 4).name,
                      conv = b.conv(both, 3, window), half = b.conv(both, 3, down),
                      back = b.conv_transpose(half, 2, down);
    b.graph.outputs = {both, sum, again, self, conv, half, back};
    const PlainTensor low =
        convolved(in, oracle::floor_outputs(in.coords, oracle_window(down)), down, false, full_weight(b, coarse));
    const PlainTensor other =
        convolved(low, oracle::generated(low.coords, oracle_window(up)), up, true, full_weight(b, made));
    const PlainTensor all = united(in, other);
    EXPECT_GT(all.coords.size(), in.coords.size());
    EXPECT_GT(all.coords.size(), other.coords.size());
    EXPECT_LT(all.coords.size(), in.coords.size() + other.coords.size());
    const Outputs found = run_all_threads(b, x);
    expect_equal(found.at(both), all);
    expect_equal(found.at(sum), {all.coords, oracle::plus(all.features, all.features)});
    expect_equal(found.at(again), united(all, other));
    expect_equal(found.at(self), {other.coords, oracle::plus(other.features, other.features)});
    expect_equal(found.at(conv), convolved(all, all.coords, window, false, full_weight(b, conv)));
    const oracle::Coords halves = oracle::floor_outputs(all.coords, oracle_window(down));
    const PlainTensor small = convolved(all, halves, down, false, full_weight(b, half));
    expect_equal(found.at(half), small);
    expect_equal(found.at(back), convolved(small, all.coords, down, true, full_weight(b, back)));
  }
}

// Clouds whose batches do not meet, and boxes far apart.
TEST_P(VoxelGraphOpsTest, AddsBoxesFarApart) {
  const std::vector<std::int32_t> coords{0, -1000, 5, 7, 2, 9, 9, 900};
  const SparseTensor x(Array::from(coords, {2, 4}), Array::from(std::vector<float>{1, 2}, {2, 1}), {});
  NetworkWriter b(1);
  Window shifted = cube(3, 3);
  shifted.dilation[0] = 500;
  const std::string made = b.grouped(kGenerative, kGraphInput, 1, shifted),
                    both = b.add_node("union_add", {made, kGraphInput}, 1).name;
  b.graph.outputs = {both};
  const PlainTensor in = voxels_of(x);
  const PlainTensor other =
      convolved(in, oracle::generated(in.coords, oracle_window(shifted)), shifted, true, full_weight(b, made));
  expect_equal(run(b, x).at(both), united(in, other));
}

// The pixel of an image for every voxel: `scale` of its own steps for one of the image's.
PlainTensor pixels_at(const oracle::Coords& coords, const std::vector<float>& image, int axis, std::int64_t height,
                      std::int64_t width, std::size_t channels) {
  PlainTensor result{coords, oracle::Matrix(coords.size(), channels)};
  for (std::size_t i = 0; i < coords.size(); ++i) {
    const std::int64_t y = coords[i][axis == 0 ? 2 : 1], x = coords[i][axis == 2 ? 2 : 3];
    if (y < 0 || y >= height || x < 0 || x >= width) continue;
    const auto pixel = static_cast<std::size_t>((coords[i][0] * height + y) * width + x);
    for (std::size_t c = 0; c < channels; ++c)
      result.features.at(i, c) = static_cast<double>(image[pixel * channels + c]);
  }
  return result;
}

TEST_P(VoxelGraphOpsTest, ReadsImagesAtVoxels) {
  const std::int64_t shape[] = {6, 4, 2};
  for (const std::int64_t axis : {0, 1, 2}) {
    SCOPED_TRACE(axis);
    const SparseTensor x = whole_tensor(3, rows(), 3, 5);  // from -3 on: voxels outside of the images on either side
    const std::int64_t depth = shape[axis], height = shape[axis == 0 ? 1 : 0], width = shape[axis == 2 ? 1 : 2];
    NetworkWriter b(3);
    Node& view = b.add_node("bird_eye_view", {kGraphInput}, 3 * depth);
    view.attributes = {{"shape", PerAxis{6, 4, 2}}, {"axis", axis}};
    const std::string image = view.name;
    Node& pool = b.add_node("max_pool2d", {image}, 3 * depth);
    pool.attributes = {{"kernel_size", std::int64_t{2}}, {"stride", std::int64_t{2}}};
    const std::string pooled = pool.name, coarse = b.conv(kGraphInput, 2, 2, 2);
    const std::string back = b.add_node("from_dense", {image, kGraphInput}, 3 * depth).name,
                      low = b.add_node("from_dense", {pooled, coarse}, 3 * depth).name, next = b.conv(back, 2);
    b.graph.outputs = {image, pooled, coarse, back, low, next};
    const Outputs found = run_all_threads(b, x);
    const auto channels = static_cast<std::size_t>(3 * depth);
    const PlainTensor in = voxels_of(x);
    const PlainTensor expected =
        pixels_at(in.coords, host<float>(found.at(image).features), static_cast<int>(axis), height, width, channels);
    expect_equal(found.at(back), expected);
    expect_equal(found.at(low), pixels_at(coords_of(found.at(coarse).coords), host<float>(found.at(pooled).features),
                                          static_cast<int>(axis), height / 2, width / 2, channels));
    expect_equal(found.at(next), convolved(expected, in.coords, cube(3, 3), false, full_weight(b, next)));
    // The voxels that the view holds find their own features in it.
    std::size_t inside = 0;
    for (std::size_t i = 0; i < in.coords.size(); ++i) {
      const oracle::Coord& c = in.coords[i];
      bool held = true;
      for (std::size_t d = 0; d < 3; ++d) held &= c[d + 1] >= 0 && c[d + 1] < shape[d];
      inside += held;
      const auto z = static_cast<std::size_t>(held ? c[static_cast<std::size_t>(axis) + 1] : 0);
      for (std::size_t k = 0; held && k < 3; ++k)
        EXPECT_EQ(expected.features.at(i, k * static_cast<std::size_t>(depth) + z), in.features.at(i, k));
    }
    EXPECT_GT(inside, 0u);
    EXPECT_LT(inside, in.coords.size());
  }
}

TEST_P(VoxelGraphOpsTest, NoVoxels) {
  NetworkWriter b(4);
  const std::string made = b.grouped(kGenerative, kGraphInput, 4, cube(3, 3, 1)),
                    both = b.add_node("union_add", {kGraphInput, made}, 4).name;
  Node& view = b.add_node("bird_eye_view", {both}, 8);
  view.attributes = {{"shape", PerAxis{4, 4, 2}}};
  const std::string image = view.name, back = b.add_node("from_dense", {image, both}, 8).name;
  b.graph.outputs = {made, both, back};
  Session s = session(b);
  const SparseTensor none = no_voxels(3, 4).to(device()), some = whole_tensor(3, 40, 4, 2).to(device());
  const Outputs first = s.run(some);
  for (const auto& [name, output] : s.run(none)) EXPECT_EQ(output.features.dim(0), 0) << name;
  for (const auto& [name, output] : s.run(some)) expect_same_bits(output.features, first.at(name).features);
}

class HalfVoxelGraphOpsTest : public VoxelGraphTest {};
INSTANTIATE_TEST_SUITE_P(Devices, HalfVoxelGraphOpsTest, ::testing::Values(Device::cuda()), device_name);

// Whole numbers below 2048 are exact in f16.
TEST_P(HalfVoxelGraphOpsTest, EqualFloat) {
  const SparseTensor x = whole_tensor(3, rows(), 4, 3);
  NetworkWriter b(4);
  const std::string made = b.grouped(kGenerative, kGraphInput, 4, cube(3, 3)),
                    both = b.add_node("union_add", {kGraphInput, made}, 4).name;
  Node& view = b.add_node("bird_eye_view", {both}, 8);
  view.attributes = {{"shape", PerAxis{4, 4, 2}}};
  const std::string image = view.name;
  b.graph.outputs = {both, b.add_node("from_dense", {image, made}, 8).name};
  const Outputs narrow = run(b, x, 1, DType::kF16);
  for (const auto& [name, output] : run(b, x, 1)) expect_same_bits(output.features, narrow.at(name).features);
}

TEST(VoxelGraphOps, Refused) {
  const std::string in = kGraphInput;
  expect_refused(
      [&](NetworkWriter& b) {
        return b.add_node("union_add", {in, b.conv(in, 4, 2, 2)}, 4).name;
      },
      {"\"union_add1\"", "same stride", "\"input\" and \"conv0\""});
  expect_refused(
      [&](NetworkWriter& b) {
        return b.add_node("union_add", {b.conv(in, 5, 1), in}, 4).name;
      },
      {"\"union_add1\"", "5 and 4 channels"});
  expect_refused(
      [&](NetworkWriter& b) {
        return b.add_node("union_add", {b.add_node("max_pool", {in}, 4).name, in}, 4).name;
      },
      {"\"union_add1\"", "takes voxels", "\"max_pool0\""});
  expect_refused(
      [&](NetworkWriter& b) {
        return b.add_node("from_dense", {in, in}, 4).name;
      },
      {"\"from_dense0\"", "takes images", "\"input\""});
  Window padded = cube(3, 3, 2);
  padded.output_pad[0] = 1;
  expect_refused([&](NetworkWriter& b) { return b.grouped(kGenerative, in, 4, padded); },
                 {"\"generative_conv_transpose0\"", "padding, which belongs to bounded"});
  expect_refused(
      [&](NetworkWriter& b) { return b.grouped(kGenerative, b.add_node("max_pool", {in}, 4).name, 4, cube(3, 2, 2)); },
      {"\"generative_conv_transpose1\"", "takes voxels"});
  NetworkWriter frames(3, 2);
  frames.graph.inputs.front().kind = InputKind::kFrames;
  frames.graph.outputs = {frames.add_node("from_dense", {in, in}, 3).name};
  expect_throw([&] { check_graph(frames.graph, frames.parameters); },
               {"\"from_dense0\"", "bird_eye_view", "\"input\""});
}

}  // namespace
}  // namespace voxshift
