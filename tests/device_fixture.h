// The fixture of tests that run once per device, and arrays to and from plain vectors.
#pragma once

#include <gtest/gtest.h>
#include <voxshift/sparse_conv/conv.h>
#include <voxshift/tensor/error.h>
#include <voxshift/tensor/runtime.h>
#include <voxshift/tensor/sparse_tensor.h>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "cpu_targets.h"
#include "oracle.h"
#include "sanitized.h"

namespace voxshift {

inline void PrintTo(Device device, std::ostream* out) {
  *out << (device.kind == Device::Kind::kCpu ? "cpu" : VOXSHIFT_CUDA_NAME);
}

/// Skips, with the reason, what the machine does not have. VOXSHIFT_REQUIRE_CUDA=1 makes a missing CUDA device a
/// failure.
class DeviceTest : public ::testing::TestWithParam<Device> {
 protected:
  void SetUp() override {
    if (device().kind == Device::Kind::kCpu) {
      const std::string target = wanted_cpu_target();
      if (!target.empty() && !cpu_has(target)) GTEST_SKIP() << "this CPU has no " << target;
    } else if (!runtime(device()).available(device())) {
      const char* required = std::getenv("VOXSHIFT_REQUIRE_CUDA");
      if (required != nullptr && std::string(required) == "1") FAIL() << "VOXSHIFT_REQUIRE_CUDA=1, but no CUDA device";
      GTEST_SKIP() << "this build or this machine has no CUDA device";
    }
  }
  void TearDown() override { set_num_threads(threads_); }

  Device device() const { return GetParam(); }
  /// Kernels of CUDA run on the CPU, some thousand times slower than on a GPU: tests take smaller inputs.
  bool emulated() const {
    return device().kind == Device::Kind::kCuda && runtime(device()).target(device()) == "emulated";
  }

  /// Pairs of channel counts that sanitizers, which are slow, leave out, three of four, and the emulation 15 of 16. Of
  /// every count some stay.
  bool left_out(std::size_t cin, std::size_t cout) const {
    return (cin + cout) % (emulated() ? 16 : kSanitized ? 4 : 1) != 0;
  }

  /// Numbers of threads whose results have to be those of one. They change nothing on CUDA, where one more run will do.
  std::vector<int> thread_counts() const { return emulated() ? std::vector{2} : std::vector{1, 2, 3}; }

  /// Runs whose bits have to be the same.
  int repeats() const { return emulated() || kSanitized ? 1 : 10; }

  Array array(const oracle::Matrix& m) const {
    return array(m, {static_cast<std::int64_t>(m.rows), static_cast<std::int64_t>(m.cols)});
  }
  Array array(const oracle::Matrix& m, Shape shape) const { return array(m.values, std::move(shape)); }
  Array array(const std::vector<double>& values, Shape shape) const {
    return Array::from(std::vector<float>(values.begin(), values.end()), std::move(shape)).to(device());
  }
  Array vector(const std::vector<double>& values) const {
    return array(values, {static_cast<std::int64_t>(values.size())});
  }
  /// i32 [N, 1 + D]
  Array array(const oracle::Coords& coords, int dims) const {
    std::vector<std::int32_t> values;
    for (const auto& c : coords) values.insert(values.end(), c.begin(), c.end());
    return Array::from(values, {static_cast<std::int64_t>(coords.size()), dims + 1}).to(device());
  }
  /// [K * Cin, Cout] as f32 [K, Cin, Cout]
  Array weight(const oracle::Matrix& m, std::size_t offsets) const {
    return array(m, {static_cast<std::int64_t>(offsets), static_cast<std::int64_t>(m.rows / offsets),
                     static_cast<std::int64_t>(m.cols)});
  }
  SparseTensor tensor(const oracle::Coords& coords, const oracle::Matrix& features,
                      const SparseTensor::Options& options = {}) const {
    return {array(coords, static_cast<int>(coords.at(0).size()) - 1), array(features), options};
  }

 private:
  const int threads_ = num_threads();
};

inline std::string device_name(const ::testing::TestParamInfo<Device>& info) {
  return ::testing::PrintToString(info.param);
}

#define VOXSHIFT_FOR_EACH_DEVICE(suite) \
  INSTANTIATE_TEST_SUITE_P(Devices, suite, ::testing::Values(Device::cpu(), Device::cuda()), device_name)

template <class T>
std::vector<T> host(const Array& a) {
  const Array copy = a.to(Device::cpu());
  const auto values = copy.values<T>();
  return {values.begin(), values.end()};
}

inline oracle::Coords coords_of(const Array& coords) {
  const auto values = host<std::int32_t>(coords);
  oracle::Coords result(static_cast<std::size_t>(coords.dim(0)));
  const auto axes = static_cast<std::size_t>(coords.dim(1));
  for (std::size_t i = 0; i < values.size(); ++i) result[i / axes].push_back(values[i]);
  return result;
}

inline SparseTensor::Extents extents(const std::vector<int>& values) {
  SparseTensor::Extents result{1, 1, 1, 1};
  std::copy(values.begin(), values.end(), result.begin());
  return result;
}

inline ConvOptions options_of(const oracle::Window& w) {
  ConvOptions options;
  options.kernel_size = w.size;
  options.stride = w.stride;
  options.dilation = w.dilation;
  options.padding = w.pad;
  if (w.output_pad != 0) options.output_padding = {w.output_pad};
  options.semantics = w.bounded ? Semantics::kBounded : Semantics::kFloor;
  return options;
}

inline std::string describe(const oracle::Window& w) {
  return ::testing::PrintToString(w.size) + " stride " + ::testing::PrintToString(w.stride) + " dilation " +
         ::testing::PrintToString(w.dilation) + (w.bounded ? " pad " + ::testing::PrintToString(w.pad) : "");
}

/// Every element is the same number: results of whole numbers are exact.
inline void expect_equal(const Array& actual, const oracle::Matrix& expected) {
  ASSERT_EQ(actual.shape(),
            (Shape{static_cast<std::int64_t>(expected.rows), static_cast<std::int64_t>(expected.cols)}));
  const auto values = host<float>(actual);
  for (std::size_t i = 0; i < values.size(); ++i)
    ASSERT_EQ(values[i], expected.values[i]) << "row " << i / expected.cols << ", channel " << i % expected.cols;
}

/// Every row is within 1e-5 of the expected one, relative to its norm.
inline void expect_close(const Array& actual, const oracle::Matrix& expected) {
  ASSERT_EQ(actual.shape(),
            (Shape{static_cast<std::int64_t>(expected.rows), static_cast<std::int64_t>(expected.cols)}));
  const auto values = host<float>(actual);
  for (std::size_t r = 0; r < expected.rows; ++r) {
    double error = 0, norm = 0;
    for (std::size_t c = 0; c < expected.cols; ++c) {
      const double difference = values[r * expected.cols + c] - expected.at(r, c);
      error += difference * difference;
      norm += expected.at(r, c) * expected.at(r, c);
    }
    ASSERT_LE(std::sqrt(error), 1e-5 * std::sqrt(norm)) << "row " << r;
  }
}

inline void expect_same_bits(const Array& a, const Array& b) {
  ASSERT_EQ(a.shape(), b.shape());
  ASSERT_EQ(a.dtype(), b.dtype());
  const Array x = a.to(Device::cpu()), y = b.to(Device::cpu());
  EXPECT_EQ(std::memcmp(x.memory(), y.memory(), x.bytes()), 0);
}

/// The call throws E with every part in its message.
template <class E = InvalidArgument>
void expect_throw(const std::function<void()>& call, const std::vector<std::string>& parts) {
  try {
    call();
    ADD_FAILURE() << "nothing was thrown, expected: " << ::testing::PrintToString(parts);
  } catch (const E& error) {
    for (const std::string& part : parts)
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
          << "no \"" << part << "\" in: " << error.what();
  }
}

}  // namespace voxshift
