// Pooling, depthwise convolution and the bird's eye view of sparse tensors in i8, f16, bf16 and f32, every view of a
// dtype of its own, on the CPU: in plain loops over the pairs.
#include <voxshift/sparse_conv/kernels.h>

#include <cmath>
#include <map>

#include "device_fixture.h"
#include "narrow_rows.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Coords;
using Kind = Activation::Kind;

class NarrowPoolTest : public NarrowTest {
 protected:
  // A window over voxels: its map, and the pairs that it holds.
  struct Windowed {
    SparseTensor x;
    Coords outputs;
    std::vector<oracle::Pair> pairs;
    std::shared_ptr<const KernelMap> map;

    Windowed(const Coords& coords, const oracle::Window& w)
        : x(coords_array(coords), Array({static_cast<std::int64_t>(coords.size()), 1}, DType::kF32)),
          outputs(oracle::outputs(coords, w, {})),
          pairs(oracle::pairs(coords, outputs, w)) {
      const Window window = make_window("test", x.dims(), options_of(w));
      map = x.cache()->kernel_map(x.map(), x.cache()->coarser(x.map(), window, {}), window);
    }
  };

  static Array coords_array(const Coords& coords) {
    std::vector<std::int32_t> values;
    for (const auto& c : coords) values.insert(values.end(), c.begin(), c.end());
    return Array::from(values, {static_cast<std::int64_t>(coords.size()), static_cast<std::int64_t>(coords[0].size())});
  }

  static const SparseConvKernels& kernels() { return cpu::sparse_conv_kernels(); }

  static Rows filled(DType dtype, std::size_t count, std::int64_t channels, unsigned seed) {
    Rows rows(dtype, static_cast<std::int64_t>(count), channels, seed);
    rows.fill(seed, true);
    return rows;
  }

  // Sums are f32, in order of the pairs, of i8 whole.
  static float pooled(const Windowed& w, const Rows& in, Pooling pooling, std::int64_t o, std::int64_t c) {
    float result = 0, count = 0;
    double whole = 0;
    for (const oracle::Pair& pair : w.pairs) {
      if (static_cast<std::int64_t>(pair.out) != o) continue;
      const auto row = static_cast<std::int64_t>(pair.in);
      const float x = in.value(row, c);
      whole += in.number(row, c);
      if (pooling == Pooling::kMax) {
        result = count == 0 || x > result ? x : result;
      } else {
        result = count == 0 ? x : plus(result, x);
      }
      ++count;
    }
    if (in.dtype() == DType::kI8 && pooling != Pooling::kMax)
      result = times(static_cast<float>(whole), in.scales().scale[c]);
    return pooling == Pooling::kAverage && count > 0 ? over(result, count) : result;
  }

  void expect_pool(const Windowed& w, std::int64_t channels, DType from, DType to, int threads = 1) {
    const Rows in = filled(from, w.x.features().dim(0), channels, 1);
    for (const Pooling pooling : {Pooling::kMax, Pooling::kAverage, Pooling::kSum}) {
      Rows out(to, static_cast<std::int64_t>(w.outputs.size()), channels, 2);
      kernels().pool(context(threads), in.view(), w.map->forward(), pooling, out.view());
      SCOPED_TRACE(std::to_string(channels) + " channels, " + name(from) + " -> " + name(to));
      expect_rows(out, [&](std::int64_t o, std::int64_t c) { return pooled(w, in, pooling, o, c); });
    }
  }
};

TEST_F(NarrowPoolTest, EveryDtypeAndWidth) {
  const Windowed w(test_data::cloud(2, 40, 1), test_data::cube(2, 3, 2));
  for (std::int64_t channels = 1; channels <= 67; ++channels)
    for (const DType from : kNumberTypes)
      for (const DType to : kNumberTypes) expect_pool(w, channels, from, to);
}

TEST_F(NarrowPoolTest, MoreThanOneBlock) {
  const Windowed w(test_data::cloud(3, 700, 2), test_data::cube(3, 3));
  for (const DType dtype : kNumberTypes)
    for (const int threads : {1, 2, 3}) expect_pool(w, 5, dtype, dtype, threads);
}

// The largest numbers of i8 at all 4096 taps: their sum is exact.
TEST_F(NarrowPoolTest, LargeSums) {
  Coords coords;
  for (std::int64_t y = 0; y < 64; ++y)
    for (std::int64_t x = 0; x < 64; ++x) coords.push_back({0, y, x});
  const Windowed w(coords, test_data::cube(2, 64, 64));
  Rows in(DType::kI8, 4096, 19, 1), out(DType::kF32, 1, 19);
  for (std::int64_t i = 0; i < 4096; ++i)
    for (std::int64_t c = 0; c < 19; ++c) in.set(i, c, i % 2 == 0 || c % 2 == 0 ? 127 : -126);
  kernels().pool(context(), std::as_const(in).view(), w.map->forward(), Pooling::kSum, out.view());
  expect_rows(out, [&](std::int64_t, std::int64_t c) {
    return times(c % 2 == 0 ? 4096 * 127.0f : 2048.0f, in.scales().scale[c]);
  });
}

TEST_F(NarrowPoolTest, Depthwise) {
  const Windowed w(test_data::cloud(2, 60, 3), test_data::cube(2, 3));
  const auto count = w.outputs.size();
  for (std::int64_t channels = 1; channels <= 67; channels += channels < 20 ? 1 : 7)
    for (const DType from : kNumberTypes)
      for (const DType added : kNumberTypes)
        for (const DType to : kNumberTypes) {
          const Rows in = filled(from, count, channels, 1), residual = filled(added, count, channels, 2);
          const Rows weight = filled(DType::kF32, 9, channels, 3), bias = filled(DType::kF32, 1, channels, 4);
          std::vector<float> weights, biases;
          for (std::int64_t k = 0; k < 9; ++k)
            for (std::int64_t c = 0; c < channels; ++c) weights.push_back(weight.value(k, c));
          for (std::int64_t c = 0; c < channels; ++c) biases.push_back(bias.value(0, c));
          Rows out(to, static_cast<std::int64_t>(count), channels, 5);
          kernels().depthwise(context(), in.view(), w.map->forward(), weights.data(),
                              {biases.data(), residual.view(), {Kind::kRelu, 0}, false}, out.view());
          const auto sum = [&](std::int64_t o, std::int64_t c, auto total, const auto& add) {
            for (const oracle::Pair& pair : w.pairs)
              if (static_cast<std::int64_t>(pair.out) == o)
                total = add(total, in.value(static_cast<std::int64_t>(pair.in), c),
                            weight.value(static_cast<std::int64_t>(pair.k), c));
            return total;
          };
          if (from == DType::kI8 || added == DType::kI8 || to == DType::kI8) {
            expect_rows(out, [&](std::int64_t o, std::int64_t c) {
              const float x =
                  sum(o, c, bias.value(0, c), [](float total, float a, float b) { return plus(total, times(a, b)); });
              return std::max(plus(x, residual.value(o, c)), 0.0f);
            });
            continue;
          }
          expect_near_rows(
              out,
              [&](std::int64_t o, std::int64_t c) {
                const double start = static_cast<double>(bias.value(0, c)) + static_cast<double>(residual.value(o, c));
                return std::max(sum(o, c, start, [](double t, double a, double b) { return t + a * b; }), 0.0);
              },
              [&](std::int64_t o, std::int64_t c) {
                const double start = std::abs(static_cast<double>(bias.value(0, c))) +
                                     std::abs(static_cast<double>(residual.value(o, c)));
                return sum(o, c, start, [](double t, double a, double b) { return t + std::abs(a * b); });
              },
              11);
        }
}

TEST_F(NarrowPoolTest, BirdEyeView) {
  Coords coords;
  for (std::int64_t i = 0; i < 24; ++i) coords.push_back({i / 12, i % 12 / 6, i % 3, i % 4});
  coords = oracle::unique({coords.begin(), coords.end()});
  const SparseTensor x(coords_array(coords), Array({static_cast<std::int64_t>(coords.size()), 1}, DType::kF32));
  const BirdEyeView view{0, 2, 3, 3};
  for (const DType from : kNumberTypes)
    for (const DType to : kNumberTypes)
      for (const std::int64_t channels : {1, 9, 33}) {
        const Rows in = filled(from, coords.size(), channels, 1);
        Rows out(to, 18, 2 * channels, 1);
        kernels().bird_eye_view(context(), in.view(), x.map()->level(), view, out.view());
        std::map<std::pair<std::int64_t, std::int64_t>, std::size_t> row;  // of a pixel and a depth
        for (std::size_t i = 0; i < coords.size(); ++i)
          if (coords[i][3] < 3) row[{(coords[i][0] * 3 + coords[i][2]) * 3 + coords[i][3], coords[i][1]}] = i;
        expect_rows(out, [&](std::int64_t p, std::int64_t c) {
          const auto found = row.find({p, c % 2});
          return found == row.end() ? 0.0f : in.value(static_cast<std::int64_t>(found->second), c / 2);
        });
      }
}

}  // namespace
}  // namespace voxshift
