// Point cloud files: what is read and what is refused. Files are built byte by byte.
#include <lzf.h>
#include <voxshift/files/read_points.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "file_test.h"

namespace voxshift {
namespace {

using PointFiles = FileTest;

std::string refusal(const fs::path& path, std::optional<int> columns = {}) {
  return io_error(path, [&] { read_points(path, columns); });
}

std::string npy(const std::string& dictionary, const std::string& data, char major = 1) {
  std::string text = "\x93NUMPY";
  text += major;
  text += '\0';
  const auto size = static_cast<std::uint32_t>(dictionary.size());
  text.append(reinterpret_cast<const char*>(&size), major == 1 ? 2 : 4);
  return text + dictionary + data;
}

std::string ply(const std::string& format, const std::string& vertex, const std::string& body) {
  return "ply\nformat " + format + " 1.0\ncomment made by hand\n" + vertex + "end_header\n" + body;
}

const std::string kXyz = "property float x\nproperty float y\nproperty float z\n";

std::string pcd(const std::string& data, const std::string& body, int points = 2) {
  const std::string count = std::to_string(points);
  return "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z intensity\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1\nWIDTH " + count +
         "\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS " + count + "\nDATA " + data + "\n" + body;
}

/// The bytes of a value of each type that files have.
struct TypeOfFiles {
  std::string ply, pcd;  ///< empty: the format has none
  std::function<std::string(double)> bytes;
};

template <class T>
TypeOfFiles type_of(const std::string& ply, const std::string& pcd) {
  return {ply, pcd, [](double value) { return bytes_of(std::vector<T>{static_cast<T>(value)}); }};
}

std::vector<TypeOfFiles> types_of_files() {
  return {type_of<std::int8_t>("char", "I 1"),     type_of<std::int8_t>("int8", ""),
          type_of<std::uint8_t>("uchar", "U 1"),   type_of<std::uint8_t>("uint8", ""),
          type_of<std::int16_t>("short", "I 2"),   type_of<std::int16_t>("int16", ""),
          type_of<std::uint16_t>("ushort", "U 2"), type_of<std::uint16_t>("uint16", ""),
          type_of<std::int32_t>("int", "I 4"),     type_of<std::int32_t>("int32", ""),
          type_of<std::uint32_t>("uint", "U 4"),   type_of<std::uint32_t>("uint32", ""),
          type_of<std::int64_t>("int64", "I 8"),   type_of<std::uint64_t>("uint64", "U 8"),
          type_of<float>("float", "F 4"),          type_of<float>("float32", ""),
          type_of<double>("double", "F 8"),        type_of<double>("float64", "")};
}

std::string turned(std::string bytes) {
  std::reverse(bytes.begin(), bytes.end());
  return bytes;
}

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
          const auto ring = static_cast<float>(i / 150);
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

TEST_F(PointFiles, BinRefused) {
  EXPECT_SAYS(refusal(put("empty.bin", "")), "empty");
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
  EXPECT_SAYS(with("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (2,), }"), "[('x'");
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

// .ply and .pcd

TEST_F(PointFiles, PlyRefused) {
  const std::string three = bytes_of(std::vector<float>{1, 2, 3});
  const std::string two = "element vertex 2\n" + kXyz;
  const auto with = [&](const std::string& bytes) { return refusal(put("a.ply", bytes)); };
  EXPECT_SAYS(with(""), "empty");
  EXPECT_SAYS(with("1 2 3\n4 5 6\n"), "no PLY file");
  EXPECT_SAYS(with("ply is only the first word here\n"), "no PLY file");
  EXPECT_SAYS(with("ply\nformat binary_little_endian 1.0\nelement vertex 2\n" + kXyz), "no end_header");
  EXPECT_SAYS(with("ply\nformat binary_middle_endian 1.0\n"), "format");
  EXPECT_SAYS(with(ply("binary_little_endian", two, three)), "is cut");
  EXPECT_SAYS(with(ply("binary_big_endian", two, three + three.substr(1))), "is cut");
  EXPECT_SAYS(with(ply("binary_little_endian", "element vertex 9223372036854775807\n" + kXyz, three)), "is cut");
  // 2^62 + 1 rows of 12 bytes: the product wraps round to 12.
  EXPECT_SAYS(with(ply("binary_little_endian", "element vertex 4611686018427387905\n" + kXyz, three)), "is cut");
  EXPECT_SAYS(with(ply("binary_little_endian", "element vertex -1\n" + kXyz, three)), "COUNT");
  EXPECT_SAYS(with(ply("ascii", two, "1 2 3\n4 5\n")), "is cut");
  EXPECT_SAYS(with(ply("ascii", two, "1 2 3\n4 five 6\n")), "'five'");
  EXPECT_SAYS(with(ply("ascii", "element vertex 9223372036854775807\n" + kXyz, "1 2 3\n")), "is cut");
  EXPECT_SAYS(with(ply("ascii", "element vertex 1\nproperty float x\nproperty float y\n", "1 2\n")), "no field z");
  EXPECT_SAYS(with(ply("ascii", "element vertex 1\nproperty float x\n" + kXyz, "1 1 2 3\n")), "twice");
  EXPECT_SAYS(with(ply("ascii", "element vertex 1\nproperty quad x\n", "1\n")), "unknown type");
  EXPECT_SAYS(with(ply("ascii", "element vertex 1\n", "\n")), "no properties");
  EXPECT_SAYS(
      with(ply("ascii", "element vertex 1\nproperty uchar x\nproperty float y\nproperty float z\n", "256 0 0\n")),
      "'256'");
  EXPECT_SAYS(with(ply("ascii", "element vertex 1\nproperty int x\nproperty float y\nproperty float z\n", "0.5 0 0\n")),
              "'0.5'");
  EXPECT_SAYS(with("ply\nelement vertex 1\n" + kXyz + "end_header\n1 2 3\n"), "no format");
  EXPECT_SAYS(with(ply("ascii", "element corner 1\n" + kXyz, "1 2 3\n")), "no element vertex");
  const std::string faces = "element vertex 1\n" + kXyz + "element face 1\nproperty list uchar int vertex_indices\n";
  EXPECT_SAYS(with(ply("binary_little_endian", faces, three + "\3" + std::string(11, '\0'))), "is cut");
  EXPECT_SAYS(with(ply("binary_little_endian", faces, three + "\xFF" + std::string(11, '\0'))), "is cut");
  const std::string negative = "element vertex 1\n" + kXyz + "element face 1\nproperty list char int vertex_indices\n";
  EXPECT_SAYS(with(ply("binary_little_endian", negative, three + "\xFF" + std::string(11, '\0'))), "negative");
  EXPECT_SAYS(with(ply("ascii", two + "element vertex 0\n" + kXyz, "1 2 3\n4 5 6\n")), "vertex twice");
}

TEST_F(PointFiles, PcdRefused) {
  const std::string rows = bytes_of(std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8});
  const auto with = [&](const std::string& bytes) { return refusal(put("a.pcd", bytes)); };
  EXPECT_SAYS(with(""), "empty");
  EXPECT_SAYS(with("1 2 3\n"), "expected a PCD header");
  EXPECT_SAYS(with("# .PCD v0.7\nVERSION 0.7\n"), "no DATA line");
  EXPECT_SAYS(with(pcd("binary", rows.substr(1))), "is cut");
  EXPECT_SAYS(with(pcd("binary", rows, 2147483647)), "is cut");
  EXPECT_SAYS(with(pcd("ascii", "1 2 3 4\n")), "is cut");
  EXPECT_SAYS(with(pcd("ascii", "1 2 3 4\n1 2 3    \n")), "4 numbers");
  EXPECT_SAYS(with(pcd("ascii", "1 2 3 4\n1 2 3 4 5\n")), "4 numbers");
  EXPECT_SAYS(with(pcd("ascii", "1 2 3 4\n1 2 3 x\n")), "'x'");
  EXPECT_SAYS(with(pcd("packed", rows)), "DATA");
  EXPECT_SAYS(with(pcd("binary_compressed", "")), "is cut");
  EXPECT_SAYS(with(pcd("binary_compressed", bytes_of(std::vector<std::uint32_t>{100, 32}) + "short")), "is cut");
  EXPECT_SAYS(with(pcd("binary_compressed", bytes_of(std::vector<std::uint32_t>{5, 4000000000U}) + "short")),
              "unpacked");
  EXPECT_SAYS(with("FIELDS x y z\nSIZE 4 4\nTYPE F F F\nWIDTH 1\nHEIGHT 1\nPOINTS 1\nDATA ascii\n1 2 3\n"), "as many");
  EXPECT_SAYS(with("FIELDS x y w\nSIZE 4 4 4\nTYPE F F F\nWIDTH 1\nHEIGHT 1\nPOINTS 1\nDATA ascii\n1 2 3\n"),
              "x, y, z");
  EXPECT_SAYS(with("FIELDS x y z X\nSIZE 4 4 4 4\nTYPE F F F F\nWIDTH 1\nHEIGHT 1\nPOINTS 1\nDATA ascii\n1 2 3 4\n"),
              "twice");
  EXPECT_SAYS(with(pcd("binary_compressed", bytes_of(std::vector<std::uint32_t>{33, 32}) + std::string(33, '\xFF'))),
              "damaged");
  EXPECT_SAYS(with("FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH 2\nHEIGHT 2\nPOINTS 1\nDATA ascii\n1 2 3\n"), "WIDTH");
}

TEST_F(PointFiles, PlyOfEveryFormat) {
  const std::string vertex = "element vertex 2\n" + kXyz + "property float intensity\n";
  const std::vector<float> expected = {1, 2, 3, 0.5F, -4, 5.5F, 6, 0.25F};
  std::string big = bytes_of(expected);
  for (std::size_t i = 0; i < big.size(); i += 4)
    std::reverse(big.begin() + static_cast<long>(i), big.begin() + static_cast<long>(i) + 4);
  EXPECT_EQ(read_points(put("a.ply", ply("binary_little_endian", vertex, bytes_of(expected)))).points, expected);
  EXPECT_EQ(read_points(put("b.ply", ply("binary_big_endian", vertex, big))).points, expected);
  EXPECT_EQ(read_points(put("c.ply", ply("ascii", vertex, "1 2 3 0.5\n-4 +5.5 6e0 .25\n"))).points, expected);
}

TEST_F(PointFiles, RemissionByItsNames) {
  for (const std::string name : {"intensity", "Intensity", "REMISSION", "reflectance", "Reflectivity", "i",
                                 "scalar_intensity", "scalar_Reflectance", "amplitude"}) {
    const std::string vertex = "element vertex 1\n" + kXyz + "property uchar " + name + "\n";
    const PointCloud cloud = read_points(put("a.ply", ply("ascii", vertex, "1 2 3 200\n")));
    EXPECT_EQ(cloud.points, (std::vector<float>{1, 2, 3, 200})) << name;
    EXPECT_TRUE(cloud.has_remission) << name;
  }
  const PointCloud without = read_points(put("a.ply", ply("ascii", "element vertex 1\n" + kXyz, "1 nan 3\n")));
  EXPECT_EQ(without.points[3], 0);
  EXPECT_FALSE(without.has_remission);
  EXPECT_TRUE(std::isnan(without.points[1]));
  // Which of several is taken does not depend on their order.
  const std::string both = "element vertex 1\n" + kXyz + "property float reflectivity\nproperty float intensity\n";
  EXPECT_EQ(read_points(put("a.ply", ply("ascii", both, "1 2 3 8 9\n"))).points[3], 9);
}

// Coordinates and remission of every type, each beside fields of other types, in every format.
TEST_F(PointFiles, PlyOfEveryType) {
  const std::vector<float> expected = {100, 2, 3, 4, 5, 6, 7, 120};
  for (const TypeOfFiles& type : types_of_files()) {
    const std::string vertex = "element vertex 2\nproperty " + type.ply +
                               " x\nproperty float y\nproperty uchar nothing\n" + "property double z\nproperty " +
                               type.ply + " intensity\n";
    EXPECT_EQ(read_points(put("a.ply", ply("ascii", vertex, "100 2 9 3 4\n5 6 9 7 120\n"))).points, expected)
        << type.ply;
    std::string little, big;
    for (const auto& row : {std::vector<double>{100, 2, 9, 3, 4}, std::vector<double>{5, 6, 9, 7, 120}}) {
      const std::string values[] = {type.bytes(row[0]), type_of<float>("", "").bytes(row[1]),
                                    type_of<std::uint8_t>("", "").bytes(row[2]), type_of<double>("", "").bytes(row[3]),
                                    type.bytes(row[4])};
      for (const std::string& value : values) little += value, big += turned(value);
    }
    EXPECT_EQ(read_points(put("b.ply", ply("binary_little_endian", vertex, little))).points, expected) << type.ply;
    EXPECT_EQ(read_points(put("c.ply", ply("binary_big_endian", vertex, big))).points, expected) << type.ply;
  }
}

TEST_F(PointFiles, PcdOfEveryType) {
  const std::vector<float> expected = {100, 2, 3, 4, 5, 6, 7, 120};
  for (const TypeOfFiles& type : types_of_files()) {
    if (type.pcd.empty()) continue;
    const std::string kind = type.pcd.substr(0, 1), size = type.pcd.substr(2);
    const auto header = [&](const std::string& data) {
      return "VERSION .7\nFIELDS X _ Y Z Intensity _\nSIZE " + size + " 1 4 8 " + size + " 2\nTYPE " + kind +
             " U F F " + kind + " U\nCOUNT 1 3 1 1 1 2\nWIDTH 1\nHEIGHT 2\nDATA " + data + "\n";
    };
    EXPECT_EQ(read_points(put("a.pcd", header("ascii") + "100 0 0 0 2 3 4 0 0\n5 0 0 0 6 7 120 0 0\n")).points,
              expected)
        << type.pcd;
    const auto f32 = type_of<float>("", ""), f64 = type_of<double>("", "");
    const std::string pad3(3, 'p'), pad4(4, 'p');
    const std::string rows = type.bytes(100) + pad3 + f32.bytes(2) + f64.bytes(3) + type.bytes(4) + pad4 +
                             type.bytes(5) + pad3 + f32.bytes(6) + f64.bytes(7) + type.bytes(120) + pad4;
    EXPECT_EQ(read_points(put("b.pcd", header("binary") + rows)).points, expected) << type.pcd;
    // By field; the padding makes sure that LZF finds something to pack.
    const std::string fields = type.bytes(100) + type.bytes(5) + pad3 + pad3 + f32.bytes(2) + f32.bytes(6) +
                               f64.bytes(3) + f64.bytes(7) + type.bytes(4) + type.bytes(120) + pad4 + pad4;
    std::string packed(fields.size() + 64, '\0');
    packed.resize(lzf_compress(fields.data(), static_cast<unsigned>(fields.size()), packed.data(),
                               static_cast<unsigned>(packed.size())));
    ASSERT_GT(packed.size(), 0U);
    const std::string sizes = bytes_of(std::vector<std::uint32_t>{static_cast<std::uint32_t>(packed.size()),
                                                                  static_cast<std::uint32_t>(fields.size())});
    EXPECT_EQ(read_points(put("c.pcd", header("binary_compressed") + sizes + packed)).points, expected) << type.pcd;
  }
}

TEST_F(PointFiles, WhatPeoplesToolsWrite) {
  // Elements without properties (PCL 1.12), comments without text, and line ends of Windows.
  const std::vector<float> expected = {1, 2, 3, 0};
  const std::string vertex = "element vertex 1\n" + kXyz;
  EXPECT_EQ(read_points(put("a.ply", "ply\nformat ascii 1.0\ncomment\nobj_info\n" + vertex +
                                         "element face 0\nend_header\n1 2 3\n"))
                .points,
            expected);
  EXPECT_EQ(read_points(put("b.ply",
                            "ply\r\nformat ascii 1.0\r\nelement vertex 1\r\nproperty float x\r\nproperty float "
                            "y\r\nproperty float z\r\nend_header\r\n1 2 3\r\n"))
                .points,
            expected);
  EXPECT_EQ(
      read_points(put("c.ply", "ply\ncomment " + std::string(5000, 'x') + "\nformat binary_little_endian 1.0\n" +
                                   "element camera 1\nproperty list uchar float view\n" + vertex + "end_header\n" +
                                   "\2" + std::string(8, 'v') + bytes_of(std::vector<float>{1, 2, 3})))
          .points,
      expected);
  // Lists among the vertices' own values.
  const std::string listed =
      "element vertex 2\nproperty float x\nproperty list uchar short seen\nproperty float y\n"
      "property float z\n";
  EXPECT_EQ(read_points(put("d.ply", ply("ascii", listed, "1 2 7 8 2 3\n4 0 5 6\n"))).points,
            (std::vector<float>{1, 2, 3, 0, 4, 5, 6, 0}));
  // pcl_ros: padding called "_", twice; a field of no values.
  EXPECT_EQ(read_points(put("a.pcd",
                            "FIELDS x y z _ intensity _\nSIZE 4 4 4 1 4 1\nTYPE F F F U F U\nCOUNT 1 1 1 4 1 "
                            "12\nWIDTH 1\nHEIGHT 1\nPOINTS 1\nDATA ascii\n1 2 3 0 0 0 0 0.5 0 0 0 0 0 0 0 0 0 0 0 "
                            "0\n"))
                .points,
            (std::vector<float>{1, 2, 3, 0.5F}));
  EXPECT_EQ(read_points(put("b.pcd",
                            "FIELDS x y z none\nSIZE 4 4 4 1\nTYPE F F F U\nCOUNT 1 1 1 0\nWIDTH 1\nHEIGHT "
                            "1\nPOINTS 1\nDATA ascii\n1 2 3\n"))
                .points,
            expected);
}

TEST_F(PointFiles, ColoursLabelsRingsAndTimes) {
  const std::string vertex = "element vertex 2\n" + kXyz;
  const PointCloud cloud = read_points(
      put("a.ply", ply("ascii",
                       vertex + "property uchar red\nproperty uchar green\nproperty uchar blue\nproperty ushort "
                                "label\nproperty uchar ring\nproperty double time\n",
                       "1 2 3 10 20 30 252 63 0.25\n4 5 6 40 50 255 0 0 1e9\n")));
  EXPECT_EQ(cloud.rgb, (std::vector<std::uint8_t>{10, 20, 30, 40, 50, 255}));
  EXPECT_EQ(cloud.label, (std::vector<std::uint32_t>{252, 0}));
  EXPECT_EQ(cloud.ring, (std::vector<std::int32_t>{63, 0}));
  EXPECT_EQ(cloud.time, (std::vector<double>{0.25, 1e9}));
  const auto colours = [&](const std::string& type, const std::string& first, const std::string& second) {
    const std::string rgb = "property " + type + " red\nproperty " + type + " green\nproperty " + type + " blue\n";
    return read_points(put("b.ply", ply("ascii", vertex + rgb, "1 2 3 " + first + "\n1 2 3 " + second + "\n"))).rgb;
  };
  EXPECT_EQ(colours("ushort", "0 65535 257", "514 0 32896"), (std::vector<std::uint8_t>{0, 255, 1, 2, 0, 128}));
  EXPECT_EQ(colours("float", "0 1 0.5", "0.2 0 nan"), (std::vector<std::uint8_t>{0, 255, 128, 51, 0, 0}));
  EXPECT_EQ(colours("float", "0 255 128", "51 0 1"), (std::vector<std::uint8_t>{0, 255, 128, 51, 0, 1}));
  // PCL packs 0xRRGGBB into the bits of a float, or into an integer.
  const auto packed = [&](const std::string& type, const std::string& bytes) {
    return read_points(put("a.pcd", "FIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F " + type +
                                        "\nWIDTH 1\nHEIGHT 1\nPOINTS 1\nDATA binary\n" + std::string(12, '\0') + bytes))
        .rgb;
  };
  for (const char* type : {"F", "U", "I"})
    EXPECT_EQ(packed(type, std::string("\x33\x22\x11\x00", 4)), (std::vector<std::uint8_t>{0x11, 0x22, 0x33})) << type;
}

// UTM: a float32 would round 4,300,000.25 to 4,300,000.5.
TEST_F(PointFiles, FarCoordinatesKeepTheirPrecision) {
  const std::vector<double> utm = {500000.125, 4300000.25, 2100.5, 1, 500010.5, 4300020.75, 2101, 0};
  const PointCloud cloud =
      read_points(put("a.npy", npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 4), }\n", bytes_of(utm))));
  EXPECT_EQ(cloud.origin, (std::array<double, 3>{500000, 4300000, 2100}));
  EXPECT_EQ(cloud.points, (std::vector<float>{0.125F, 0.25F, 0.5F, 1, 10.5F, 20.75F, 1, 0}));
  const std::string vertex = "element vertex 1\nproperty double x\nproperty double y\nproperty double z\n";
  const PointCloud text = read_points(put("a.ply", ply("ascii", vertex, "500000.125 4300000.25 100.5\n")));
  EXPECT_EQ(text.origin, (std::array<double, 3>{500000, 4300000, 0}));
  EXPECT_EQ(text.points, (std::vector<float>{0.125F, 0.25F, 100.5F, 0}));
}

TEST_F(PointFiles, PlyMeshGivesItsVertices) {
  const std::string vertex =
      "element vertex 1\nproperty double x\nproperty double y\nproperty double z\nelement face 1\nproperty list uchar "
      "int i\n";
  const std::string body = bytes_of(std::vector<double>{1, 2, 3}) + "\2" + std::string(8, '\0');
  EXPECT_EQ(read_points(put("a.ply", ply("binary_little_endian", vertex, body))).points,
            (std::vector<float>{1, 2, 3, 0}));
}

TEST_F(PointFiles, PcdOfEveryFormat) {
  const std::vector<float> expected = {1, 2, 3, 0.5F, -4, 5.5F, 6, 0.25F};
  EXPECT_EQ(read_points(put("a.pcd", pcd("binary", bytes_of(expected)))).points, expected);
  EXPECT_EQ(read_points(put("b.pcd", pcd("ascii", "1 2 3 0.5\n-4 5.5 6 0.25\n"))).points, expected);
  // Compressed data is stored by field; LZF's literal run of 32 bytes is one byte, 31, and the bytes themselves.
  const std::string packed = "\x1F" + bytes_of(std::vector<float>{1, -4, 2, 5.5F, 3, 6, 0.5F, 0.25F});
  const std::string sizes = bytes_of(std::vector<std::uint32_t>{33, 32});
  EXPECT_EQ(read_points(put("c.pcd", pcd("binary_compressed", sizes + packed))).points, expected);
  EXPECT_EQ(read_points(put("d.pcd", pcd("ascii", "", 0))).count(), 0);
}

}  // namespace
}  // namespace voxshift
