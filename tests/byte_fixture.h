// Rows of i8, f16 and f32 on a device, what their numbers stand for, and results to the bit.
#pragma once

#include <voxshift/rows/kernels.h>
#include <voxshift/tensor/half.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "device_fixture.h"

namespace voxshift {

/// Whole numbers of i8, of which some are the largest.
inline std::vector<std::int8_t> bytes_of(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::int8_t> numbers(count);
  for (std::int8_t& n : numbers) n = static_cast<std::int8_t>(static_cast<int>(random() % 255) - 127);
  return numbers;
}

/// Scales that differ from channel to channel.
inline std::vector<float> scales_of(std::size_t channels, float around) {
  std::vector<float> scale(channels);
  for (std::size_t c = 0; c < channels; ++c) scale[c] = around * (1 + static_cast<float>(c * 5 % 7) / 7);
  return scale;
}

/// x as a whole number of i8.
inline float byte_of(float x, float scale) {
  const float inverse = 1 / scale;
  const float scaled = x * inverse;
  return std::isnan(scaled) ? 0.0f : std::nearbyint(std::min(127.0f, std::max(-127.0f, scaled)));
}

struct PlainActivation {
  Activation activation;
  std::function<float(float)> of;
};

inline std::vector<PlainActivation> plain_activations() {
  using Kind = Activation::Kind;
  const auto hard = [](float x) { return std::min(6.0f, std::max(0.0f, x + 3)) / 6; };
  return {{{}, [](float x) { return x; }},
          {{Kind::kRelu, 0}, [](float x) { return std::max(x, 0.0f); }},
          {{Kind::kRelu6, 0}, [](float x) { return std::min(6.0f, std::max(x, 0.0f)); }},
          {{Kind::kLeakyRelu, 0.3f}, [](float x) { return x > 0 ? x : 0.3f * x; }},
          {{Kind::kFunction, 0, {Elementwise::Kind::kHardSwish}}, [hard](float x) { return x * hard(x); }}};
}

class ByteTest : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    scratch_ = std::make_unique<Arena>(device());
  }

  Context context() const { return {device(), nullptr, 1, scratch_.get()}; }

  /// Rows on the device. `numbers` are those of its memory, i8 ones whole; `scale` is empty but for i8.
  struct Stored {
    Array memory, scales;
    std::vector<float> numbers, scale;

    RowView view() {
      RowView view = rows_of(memory);
      if (!scale.empty()) view.scales = {scales.data<float>(), scales.data<float>() + scale.size()};
      return view;
    }
    std::size_t channels() const { return static_cast<std::size_t>(memory.dim(1)); }
    /// What is read: f32.
    float at(std::size_t i, std::size_t c) const {
      const float n = numbers[i * channels() + c];
      return scale.empty() ? n : n * scale[c];
    }
  };

  /// Numbers of i8 around `around`, or such quarters as f16 has.
  Stored store(std::size_t rows, std::size_t channels, DType dtype, unsigned seed, float around = 0.02f) const {
    const std::vector<std::int8_t> whole = bytes_of(rows * channels, seed);
    std::vector<float> numbers(whole.begin(), whole.end());
    Stored stored = room(rows, channels, dtype, around);
    if (dtype == DType::kI8) {
      stored.memory = on_device(whole, stored.memory.shape());
    } else {
      for (float& x : numbers) x /= 4;
      stored.memory = converted(on_device(numbers, stored.memory.shape()), dtype);
    }
    stored.numbers = numbers;
    return stored;
  }

  /// Rows for a result.
  Stored room(std::size_t rows, std::size_t channels, DType dtype, float around = 0.02f) const {
    Stored stored{
        {{static_cast<std::int64_t>(rows), static_cast<std::int64_t>(channels)}, dtype, device()}, {}, {}, {}};
    if (dtype != DType::kI8) return stored;
    stored.scale = scales_of(channels, around);
    std::vector<float> both = stored.scale;
    for (const float s : stored.scale) both.push_back(1 / s);
    stored.scales = on_device(both, {static_cast<std::int64_t>(both.size())});
    return stored;
  }

  /// Every number of `result` is that of f32 `expected`, rounded once.
  void expect_rounded(const Stored& result, const std::vector<float>& expected) const {
    const std::vector<float> found = numbers_of(result.memory);
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t e = 0; e < found.size(); ++e) {
      const float wanted = rounded(result, expected[e], e % result.channels());
      if (std::isnan(wanted) && std::isnan(found[e])) continue;
      ASSERT_EQ(found[e], wanted) << "row " << e / result.channels() << ", channel " << e % result.channels();
    }
  }

  template <class T>
  Array on_device(const std::vector<T>& values, Shape shape) const {
    return Array::from(values, std::move(shape)).to(device());
  }
  Array on_device(const std::vector<float>& values) const {
    return on_device(values, {static_cast<std::int64_t>(values.size())});
  }

 private:
  static float rounded(const Stored& result, float x, std::size_t channel) {
    if (result.memory.dtype() == DType::kI8) return byte_of(x, result.scale[channel]);
    return result.memory.dtype() == DType::kF16 ? from_half(to_half(x)) : x;
  }
  Array converted(const Array& x, DType dtype) const {
    Array result(x.shape(), dtype, device());
    row_kernels(device()).affine(context(), rows_of(x), nullptr, nullptr, {}, {}, rows_of(result));
    return result;
  }
  static std::vector<float> numbers_of(const Array& memory) {
    const Array copy = memory.to(Device::cpu());
    std::vector<float> numbers(static_cast<std::size_t>(copy.count()));
    for (std::size_t e = 0; e < numbers.size(); ++e) {
      if (copy.dtype() == DType::kI8) {
        numbers[e] = static_cast<const std::int8_t*>(copy.memory())[e];
      } else if (copy.dtype() == DType::kF16) {
        numbers[e] = from_half(static_cast<const std::uint16_t*>(copy.memory())[e]);
      } else {
        numbers[e] = copy.data<float>()[e];
      }
    }
    return numbers;
  }

  std::unique_ptr<Arena> scratch_;
};

}  // namespace voxshift
