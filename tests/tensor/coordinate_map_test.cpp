// Packed keys, their sort, and looking coordinates up.
#include <gtest/gtest.h>
#include <voxshift/tensor/coordinate_map.h>
#include <voxshift/tensor/kernels.h>

#include <algorithm>
#include <limits>
#include <map>
#include <random>

#include "device_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

constexpr std::int64_t kLowest = std::numeric_limits<std::int32_t>::min();
constexpr std::int64_t kHighest = std::numeric_limits<std::int32_t>::max();

Coordinate packed(const oracle::Coord& c) {
  Coordinate result{};
  std::copy(c.begin(), c.end(), result.begin());
  return result;
}

TEST(KeyLayout, KeysAscendAsCoordinatesDoAndUnpack) {
  for (int dims = 1; dims <= 4; ++dims) {
    const auto coords = test_data::cloud(dims, 200, 1);
    oracle::Coord lowest = coords[0], highest = coords[0];
    for (const auto& c : coords)
      for (std::size_t a = 0; a < c.size(); ++a) {
        lowest[a] = std::min(lowest[a], c[a]);
        highest[a] = std::max(highest[a], c[a]);
      }
    const KeyLayout layout(dims + 1, packed(lowest), packed(highest));
    std::int64_t last = -1;
    for (const auto& c : coords) {
      const Coordinate from = packed(c);
      EXPECT_TRUE(layout.contains(from.data()));
      const std::int64_t key = layout.pack(from.data());
      EXPECT_GT(key, last);
      EXPECT_LT(key, std::int64_t{1} << layout.bits());
      last = key;
      Coordinate back{};
      layout.unpack(key, back.data());
      EXPECT_EQ(back, from);
    }
    for (int axis = 0; axis <= dims; ++axis) {
      Coordinate outside = packed(lowest);
      --outside[static_cast<std::size_t>(axis)];
      EXPECT_FALSE(layout.contains(outside.data()));
      outside = packed(highest);
      ++outside[static_cast<std::size_t>(axis)];
      EXPECT_FALSE(layout.contains(outside.data()));
    }
  }
}

TEST(KeyLayout, SpatialFieldsHaveASpareBit) {
  for (const std::int64_t extent : {1, 2, 3, 4, 5, 255, 256, 257}) {
    const KeyLayout layout(4, {0, -7, 0, 0}, {0, static_cast<std::int32_t>(extent) - 8, 0, 0});
    EXPECT_EQ(layout.extent(1), extent);
    EXPECT_GE(std::int64_t{1} << layout.width(1), 2 * extent) << extent;
    EXPECT_LT(std::int64_t{1} << layout.width(1), 4 * extent) << extent;
  }
}

TEST(KeyLayout, SixtyThreeBitsAndNoMore) {
  const std::int32_t million = 1 << 20;
  const KeyLayout full(4, {0, 0, -million / 2, 5}, {0, million - 1, million / 2 - 1, million + 4});
  EXPECT_EQ(full.bits(), 63);
  expect_throw(
      [&] {
        KeyLayout(4, {0, 0, 0, 0}, {1, million - 1, million - 1, million - 1});
      },
      {"[coordinates]", "64", "63"});
  expect_throw([&] { KeyLayout(4, {0, 0, 0, 0}, {0, million, million - 1, million - 1}); }, {"[coordinates]", "64"});
  const auto low = static_cast<std::int32_t>(kLowest), high = static_cast<std::int32_t>(kHighest);
  EXPECT_EQ(KeyLayout(2, {0, low}, {0, high}).bits(), 33);
  expect_throw([&] { KeyLayout(5, {0, low, low, low, low}, {high, high, high, high, high}); }, {"[coordinates]"});
}

class CoordinateMapTest : public DeviceTest {
 protected:
  SparseTensor cloud(const oracle::Coords& coords) const { return tensor(coords, oracle::Matrix(coords.size(), 1)); }

  // find() against a std::map, for every coordinate and all its neighbours.
  void expect_found(const oracle::Coords& coords) const {
    std::map<oracle::Coord, std::int32_t> row;
    for (std::size_t i = 0; i < coords.size(); ++i) row[coords[i]] = static_cast<std::int32_t>(i);
    const int dims = static_cast<int>(coords[0].size()) - 1;
    oracle::Coords queries;
    for (const auto& offset : oracle::offsets(test_data::cube(dims, 3)))
      for (const auto& c : coords) {
        const auto query = oracle::input_of(c, offset, test_data::cube(dims, 3));
        if (std::all_of(query.begin(), query.end(), [](auto v) { return v >= kLowest && v <= kHighest; }))
          queries.push_back(query);
      }
    const auto rows = host<std::int32_t>(cloud(coords).map()->find(array(queries, dims)));
    ASSERT_EQ(rows.size(), queries.size());
    for (std::size_t q = 0; q < queries.size(); ++q) {
      const auto at = row.find(queries[q]);
      ASSERT_EQ(rows[q], at == row.end() ? -1 : at->second) << ::testing::PrintToString(queries[q]);
    }
  }
};
VOXSHIFT_FOR_EACH_DEVICE(CoordinateMapTest);

TEST_P(CoordinateMapTest, FindsWhatIsThereAndNothingElse) {
  for (int dims = 1; dims <= 4; ++dims) expect_found(test_data::cloud(dims, 700, 2));
}

TEST_P(CoordinateMapTest, EdgesOfTheKey) {
  expect_found({{0, 0, 0, 0}});
  expect_found({{7, kHighest, kLowest, 0}});
  expect_found({{0, kLowest, 0}, {0, kHighest, 0}});
  expect_found(test_data::cloud(3, 100, 3, kHighest - 40));
  expect_found(test_data::cloud(3, 100, 3, kLowest));
  oracle::Coords full;         // a full box of a power of two: the last cell of one row and the first of the next are
  for (int x = 0; x < 4; ++x)  // neighbours only to a key without a spare bit
    for (int y = 0; y < 4; ++y)
      for (int z = 0; z < 4; ++z) full.push_back({0, x, y, z});
  expect_found(full);
}

TEST_P(CoordinateMapTest, EmptyMapAndEmptyQuery) {
  const SparseTensor none(array(oracle::Coords{}, 3), array(oracle::Matrix(0, 1), {0, 1}));
  EXPECT_EQ(host<std::int32_t>(none.map()->find(array({{0, 0, 0, 0}}, 3))), (std::vector<std::int32_t>{-1}));
  EXPECT_TRUE(host<std::int32_t>(cloud({{0, 1, 2}}).map()->find(array(oracle::Coords{}, 2))).empty());
}

TEST_P(CoordinateMapTest, WrongQueriesAreRefused) {
  const auto map = cloud({{0, 1, 2}}).map();
  expect_throw([&] { map->find(array({{0, 1, 2, 3}}, 3)); }, {"[find]", "i32 [M, 3]", "[1, 4]"});
  expect_throw([&] { map->find(array({1, 2, 3}, {1, 3})); }, {"[find]", "f32"});
}

class SortTest : public DeviceTest {};
VOXSHIFT_FOR_EACH_DEVICE(SortTest);

// Against std::map: unique keys, the first index of each, the place of each; for key widths of one to six digits and
// counts below and above what one chunk of a thread holds.
TEST_P(SortTest, SortsDropsRepeatsAndTellsWhereKeysWent) {
  std::mt19937_64 random(5);
  for (const int bits : {1, 7, 11, 12, 23, 40, 63})
    for (const std::size_t n : {1, 2, 100, 30000}) {
      SCOPED_TRACE(std::to_string(n) + " keys of " + std::to_string(bits) + " bits");
      std::vector<std::int64_t> keys(n);
      for (auto& key : keys) key = static_cast<std::int64_t>(random() >> (64 - bits));
      for (std::size_t i = 0; i < n; i += 3) keys[i] = keys[random() % n];  // some repeats at any width
      std::map<std::int64_t, std::int32_t> first_of;
      for (std::size_t i = 0; i < n; ++i) first_of.emplace(keys[i], static_cast<std::int32_t>(i));
      for (const int threads : {1, 3}) {
        Arena arena(device());
        const Context context{device(), nullptr, threads, &arena};
        Array sorted = Array::from(keys, {static_cast<std::int64_t>(n)}).to(device());
        if (device().kind == Device::Kind::kCpu) sorted = Array::from(keys, {static_cast<std::int64_t>(n)});
        Array plain = Array::from(keys, {static_cast<std::int64_t>(n)}).to(device());
        Array first({static_cast<std::int64_t>(n)}, DType::kI32, device());
        Array inverse({static_cast<std::int64_t>(n)}, DType::kI32, device());
        const auto& kernels = coordinate_kernels(device());
        const auto unique = kernels.sort_unique(context, sorted.data<std::int64_t>(), static_cast<std::int64_t>(n),
                                                bits, first.data<std::int32_t>(), inverse.data<std::int32_t>());
        ASSERT_EQ(unique, static_cast<std::int64_t>(first_of.size()));
        ASSERT_EQ(kernels.sort_unique(context, plain.data<std::int64_t>(), static_cast<std::int64_t>(n), bits, nullptr,
                                      nullptr),
                  unique);
        const auto found = host<std::int64_t>(sorted), alone = host<std::int64_t>(plain);
        const auto firsts = host<std::int32_t>(first), places = host<std::int32_t>(inverse);
        std::size_t u = 0;
        for (const auto& [key, index] : first_of) {
          ASSERT_EQ(found[u], key);
          ASSERT_EQ(alone[u], key);
          ASSERT_EQ(firsts[u++], index);
        }
        for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(found[static_cast<std::size_t>(places[i])], keys[i]);
      }
    }
}

}  // namespace
}  // namespace voxshift
