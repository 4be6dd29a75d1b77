// What holds of CUDA devices beyond the ops: memory that runs out, features beyond 2^31 bytes, devices that are mixed,
// scans that allocate nothing.
#include <gtest/gtest.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/rows/ops.h>
#include <voxshift/sparse_conv/combine.h>
#include <voxshift/synth/lidar.h>
#include <voxshift/tasks/segmenter.h>

#include <cstdint>

#include "device_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

class CudaDeviceTest : public DeviceTest {};
INSTANTIATE_TEST_SUITE_P(Devices, CudaDeviceTest, ::testing::Values(Device::cuda()), device_name);

TEST_P(CudaDeviceTest, OutOfMemoryLeavesItUsable) {
  const std::int64_t much = std::int64_t{1} << 45;
  expect_throw<OutOfMemory>([&] { Array({much}, DType::kU8, device()); }, {"[allocate]", std::to_string(much)});
  const std::vector<float> values{1, 2, 3};
  EXPECT_EQ(host<float>(Array::from(values, {3}).to(device())), values);
}

TEST_P(CudaDeviceTest, MixedDevicesAreRefused) {
  const auto coords = test_data::cloud(3, 50, 1);
  const auto features = test_data::whole(coords.size(), 4, 2);
  const SparseTensor there = tensor(coords, features), here = there.to(Device::cpu());
  const Array w({27, 4, 5}, DType::kF32), matrix({4, 5}, DType::kF32);
  expect_throw([&] { conv(there, w); }, {"[conv]", "weight is on cpu", "cuda:0"});
  expect_throw([&] { conv(here, w.to(device())); }, {"weight is on cuda:0", "cpu"});
  expect_throw([&] { linear(there.features(), matrix); }, {"[linear]", "cpu", "cuda:0"});
  expect_throw([&] { add(there, here); }, {"[add]", "cuda:0", "cpu"});
  expect_throw([&] { SparseTensor(there.coords(), here.features()); }, {"coords is on cuda:0", "features is on cpu"});
  const Model model = Model::create({"minkunet", 0.125, 19, 3});
  Segmenter segmenter(model, device());
  expect_throw([&] { segmenter.session().forward(here); }, {"[forward]", "cpu", "cuda:0"});
  EXPECT_EQ(segmenter.segment(Array({0, 4}, DType::kF32)).labels.device(),
            device());  // the segmenter sends points there
  Segmenter on_cpu(model);
  expect_throw([&] { on_cpu.segment(Array({5, 4}, DType::kF32).to(device())); }, {"[segment]", "cpu", "cuda:0"});
}

TEST_P(CudaDeviceTest, ThereAndBack) {
  const auto coords = test_data::cloud(2, 80, 3);
  const auto features = test_data::whole(coords.size(), 6, 4);
  const SparseTensor x = tensor(coords, features);
  EXPECT_EQ(x.to(device()).map(), x.map());
  const SparseTensor back = x.to(Device::cpu());
  EXPECT_EQ(back.device(), Device::cpu());
  EXPECT_EQ(coords_of(back.coords()), coords);
  expect_equal(back.features(), features);
}

TEST_P(CudaDeviceTest, MoreThanTwoGigabytes) {
  if (emulated()) GTEST_SKIP() << "2.2 GB take too long where kernels are emulated";
  const std::int64_t rows = 17'000'000, channels = 32;
  Array x({rows, channels}, DType::kF32, device()), y({rows, 1}, DType::kF32, device());
  runtime(device()).fill(device(), x.memory(), 0, x.bytes());
  ASSERT_GT(x.bytes(), std::size_t{1} << 31);
  std::vector<float> last(static_cast<std::size_t>(channels));
  for (std::size_t c = 0; c < last.size(); ++c) last[c] = static_cast<float>(c);
  runtime(device()).copy_from_host(device(), x.data<float>() + (rows - 1) * channels, last.data(), 4 * last.size());
  Arena scratch(device());
  const Context context{device(), nullptr, 1, &scratch};
  const auto& kernels = row_kernels(device());
  kernels.affine(context, rows_of(x), nullptr, nullptr, rows_of(x), {}, rows_of(x));  // twice itself
  const Array ones = Array::from(std::vector<float>(32, 1.0f), {32, 1}).to(device());
  kernels.linear(context, rows_of(x), *kernels.pack(context, ones.data<float>(), 32, 1, DType::kF32), {}, rows_of(y));
  const auto sums = host<float>(y);
  EXPECT_EQ(sums[0], 0);
  EXPECT_EQ(sums[static_cast<std::size_t>(rows - 2)], 0);
  EXPECT_EQ(sums[static_cast<std::size_t>(rows - 1)], 2 * 31 * 32 / 2);
}

TEST_P(CudaDeviceTest, LaterScansAllocateNothing) {
  const Model model = Model::create({"minkunet", 0.125, 19, 3});
  const SynthScan scan = synth_lidar(5);
  const std::int64_t most = emulated() ? 600 : 100'000;
  const auto points = [&](std::int64_t n) {
    return Array::from(std::vector<float>(scan.points.begin(), scan.points.begin() + 4 * n), {n, 4}).to(device());
  };
  Segmenter segmenter(model, device());
  segmenter.segment(points(most));
  const std::size_t bytes = segmenter.session().bytes();
  for (const std::int64_t n : {most, most / 2, std::int64_t{1}, most}) {
    segmenter.segment(points(n));
    EXPECT_EQ(segmenter.session().bytes(), bytes) << n << " points";
  }
}

}  // namespace
}  // namespace voxshift
