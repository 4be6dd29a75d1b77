// .ply and .pcd: what is read and refused. Files are built byte by byte.
extern "C" {  // its own header leaves that to whoever includes it
#include <lzf.h>
}

#include <voxshift/files/fields.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "point_file_bytes.h"

namespace voxshift {
namespace {

std::string ply(const std::string& format, const std::string& vertex, const std::string& body) {
  return "ply\nformat " + format + " 1.0\ncomment made by hand\n" + vertex + "end_header\n" + body;
}

const std::string kXyz = "property float x\nproperty float y\nproperty float z\n";

std::string pcd(const std::string& data, const std::string& body, int points = 2) {
  const std::string count = std::to_string(points);
  return "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z intensity\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1\nWIDTH " + count +
         "\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS " + count + "\nDATA " + data + "\n" + body;
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

TEST(PointsOfBytes, FurtherFields) {
  const std::string vertex = "element vertex 2\n" + kXyz + "property ushort ring\nproperty ushort range\n";
  std::string body;  // big endian: 0 but for the last bytes of ring and range
  for (const char* numbers : {"\0\3\1\2", "\0\4\0\5"}) body += std::string(12, '\0') + std::string(numbers, 4);
  std::vector<OtherField> others;
  const PointCloud cloud = points_of_bytes("a.ply", ply("binary_big_endian", vertex, body), ".ply", {}, &others);
  EXPECT_EQ(cloud.ring, (std::vector<std::int32_t>{3, 4}));
  ASSERT_EQ(others.size(), 1U);
  EXPECT_EQ(others[0].name, "range");
  EXPECT_EQ(others[0].type, Scalar::kU16);
  EXPECT_EQ(others[0].several, 1U);
  std::vector<std::uint16_t> values(others[0].values.size() / 2);
  std::memcpy(values.data(), others[0].values.data(), others[0].values.size());
  EXPECT_EQ(values, (std::vector<std::uint16_t>{258, 5}));
  EXPECT_EQ(points_of_bytes("a.ply", ply("binary_big_endian", vertex, body), ".ply", {}).ring, cloud.ring);
}

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
  // s and t of a mesh are places on its picture.
  const auto times = [&](const std::string& first, const std::string& second) {
    const std::string two = "property float " + first + "\nproperty float " + second + "\n";
    return read_points(put("b.ply", ply("ascii", vertex + two, "1 2 3 0.1 4\n4 5 6 0.2 8\n"))).time;
  };
  EXPECT_EQ(times("s", "t"), std::vector<double>{});
  EXPECT_EQ(times("s", "time"), (std::vector<double>{4, 8}));
  EXPECT_EQ(times("nx", "t"), (std::vector<double>{4, 8}));
  // PCL packs 0xRRGGBB into the bits of a float, or into an integer.
  const auto packed = [&](const std::string& type, const std::string& bytes) {
    return read_points(put("a.pcd", "FIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F " + type +
                                        "\nWIDTH 1\nHEIGHT 1\nPOINTS 1\nDATA binary\n" + std::string(12, '\0') + bytes))
        .rgb;
  };
  for (const char* type : {"F", "U", "I"})
    EXPECT_EQ(packed(type, std::string("\x33\x22\x11\x00", 4)), (std::vector<std::uint8_t>{0x11, 0x22, 0x33})) << type;
  const std::string no_colour = "property double rgb\n";  // 2^63 is the first number that no int64 holds
  EXPECT_EQ(
      read_points(put("a.ply", ply("ascii", vertex + no_colour, "1 2 3 9223372036854775808\n1 2 3 -1e300\n"))).rgb,
      (std::vector<std::uint8_t>(6, 0)));
}

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
