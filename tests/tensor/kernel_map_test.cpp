// Kernel maps and output coordinates: by cursors, by the hash, and by the oracle.
#include <gtest/gtest.h>
#include <voxshift/kernels_cpu/pair_lists.h>
#include <voxshift/sparse_conv/conv.h>

#include <algorithm>
#include <array>
#include <limits>
#include <type_traits>

#include "device_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

constexpr std::int64_t kLowest = std::numeric_limits<std::int32_t>::min();
constexpr std::int64_t kHighest = std::numeric_limits<std::int32_t>::max();

bool in_32_bits(const oracle::Coord& c) {
  return std::all_of(c.begin(), c.end(), [](auto v) { return v >= kLowest && v <= kHighest; });
}

class KernelMapTest : public DeviceTest {
 protected:
  SparseTensor cloud(const oracle::Coords& coords, const std::vector<int>& shape = {}) const {
    SparseTensor::Options options;
    if (!shape.empty()) options.shape = extents(shape);
    return tensor(coords, oracle::Matrix(coords.size(), 1), options);
  }

  // The map as CoordinateMap::find gives it.
  std::vector<oracle::Pair> by_hash(const SparseTensor& x, const oracle::Coords& outputs,
                                    const oracle::Window& w) const {
    oracle::Coords queries;
    std::vector<oracle::Pair> asked, found;
    const auto offsets = oracle::offsets(w);
    for (std::size_t k = 0; k < offsets.size(); ++k)
      for (std::size_t o = 0; o < outputs.size(); ++o) {
        const auto query = oracle::input_of(outputs[o], offsets[k], w);
        if (!in_32_bits(query)) continue;
        queries.push_back(query);
        asked.push_back({k, 0, o});
      }
    const auto rows = host<std::int32_t>(x.map()->find(array(queries, x.dims())));
    for (std::size_t q = 0; q < rows.size(); ++q)
      if (rows[q] >= 0) found.push_back({asked[q].k, static_cast<std::size_t>(rows[q]), asked[q].out});
    return found;
  }

  void expect_map(const oracle::Coords& coords, const oracle::Window& w, const std::vector<int>& shape = {}) const {
    SCOPED_TRACE(describe(w));
    const SparseTensor x = cloud(coords, shape);
    const ConvOptions options = options_of(w);
    const auto outputs = oracle::outputs(coords, w, shape);
    const Window window = make_window("test", x.dims(), options);
    const Coordinates grid = output_coordinates(x, window);
    ASSERT_EQ(coords_of(grid.map()->coords()), outputs);
    const auto flat = host<std::int32_t>(kernel_map(x, options));
    std::vector<oracle::Pair> pairs;
    for (std::size_t i = 0; i < flat.size(); i += 3)
      pairs.push_back({static_cast<std::size_t>(flat[i]), static_cast<std::size_t>(flat[i + 1]),
                       static_cast<std::size_t>(flat[i + 2])});
    const auto expected = oracle::pairs(coords, outputs, w);
    ASSERT_EQ(pairs.size(), expected.size());
    ASSERT_TRUE(pairs == expected);
    ASSERT_TRUE(by_hash(x, outputs, w) == expected);
  }
};
VOXSHIFT_FOR_EACH_DEVICE(KernelMapTest);

TEST(TestData, WindowsHoldNeighbours) {
  for (int dims = 1; dims <= 4; ++dims) {
    const auto coords = test_data::cloud(dims, 3000, 1);
    ASSERT_EQ(coords.size(), 3000U);
    const double neighbours =
        static_cast<double>(oracle::pairs(coords, coords, test_data::cube(dims, 3)).size()) / 3000.0;
    EXPECT_GE(neighbours, 2.5) << dims;
    EXPECT_LE(neighbours, 9.0) << dims;
  }
}

TEST_P(KernelMapTest, OffsetsAreRowMajorOddOnesCentred) {
  const auto offset = [](const oracle::Window& w, int k) { return make_window("test", 2, options_of(w)).offset(k); };
  using Extents = Window::Extents;
  const oracle::Window odd{{3, 5}, {1, 1}, {1, 2}, {0, 0}};
  EXPECT_EQ(offset(odd, 0), (Extents{-1, -4, 0, 0}));
  EXPECT_EQ(offset(odd, 1), (Extents{-1, -2, 0, 0}));
  EXPECT_EQ(offset(odd, 7), (Extents{0, 0, 0, 0}));
  EXPECT_EQ(offset(odd, 14), (Extents{1, 4, 0, 0}));
  const oracle::Window even{{2, 4}, {2, 2}, {3, 1}, {0, 0}};
  EXPECT_EQ(offset(even, 0), (Extents{0, 0, 0, 0}));
  EXPECT_EQ(offset(even, 5), (Extents{3, 1, 0, 0}));
  EXPECT_EQ(offset(test_data::bounded(odd, 1), 0), (Extents{-1, -1, 0, 0}));
  EXPECT_EQ(offset(test_data::bounded(odd, 1), 14), (Extents{1, 7, 0, 0}));
}

TEST_P(KernelMapTest, FloorWindowsOnEveryDimension) {
  for (int dims = 1; dims <= 4; ++dims)
    for (const auto& w : test_data::floor_windows(dims)) expect_map(test_data::cloud(dims, 160, 4), w);
}

TEST_P(KernelMapTest, BoundedWindowsOnEveryDimension) {
  for (int dims = 1; dims <= 4; ++dims) {
    const auto coords = test_data::cloud(dims, 90, 5, 0);
    for (const auto& w : test_data::bounded_windows(dims)) expect_map(coords, w, test_data::shape_of(coords));
  }
}

TEST_P(KernelMapTest, BoundedAtStrideOneDilates) {
  const oracle::Coords one = {{0, 2, 2}};
  const auto w = test_data::bounded(test_data::cube(2, 3), 1);
  EXPECT_EQ(oracle::outputs(one, w, {5, 5}).size(), 9U);
  expect_map(one, w, {5, 5});
  expect_map({{0, 0, 0}, {0, 4, 4}}, w, {5, 5});
}

TEST_P(KernelMapTest, MoreThanOneChunkOfRows) {
  expect_map(test_data::cloud(3, 9001, 6), test_data::cube(3, 3));
  expect_map(test_data::cloud(3, 9001, 6), test_data::cube(3, 2, 2));
  const auto coords = test_data::cloud(2, 9001, 6, 0);
  expect_map(coords, test_data::bounded(test_data::cube(2, 3, 1), 1), test_data::shape_of(coords));
}

TEST_P(KernelMapTest, CloudsAtTheEdgesOfTheKey) {
  oracle::Coords full, plane, line;
  for (int x = 0; x < 4; ++x)
    for (int y = 0; y < 4; ++y) {
      plane.push_back({0, x, 9, y});
      for (int z = 0; z < 4; ++z) full.push_back({0, x, y, z});
    }
  for (int z = -8; z < 8; ++z) line.push_back({2, 5, -5, z});
  const std::vector<oracle::Coords> clouds = {
      {{0, 0, 0, 0}},
      {{3, -1, -1, -1}},
      full,
      plane,
      line,
      {{0, 0, 0, 7}, {0, 0, 1, 0}, {0, 0, 1, 7}, {0, 1, 0, 0}},          // carries of z into y and of y into x
      {{0, 7, 7, 7}, {1, 0, 0, 0}},                                      // of x into the batch
      {{0, 0, 0, 0}, {0, 0, 0, 1 << 20}, {0, 0, 1 << 20, 0}},            // few points, wide
      {{0, 0, 0, 0}, {0, (1 << 20) - 1, (1 << 20) - 1, (1 << 20) - 1}},  // all 63 bits
      test_data::cloud(3, 60, 7, 2000000000),
      test_data::cloud(3, 60, 7, -2000000000),
      test_data::cloud(3, 60, 7, kLowest + 40),
      test_data::cloud(3, 60, 7, kHighest - 60),
  };
  for (const auto& coords : clouds) {
    SCOPED_TRACE(::testing::PrintToString(coords[0]));
    for (const int size : {1, 2, 3, 5})
      for (const int stride : {1, 2})
        for (const int dilation : {1, 2, 7}) expect_map(coords, test_data::cube(3, size, stride, dilation));
  }
}

TEST_P(KernelMapTest, NegativeCoordinatesRoundDown) {
  const auto x = cloud({{0, -4}, {0, -3}, {0, -1}, {0, 0}, {0, 3}});
  const auto grid = output_coordinates(x, make_window("test", 1, options_of(test_data::cube(1, 3, 3))));
  EXPECT_EQ(coords_of(grid.map()->coords()), (oracle::Coords{{0, -2}, {0, -1}, {0, 0}, {0, 1}}));
}

TEST_P(KernelMapTest, SplitsAreTheFirstPairsOfEverySplit) {
  if (device().kind != Device::Kind::kCpu) return;  // splits of other backends lie in their memory
  const auto coords = test_data::cloud(3, 3000, 8);
  for (const auto& w : {test_data::cube(3, 3), test_data::cube(3, 2, 2), test_data::cube(3, 3, 2)}) {
    const SparseTensor x = cloud(coords);
    const Window window = make_window("test", 3, options_of(w));
    const Coordinates grid = output_coordinates(x, window);
    const auto map = x.cache()->kernel_map(x.map(), grid.map(), window);
    EXPECT_EQ(map->forward().in_rows, x.size());
    EXPECT_EQ(map->forward().out_rows, grid.map()->size());
    EXPECT_EQ(map->transposed().in_rows, grid.map()->size());
    EXPECT_EQ(map->transposed().out_rows, x.size());
    for (const KernelMapView& view : {map->forward(), map->transposed()}) {
      const auto lists = view.layout.as<cpu::PairLists>();
      for (int k = 0; k < view.volume; ++k)
        for (std::int64_t s = 0; s <= (view.out_rows + cpu::kSplitRows - 1) / cpu::kSplitRows; ++s) {
          std::int32_t first = 0;
          while (first < lists.pairs[k].count && lists.pairs[k].out[first] < s * cpu::kSplitRows) ++first;
          ASSERT_EQ(lists.splits[s * view.volume + k], first) << "offset " << k << ", split " << s;
        }
    }
  }
}

TEST(MapLayout, GivesBackWhatWasPutIn) {
  using Kept = std::array<const void*, 4>;
  const int places[4] = {};
  const Kept kept{&places[0], &places[1], &places[2], &places[3]};
  const KernelMapView view{1, 2, 3, MapLayout(kept)};
  KernelMapView copy;
  EXPECT_EQ(copy.layout.as<Kept>(), Kept{});
  copy = view;
  EXPECT_EQ(copy.layout.as<Kept>(), kept);
  EXPECT_EQ(MapLayout(short{-3}).as<short>(), -3);
  static_assert(std::is_trivially_copyable_v<KernelMapView>);
}

TEST(ListStarts, PairsBeyond32Bits) {
  constexpr std::int64_t kMany = kHighest;
  const std::vector<cpu::PairList> lists{{nullptr, nullptr, kMany}, {nullptr, nullptr, kMany}, {nullptr, nullptr, 3}};
  std::vector<std::int64_t> starts(lists.size());
  EXPECT_EQ(cpu::list_starts(lists, starts.data()), 2 * kMany + 3);
  EXPECT_EQ(starts, (std::vector<std::int64_t>{0, kMany, 2 * kMany}));
  EXPECT_EQ(cpu::list_starts({}, nullptr), 0);
}

TEST_P(KernelMapTest, SameMapOnAnyNumberOfThreads) {
  const auto coords = test_data::cloud(3, 30000, 9);
  for (const auto& w : {test_data::cube(3, 3), test_data::cube(3, 2, 2)}) {
    set_num_threads(1);
    const Array expected = kernel_map(cloud(coords), options_of(w));
    for (const int threads : {1, 2, 3})
      for (int run = 0; run < 4; ++run) {
        set_num_threads(threads);
        expect_same_bits(kernel_map(cloud(coords), options_of(w)), expected);
      }
  }
}

TEST_P(KernelMapTest, LayersShareMapsAndCoordinates) {
  const auto x = cloud(test_data::cloud(3, 100, 10));
  const auto fine = make_window("test", 3, options_of(test_data::cube(3, 3)));
  const auto down = make_window("test", 3, options_of(test_data::cube(3, 2, 2)));
  const auto wide = make_window("test", 3, options_of(test_data::cube(3, 3, 2)));
  EXPECT_EQ(output_coordinates(x, fine).map(), x.map()) << "a submanifold convolution keeps the coordinates";
  EXPECT_EQ(output_coordinates(x, down).map(), output_coordinates(x, down).map());
  EXPECT_EQ(output_coordinates(x, down).map(), output_coordinates(x, wide).map())
      << "with floor the stride alone decides";
  const auto third = test_data::cube(3, 2, 3);
  EXPECT_EQ(coords_of(output_coordinates(x, make_window("test", 3, options_of(third))).map()->coords()),
            oracle::floor_outputs(coords_of(x.coords()), third))
      << "another stride has other coordinates";
  EXPECT_EQ(x.cache()->kernel_map(x.map(), x.map(), fine), x.cache()->kernel_map(x.map(), x.map(), fine));
  EXPECT_NE(x.cache()->kernel_map(x.map(), output_coordinates(x, down).map(), down),
            x.cache()->kernel_map(x.map(), output_coordinates(x, down).map(), wide));
}

TEST_P(KernelMapTest, EmptyCloud) {
  for (const auto& w :
       {test_data::cube(3, 3), test_data::cube(3, 2, 2), test_data::bounded(test_data::cube(3, 3), 1)}) {
    SparseTensor::Options options;
    options.shape = extents({8, 8, 8});
    const SparseTensor none(array(oracle::Coords{}, 3), array(oracle::Matrix(0, 1), {0, 1}), options);
    EXPECT_EQ(kernel_map(none, options_of(w)).shape(), (Shape{0, 3}));
  }
}

TEST_P(KernelMapTest, CoordinatesThatLeave32BitsAreRefused) {
  const auto highest = cloud({{0, kHighest, 0, 0}}), lowest = cloud({{0, kLowest, 0, 0}});
  expect_throw([&] { kernel_map(highest, options_of(test_data::cube(3, 3))); }, {"[kernel_map]", "32 bits"});
  expect_throw([&] { kernel_map(lowest, options_of(test_data::cube(3, 3))); }, {"[kernel_map]", "32 bits"});
  EXPECT_EQ(kernel_map(highest, options_of(test_data::cube(3, 1))).dim(0), 1);
  expect_throw([&] { cloud({{0, 0, 0, 0}, {0, 1 << 20, 1 << 20, 1 << 20}}); }, {"[coordinates]", "63"});
}

TEST_P(KernelMapTest, ShapesThatLeave32BitsAreRefused) {
  const SparseTensor x = tensor({{0, 0}}, oracle::Matrix(1, 1), {.shape = extents({INT32_MAX})});
  Window window = make_window("test", 1, options_of(test_data::bounded(test_data::cube(1, 1), 0)));
  EXPECT_EQ((*output_coordinates(x, window).shape())[0], INT32_MAX);
  window.pad[0] = 1;
  expect_throw([&] { output_coordinates(x, window); }, {"[conv]", "axis 0", "padding 1", "2^31 - 1"});
}

TEST_P(KernelMapTest, WrongWindowsAreRefused) {
  const auto x = cloud({{0, 0, 0, 0}});
  const auto refused = [&](const std::function<void(ConvOptions&)>& change, const std::string& part) {
    ConvOptions options;
    change(options);
    expect_throw([&] { kernel_map(x, options); }, {"[kernel_map]", part});
  };
  refused([](auto& o) { o.kernel_size = {}; }, "kernel_size");
  refused([](auto& o) { o.kernel_size = {3, 3}; }, "kernel_size expects 1 or 3 values, found 2");
  refused([](auto& o) { o.stride = {1, 1, 1, 1}; }, "stride expects 1 or 3 values, found 4");
  refused([](auto& o) { o.dilation = {1, 2}; }, "dilation expects 1 or 3 values");
  refused([](auto& o) { o.padding = {0, 0}; }, "padding expects 1 or 3 values");
  refused([](auto& o) { o.kernel_size = {3, 0, 3}; }, "kernel size of axis 1");
  refused([](auto& o) { o.stride = {0}; }, "stride of axis 0");
  refused([](auto& o) { o.stride = {1, 1, -2}; }, "stride of axis 2");
  refused([](auto& o) { o.dilation = {0}; }, "dilation of axis 0");
  refused([](auto& o) { o.stride = {1 << 20}; }, "stride of axis 0");
  refused([](auto& o) { o.kernel_size = {17}; }, "4096");
  refused([](auto& o) { o.padding = {1}; }, "padding belongs to bounded");
  refused(
      [](auto& o) {
        o.kernel_size = {1, 1, 4096};
        o.dilation = {(1 << 20) - 1};
      },
      "kernel size 4096 of axis 2 with dilation 1048575 spans more than 2^31 - 1 cells");
  refused(
      [](auto& o) {
        o.semantics = Semantics::kBounded;
        o.padding = {-1};
      },
      "padding of axis 0");
}

}  // namespace
}  // namespace voxshift
