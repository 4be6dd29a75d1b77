// .bin and .npy: what is read, guessed and refused. Files are built byte by byte.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "point_file_bytes.h"

namespace voxshift {
namespace {

// .bin

TEST_F(PointFiles, BinKeepsEveryValue) {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> values = {1, 2, 3, 0.5F, 4, std::nanf(""), -inf, 0};
  const PointCloud scan = read_points(put("a.bin", bytes_of(values)));
  EXPECT_EQ(scan.columns, 4);
  EXPECT_EQ(scan.count(), 2);
  ASSERT_EQ(scan.points.size(), values.size());
  EXPECT_EQ(std::memcmp(scan.points.data(), values.data(), values.size() * sizeof(float)), 0);
}

TEST_F(PointFiles, BinColumns) {
  const fs::path path = put("a.BIN", bytes_of(std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}));
  EXPECT_EQ(read_points(path, 5).count(), 3);
  EXPECT_EQ(read_points(path, 5).columns, 5);
  // Without remission the fourth column is zero.
  const PointCloud three = read_points(path, 3);
  EXPECT_EQ(three.columns, 4);
  EXPECT_EQ(three.count(), 5);
  EXPECT_EQ(std::vector<float>(three.points.begin() + 4, three.points.begin() + 8), (std::vector<float>{3, 4, 5, 0}));
  EXPECT_THROW(read_points(path, 2), InvalidArgument);
  EXPECT_THROW(read_points(path, -4), InvalidArgument);
}

// Scans whose rows are 3 to 8 wide, in the order of a scan and shuffled, with remission of 0..1 and of 0..255.
TEST_F(PointFiles, BinColumnsAreSeen) {
  for (const float full : {1.0F, 255.0F})
    for (const std::size_t columns : {3, 4, 5, 6, 8})
      for (const bool shuffled : {false, true}) {
        std::mt19937 random(1);
        std::vector<std::vector<float>> rows;
        for (int i = 0; i < 4800; ++i) {
          const int beam = i / 150;
          const auto ring = static_cast<float>(beam);
          const float angle = static_cast<float>(i % 150) * 0.042F, far = 3 + ring * 1.5F;
          const float noise = static_cast<float>(random() % 1000) / 1000;
          const float row[] = {far * std::cos(angle),
                               far * std::sin(angle),
                               -1.7F + 0.1F * noise,
                               full * noise,
                               ring,
                               static_cast<float>(i) * 1e-5F,
                               0,
                               1};
          rows.emplace_back(row, row + columns);
        }
        if (shuffled) std::shuffle(rows.begin(), rows.end(), random);
        std::vector<float> values;
        for (const auto& row : rows) values.insert(values.end(), row.begin(), row.end());
        const PointCloud cloud = read_points(put("a.bin", bytes_of(values)));
        EXPECT_EQ(cloud.count(), 4800) << columns << (shuffled ? " shuffled " : " ") << full;
        EXPECT_EQ(cloud.notes.size(), columns == 4 ? 0U : 1U);
        EXPECT_EQ(read_points(folder_ / "a.bin", static_cast<int>(columns)).notes.size(), 0U);
      }
}

// Where the values show nothing, a row is KITTI's.
TEST_F(PointFiles, BinOfNoiseHasFourColumns) {
  std::mt19937 random(2);
  std::vector<float> values(60000);
  for (float& value : values) value = static_cast<float>(random() % 20000) / 1000;
  EXPECT_EQ(read_points(put("a.bin", bytes_of(values))).count(), 15000);
  values.resize(4000 * 4 - 1);
  EXPECT_SAYS(refusal(put("a.bin", bytes_of(values))), "--columns");
}

// Bits of other types are floats, too, most of them finite.
TEST_F(PointFiles, BinOfOtherTypes) {
  std::mt19937 random(3);
  std::vector<float> floats;
  std::vector<double> doubles;
  std::vector<std::int16_t> shorts;
  std::string turned_floats;
  for (int i = 0; i < 20000; ++i) {
    const double value = static_cast<double>(random() % 160000) / 1600 - 50;
    doubles.push_back(value);
    floats.push_back(static_cast<float>(value));
    shorts.push_back(static_cast<std::int16_t>(random()));
    turned_floats += turned(bytes_of(std::vector<float>{floats.back()}));
  }
  EXPECT_EQ(read_points(put("a.bin", bytes_of(floats))).count(), 5000);
  EXPECT_SAYS(refusal(put("a.bin", turned_floats)), "numpy.fromfile(path, \">f4\")");
  EXPECT_SAYS(refusal(put("a.bin", bytes_of(doubles))), "numpy.fromfile(path, \"<f8\")");
  EXPECT_SAYS(refusal(put("a.bin", bytes_of(shorts))), "no float32 in rows");
  // Returns that are missing, times and ids are no other type.
  for (std::size_t i = 0; i < floats.size(); i += 4)
    for (std::size_t c = 0; c < 4; ++c)
      floats[i + c] = i % 12 == 0 ? std::nanf("") : i % 12 == 4 ? 0.0F : c == 3 ? 1.7e9F : floats[i + c];
  EXPECT_EQ(read_points(put("a.bin", bytes_of(floats)), 4).count(), 5000);
}

TEST_F(PointFiles, BinRefused) {
  EXPECT_SAYS(refusal(put("empty.bin", "")), "empty");
  EXPECT_SAYS(refusal(put("three.bin", "abc")), "3 bytes");
  const std::string cut = refusal(put("cut.bin", std::string(37, 'x')));
  EXPECT_SAYS(cut, "37 bytes");
  EXPECT_SAYS(cut, "16");
  EXPECT_SAYS(cut, "--columns");
  EXPECT_SAYS(refusal(put("five.bin", std::string(20, '\0'))), "--columns");
  EXPECT_SAYS(refusal(folder_ / "none.bin"), "No such file");
  fs::create_directory(folder_ / "folder.bin");
  EXPECT_SAYS(refusal(folder_ / "folder.bin"), "not a file");
  EXPECT_SAYS(refusal(put("a.txt", "1 2 3")), ".bin, .npy, .ply or .pcd");
  for (const auto& [name, tool] : std::vector<std::pair<std::string, std::string>>{
           {"a.las", "pdal"}, {"a.LAZ", "pdal"}, {"a.e57", "pdal"}, {"a.bag", "pcl_ros"}, {"a.csv", "numpy"}})
    EXPECT_SAYS(refusal(put(name, "x")), tool);
}

// .npy

TEST_F(PointFiles, NpyFormatsAndTypes) {
  const std::string f4 = bytes_of(std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8});
  const std::string f8 = bytes_of(std::vector<double>{1, 2, 3, 4, 5, 6, 7, 8});
  for (const char major : {'\1', '\2', '\3'}) {
    const PointCloud a =
        read_points(put("a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4), }\n", f4, major)));
    const PointCloud b =
        read_points(put("b.npy", npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 4), }\n", f8, major)));
    EXPECT_EQ(a.points, (std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8}));
    EXPECT_EQ(b.points, a.points);
    EXPECT_EQ(a.columns, 4);
  }
}

TEST_F(PointFiles, NpyEmptyArrayIsAnEmptyScan) {
  const PointCloud scan =
      read_points(put("a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4), }\n", "")));
  EXPECT_EQ(scan.count(), 0);
}

TEST_F(PointFiles, NpyThreeColumnsGainZeros) {
  const std::string data = bytes_of(std::vector<float>{1, 2, 3, 4, 5, 6});
  const PointCloud scan =
      read_points(put("a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", data)));
  EXPECT_EQ(scan.points, (std::vector<float>{1, 2, 3, 0, 4, 5, 6, 0}));
}

TEST_F(PointFiles, NpyOfEveryType) {
  const std::vector<float> expected = {1, 2, 3, 4, 5, 6, 7, 100};
  const std::pair<std::string, std::function<std::string(double)>> types[] = {
      {"i1", type_of<std::int8_t>("", "").bytes},  {"u1", type_of<std::uint8_t>("", "").bytes},
      {"i2", type_of<std::int16_t>("", "").bytes}, {"u2", type_of<std::uint16_t>("", "").bytes},
      {"i4", type_of<std::int32_t>("", "").bytes}, {"u4", type_of<std::uint32_t>("", "").bytes},
      {"i8", type_of<std::int64_t>("", "").bytes}, {"u8", type_of<std::uint64_t>("", "").bytes},
      {"f4", type_of<float>("", "").bytes},        {"f8", type_of<double>("", "").bytes}};
  for (const auto& [name, bytes] : types)
    for (const char order : {'<', '>'})
      for (const bool by_columns : {false, true}) {
        std::string data;
        for (std::size_t i = 0; i < 8; ++i) {
          const std::string value = bytes(expected[by_columns ? i % 2 * 4 + i / 2 : i]);
          data += order == '<' ? value : turned(value);
        }
        const std::string header = std::string("{'descr': '") + order + name +
                                   "', 'fortran_order': " + (by_columns ? "True" : "False") + ", 'shape': (2, 4), }\n";
        EXPECT_EQ(read_points(put("a.npy", npy(header, data))).points, expected) << header;
      }
  // Halves: 1, 2, 3, -0.5; 2^-24, the least; 65504, the most; 0; infinity.
  const std::vector<std::uint16_t> halves = {0x3C00, 0x4000, 0x4200, 0xB800, 0x0001, 0x7BFF, 0x8000, 0x7C00};
  EXPECT_EQ(
      read_points(put("a.npy", npy("{'descr': '<f2', 'fortran_order': False, 'shape': (2, 4), }\n", bytes_of(halves))))
          .points,
      (std::vector<float>{1, 2, 3, -0.5F, 5.9604645e-8F, 65504, 0, std::numeric_limits<float>::infinity()}));
}

TEST_F(PointFiles, NpyOfColumnsIsTurned) {
  std::vector<float> values(4 * 100);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const PointCloud cloud = read_points(
      put("a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4, 100), }\n", bytes_of(values))));
  EXPECT_EQ(cloud.count(), 100);
  EXPECT_EQ(std::vector<float>(cloud.points.begin() + 4, cloud.points.begin() + 8),
            (std::vector<float>{1, 101, 201, 301}));
  ASSERT_EQ(cloud.notes.size(), 1U);
  EXPECT_SAYS(cloud.notes[0], "(4, 100)");
}

TEST_F(PointFiles, NpyRefused) {
  const std::string data(32, '\0');
  const auto with = [&](const std::string& dictionary) { return refusal(put("a.npy", npy(dictionary, data))); };
  EXPECT_SAYS(with("{'descr': '<c8', 'fortran_order': False, 'shape': (2, 4), }"), "'<c8'");
  EXPECT_SAYS(with("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (2,), }"), "structured_to_unstructured");
  EXPECT_SAYS(with("{'descr': '|O', 'fortran_order': False, 'shape': (2, 4), }"), "'|O'");
  EXPECT_SAYS(with("{'descr': '<f4', 'fortran_order': False, 'shape': (8,), }"), "(8,)");
  EXPECT_SAYS(with("{'descr': '<f4', 'fortran_order': False, 'shape': (4, 2), }"), "(4, 2)");
  EXPECT_SAYS(with("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 4), }"), "(1, 2, 4)");
  EXPECT_SAYS(with("{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 4), }"), "(-2, 4)");
  EXPECT_SAYS(with("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }"), "32 bytes of data");
  EXPECT_SAYS(with("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 4), }"), "32 bytes of data");
  // Claims whose product overflows, or that only a huge allocation could meet.
  EXPECT_SAYS(with("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387906, 4), }"),
              "32 bytes of data");
  EXPECT_SAYS(with("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 4), }"), "shape");
  EXPECT_SAYS(with("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4611686018427387904), }"), "shape");
  EXPECT_SAYS(with("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4"), "shape");
  EXPECT_SAYS(with("{'descr': '<f4', 'fortran_order': False}"), "lacks");
  EXPECT_SAYS(with(""), "lacks");
  EXPECT_SAYS(refusal(put("a.npy", "")), "empty");
  EXPECT_SAYS(refusal(put("a.npy", "\x93NUMPY")), "no .npy");
  EXPECT_SAYS(refusal(put("a.npy", "these are twenty bytes")), "does not start");
  EXPECT_SAYS(refusal(put("a.npy", npy("{}", data, 4))), "does not start");
  EXPECT_SAYS(refusal(put("a.npy", std::string("\x93NUMPY\2\0\xFF\xFF\xFF\xFF{}", 14))), "claims 4294967295 bytes");
}

// Coordinates and remission of every type, each beside fields of other types, in every format.
// UTM: a float32 would round 4,300,000.25 to 4,300,000.5.

}  // namespace
}  // namespace voxshift
