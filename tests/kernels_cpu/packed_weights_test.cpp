// Packed weights: what ops refuse to pack, and kernels to read.
#include <gtest/gtest.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/rows/ops.h>
#include <voxshift/rows/training.h>
#include <voxshift/sparse_conv/conv_backward.h>
#include <voxshift/sparse_conv/kernels.h>
#include <voxshift/video/conv2d.h>
#include <voxshift/video/conv2d_backward.h>
#include <voxshift/video/kernels.h>

#include "device_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Matrix;

constexpr std::int64_t kTooMany = (1 << 20) + 1;

class PackedWeightsTest : public DeviceTest {
 protected:
  PackedWeightsTest() : scratch(device()) {}

  Array zeros(const Shape& shape) const {
    return Array::from(std::vector<float>(static_cast<std::size_t>(count_of(shape))), shape).to(device());
  }

  /// An array of this shape with no memory behind it: an op that reads it crashes.
  Array without_memory(const Shape& shape, DType dtype = DType::kF32) const {
    return {nullptr, shape, dtype, device(), nullptr};
  }

  Arena scratch;
  const Context context{device(), nullptr, 1, &scratch};
};
VOXSHIFT_FOR_EACH_DEVICE(PackedWeightsTest);

TEST_P(PackedWeightsTest, OpsRefuseChannelsBeyondTheLimit) {
  const auto refused = [](const std::string& op, const std::function<void()>& call) {
    expect_throw(call, {"[" + op + "]", "weight expects at most 1048576 channels, found", "1048577"});
  };
  const Array wide = zeros({1, kTooMany}), narrow = zeros({1, 1}), tall = zeros({kTooMany, 1});
  refused("linear", [&] { linear(wide, tall); });
  refused("linear", [&] { linear(narrow, wide); });
  refused("linear_backward", [&] { linear_backward(wide, tall, narrow); });
  refused("linear_backward", [&] { linear_backward(narrow, wide, wide); });

  const Array coords = array({{0, 0}}, 1);
  const SparseTensor x(coords, narrow);
  ConvOptions one;
  one.kernel_size = {1};
  const Array outputs = wide.reshaped({1, 1, kTooMany}), inputs = wide.reshaped({1, kTooMany, 1});
  refused("conv", [&] { conv(x, outputs, one); });
  refused("conv", [&] { conv({coords, wide}, inputs, one); });
  refused("conv_transpose", [&] { conv_transpose(x, outputs, one); });
  refused("generative_conv_transpose", [&] { generative_conv_transpose(x, outputs, one); });
  refused("conv_backward", [&] { conv_backward(x, outputs, wide, one); });

  const Array image = wide.reshaped({1, 1, kTooMany}), filters = wide.reshaped({1, kTooMany, 1, 1});
  refused("conv2d", [&] { conv2d(image, filters); });
  refused("conv2d_backward", [&] { conv2d_backward(image, filters, narrow.reshaped({1, 1, 1})); });
}

TEST_P(PackedWeightsTest, ChannelsOfTheLimitAreTaken) {
  if (emulated()) GTEST_SKIP() << "too many for the emulation";
  std::vector<float> ones(1 << 20, 1.0f);
  const Array row = Array::from(ones, {1, 1 << 20}).to(device());
  EXPECT_EQ(host<float>(linear(row, row.reshaped({1 << 20, 1}))), (std::vector<float>{1 << 20}));
}

TEST_P(PackedWeightsTest, RowsBeyond32BitsAreRefused) {
  const Array rows = without_memory({std::int64_t{1} << 31, 1}), none = zeros({1, 0});
  expect_throw([&] { linear(rows, none); }, {"[linear] x expects at most 2^31 - 1 rows, found 2147483648"});
  expect_throw(
      [&] {
        linear_backward(rows, none, without_memory({std::int64_t{1} << 31, 0}), {false, true});
      },
      {"[linear_backward] x expects at most 2^31 - 1 rows, found 2147483648"});
}

TEST_P(PackedWeightsTest, KernelsRefuseWeightsOfAnotherOp) {
  const auto& convs = sparse_conv_kernels(device());
  const auto& linears = row_kernels(device());
  const auto& images = video_kernels(device());
  const Array weight = zeros({27, 8, 8});
  const auto* values = weight.data<float>();
  const auto conv_weights = convs.pack(context, values, 27, 8, 8, DType::kF32);
  const auto conv2d_weights = images.pack_conv2d(context, values, nullptr, 1, 8, 8, DType::kF32);
  const auto depthwise_weights = images.pack_depthwise(context, values, nullptr, 3, 8, DType::kF32);

  Array out = zeros({4, 8});
  const Array in = zeros({4, 8});
  ImageView image;
  image.rows = rows_of(in);
  const auto refused = [](const char* op, const char* part, const std::function<void()>& call) {
    expect_throw(call, {op, part});
  };
  const auto run_linear = [&](const PackedWeights& w) { linears.linear(context, rows_of(in), w, {}, rows_of(out)); };
  const auto run_conv2d = [&](const std::shared_ptr<const PackedWeights>& w) {
    images.conv2d(context, {{1, 1, 0}, 8, 8, w, {}}, {2, 2}, image, {}, {nullptr, 4}, rows_of(out));
  };
  const auto run_depthwise = [&](const std::shared_ptr<const PackedWeights>& w) {
    images.depthwise(context, {{3, 1, 1}, 8, 8, w, {}}, {2, 2}, rows_of(in), {nullptr, 4}, rows_of(out));
  };
  refused("[linear]", "packed for another op", [&] { run_linear(*conv2d_weights); });
  refused("[linear]", "1 offsets, 8 to 8 channels, found 27 offsets", [&] { run_linear(*conv_weights); });
  refused("[conv2d]", "1 offsets, 8 to 8 channels, found 9 offsets, 1 to 8", [&] {
    device().kind == Device::Kind::kCuda
        ? run_conv2d(depthwise_weights)
        : run_conv2d(images.pack_conv2d(context, values, nullptr, 3, 1, 8, DType::kF32));
  });
  refused("[conv2d]", "packed for another op", [&] { run_conv2d(linears.pack(context, values, 8, 8, DType::kF32)); });
  refused("[depthwise]", device().kind == Device::Kind::kCuda ? "9 offsets, 1 to 8" : "packed for another op",
          [&] { run_depthwise(conv2d_weights); });
  const SparseTensor x = tensor({{0, 0, 0, 0}}, Matrix(1, 8));
  const auto map = x.cache()->kernel_map(x.map(), x.map(), make_window("test", 3, options_of(test_data::cube(3, 3))));
  refused("[conv]", "27 offsets, 8 to 8 channels, found 1 offsets", [&] {
    Array y = zeros({1, 8});
    convs.conv(context, rows_of(x.features()), map->forward(), *linears.pack(context, values, 8, 8, DType::kF32), {},
               rows_of(y));
  });
}

TEST_P(PackedWeightsTest, KernelsRefuseWeightsOfAnotherBackend) {
  if (device().kind != Device::Kind::kCuda) return;
  const Array weight = zeros({8, 8}), in = zeros({4, 8}), host_weight = weight.to(Device::cpu()),
              host_in = in.to(Device::cpu());
  Arena host_scratch(Device::cpu());
  const Context on_host{Device::cpu(), nullptr, 1, &host_scratch};
  const auto packed = row_kernels(device()).pack(context, weight.data<float>(), 8, 8, DType::kF32);
  const auto halves = row_kernels(device()).pack(context, weight.data<float>(), 8, 8, DType::kF16);
  const auto host_packed = row_kernels(Device::cpu()).pack(on_host, host_weight.data<float>(), 8, 8, DType::kF32);
  Array out = zeros({4, 8}), host_out = out.to(Device::cpu());
  expect_throw([&] { row_kernels(device()).linear(context, rows_of(in), *host_packed, {}, rows_of(out)); },
               {"[linear]", "packed for another op or device"});
  expect_throw([&] { row_kernels(device()).linear(context, rows_of(in), *halves, {}, rows_of(out)); },
               {"[linear]", "packed for f32 on cuda:0, found f16"});
  expect_throw([&] { row_kernels(Device::cpu()).linear(on_host, rows_of(host_in), *packed, {}, rows_of(host_out)); },
               {"[linear]", "packed for another op or device"});
}

}  // namespace
}  // namespace voxshift
