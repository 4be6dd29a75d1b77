// Point cloud files: what is read and what is refused. Files are built byte by byte.
#include "scan_files.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "file_test.h"
#include "modules.h"
#include "result_files.h"

namespace voxshift {
namespace {

using ScanFiles = FileTest;

std::string refusal(const fs::path& path, int columns = 4) {
  return io_error(path, [&] { read_scan(path, columns); });
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

// .bin

TEST_F(ScanFiles, BinKeepsEveryValue) {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> values = {1, 2, 3, 0.5F, 4, std::nanf(""), -inf, 0};
  const Scan scan = read_scan(put("a.bin", bytes_of(values)));
  EXPECT_EQ(scan.columns, 4);
  EXPECT_EQ(scan.count(), 2);
  ASSERT_EQ(scan.points.size(), values.size());
  EXPECT_EQ(std::memcmp(scan.points.data(), values.data(), values.size() * sizeof(float)), 0);
}

TEST_F(ScanFiles, BinColumns) {
  const fs::path path = put("a.BIN", bytes_of(std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}));
  EXPECT_EQ(read_scan(path, 5).count(), 3);
  EXPECT_EQ(read_scan(path, 5).columns, 5);
  // Without remission the fourth column is zero.
  const Scan three = read_scan(path, 3);
  EXPECT_EQ(three.columns, 4);
  EXPECT_EQ(three.count(), 5);
  EXPECT_EQ(std::vector<float>(three.points.begin() + 4, three.points.begin() + 8), (std::vector<float>{3, 4, 5, 0}));
  EXPECT_THROW(read_scan(path, 2), InvalidArgument);
  EXPECT_THROW(read_scan(path, -4), InvalidArgument);
}

TEST_F(ScanFiles, BinRefused) {
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
}

// .npy

TEST_F(ScanFiles, NpyFormatsAndTypes) {
  const std::string f4 = bytes_of(std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8});
  const std::string f8 = bytes_of(std::vector<double>{1, 2, 3, 4, 5, 6, 7, 8});
  for (const char major : {'\1', '\2', '\3'}) {
    const Scan a =
        read_scan(put("a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4), }\n", f4, major)));
    const Scan b =
        read_scan(put("b.npy", npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 4), }\n", f8, major)));
    EXPECT_EQ(a.points, (std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8}));
    EXPECT_EQ(b.points, a.points);
    EXPECT_EQ(a.columns, 4);
  }
}

TEST_F(ScanFiles, NpyEmptyArrayIsAnEmptyScan) {
  const Scan scan = read_scan(put("a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4), }\n", "")));
  EXPECT_EQ(scan.count(), 0);
}

TEST_F(ScanFiles, NpyThreeColumnsGainZeros) {
  const std::string data = bytes_of(std::vector<float>{1, 2, 3, 4, 5, 6});
  const Scan scan = read_scan(put("a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", data)));
  EXPECT_EQ(scan.points, (std::vector<float>{1, 2, 3, 0, 4, 5, 6, 0}));
}

TEST_F(ScanFiles, NpyRefused) {
  const std::string data(32, '\0');
  const auto with = [&](const std::string& dictionary) { return refusal(put("a.npy", npy(dictionary, data))); };
  EXPECT_SAYS(with("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 4), }"), "Fortran");
  EXPECT_SAYS(with("{'descr': '>f4', 'fortran_order': False, 'shape': (2, 4), }"), "'>f4'");
  EXPECT_SAYS(with("{'descr': '<i4', 'fortran_order': False, 'shape': (2, 4), }"), "'<i4'");
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

TEST_F(ScanFiles, PlyRefusedBeforeOpen3dSeesIt) {
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
  EXPECT_SAYS(with(ply("ascii", "element vertex 1\nproperty float x\nproperty float y\n", "1 2\n")), "property z");
  EXPECT_SAYS(with(ply("ascii", "element vertex 1\nproperty float x\n" + kXyz, "1 1 2 3\n")), "twice");
  EXPECT_SAYS(with(ply("ascii", "element vertex 1\nproperty quad x\n", "1\n")), "unknown type");
  EXPECT_SAYS(with(ply("ascii", "element vertex 0\n" + kXyz + "element none 9223372036854775807\n", "")),
              "no properties");
  EXPECT_SAYS(with(ply("ascii", "element corner 1\n" + kXyz, "1 2 3\n")), "no element vertex");
  const std::string faces = "element vertex 1\n" + kXyz + "element face 1\nproperty list uchar int vertex_indices\n";
  EXPECT_SAYS(with(ply("binary_little_endian", faces, three + "\3" + std::string(11, '\0'))), "is cut");
  EXPECT_SAYS(with("ply\nformat ascii 1.0\ncomment " + std::string(5000, 'x') + "\n"), "characters");
}

TEST_F(ScanFiles, PcdRefusedBeforeOpen3dSeesIt) {
  const std::string rows = bytes_of(std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8});
  const auto with = [&](const std::string& bytes) { return refusal(put("a.pcd", bytes)); };
  EXPECT_SAYS(with(""), "empty");
  EXPECT_SAYS(with("1 2 3\n"), "expected a PCD header");
  EXPECT_SAYS(with("# .PCD v0.7\nVERSION 0.7\n"), "no DATA line");
  EXPECT_SAYS(with(pcd("binary", rows.substr(1))), "is cut");
  EXPECT_SAYS(with(pcd("binary", rows, 2147483647)), "is cut");
  EXPECT_SAYS(with(pcd("ascii", "1 2 3 4\n")), "is cut");
  EXPECT_SAYS(with(pcd("ascii", "1 2 3 4\n1 2 3\n")), "4 numbers");
  EXPECT_SAYS(with(pcd("ascii", "1 2 3 4\n1 2 3 x\n")), "4 numbers");
  EXPECT_SAYS(with(pcd("packed", rows)), "DATA");
  EXPECT_SAYS(with(pcd("binary_compressed", "")), "is cut");
  EXPECT_SAYS(with(pcd("binary_compressed", bytes_of(std::vector<std::uint32_t>{100, 32}) + "short")), "is cut");
  EXPECT_SAYS(with(pcd("binary_compressed", bytes_of(std::vector<std::uint32_t>{5, 4000000000U}) + "short")),
              "unpacked");
  EXPECT_SAYS(with("FIELDS x y z\nSIZE 4 4\nTYPE F F F\nWIDTH 1\nHEIGHT 1\nPOINTS 1\nDATA ascii\n1 2 3\n"), "as many");
  EXPECT_SAYS(with("FIELDS x y w\nSIZE 4 4 4\nTYPE F F F\nWIDTH 1\nHEIGHT 1\nPOINTS 1\nDATA ascii\n1 2 3\n"),
              "x, y, z");
  EXPECT_SAYS(with("FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH 2\nHEIGHT 2\nPOINTS 1\nDATA ascii\n1 2 3\n"), "WIDTH");
}

class CloudFiles : public ScanFiles {
 protected:
  void SetUp() override {
    ScanFiles::SetUp();
    if (!has_open3d()) GTEST_SKIP() << "this build has no Open3D";
  }
};

TEST_F(CloudFiles, PlyOfEveryFormat) {
  const std::string vertex = "element vertex 2\n" + kXyz + "property float intensity\n";
  const std::vector<float> expected = {1, 2, 3, 0.5F, -4, 5.5F, 6, 0.25F};
  std::string big = bytes_of(expected);
  for (std::size_t i = 0; i < big.size(); i += 4)
    std::reverse(big.begin() + static_cast<long>(i), big.begin() + static_cast<long>(i) + 4);
  EXPECT_EQ(read_scan(put("a.ply", ply("binary_little_endian", vertex, bytes_of(expected)))).points, expected);
  EXPECT_EQ(read_scan(put("b.ply", ply("binary_big_endian", vertex, big))).points, expected);
  EXPECT_EQ(read_scan(put("c.ply", ply("ascii", vertex, "1 2 3 0.5\n-4 +5.5 6e0 .25\n"))).points, expected);
}

TEST_F(CloudFiles, PlyRemissionByItsNames) {
  for (const std::string name : {"intensity", "remission", "reflectance", "scalar_intensity"}) {
    const std::string vertex = "element vertex 1\n" + kXyz + "property uchar " + name + "\n";
    EXPECT_EQ(read_scan(put("a.ply", ply("ascii", vertex, "1 2 3 200\n"))).points, (std::vector<float>{1, 2, 3, 200}));
  }
  EXPECT_EQ(read_scan(put("a.ply", ply("ascii", "element vertex 1\n" + kXyz, "1 nan 3\n"))).points[3], 0);
  EXPECT_EQ(read_scan(put("a.ply", ply("ascii", "element vertex 0\n" + kXyz, ""))).count(), 0);
}

TEST_F(CloudFiles, PlyMeshGivesItsVertices) {
  const std::string vertex =
      "element vertex 1\nproperty double x\nproperty double y\nproperty double z\nelement face 1\nproperty list uchar "
      "int i\n";
  const std::string body = bytes_of(std::vector<double>{1, 2, 3}) + "\2" + std::string(8, '\0');
  EXPECT_EQ(read_scan(put("a.ply", ply("binary_little_endian", vertex, body))).points,
            (std::vector<float>{1, 2, 3, 0}));
}

TEST_F(CloudFiles, PcdOfEveryFormat) {
  const std::vector<float> expected = {1, 2, 3, 0.5F, -4, 5.5F, 6, 0.25F};
  EXPECT_EQ(read_scan(put("a.pcd", pcd("binary", bytes_of(expected)))).points, expected);
  EXPECT_EQ(read_scan(put("b.pcd", pcd("ascii", "1 2 3 0.5\n-4 5.5 6 0.25\n"))).points, expected);
  // Compressed data is stored by field; LZF's literal run of 32 bytes is one byte, 31, and the bytes themselves.
  const std::string packed = "\x1F" + bytes_of(std::vector<float>{1, -4, 2, 5.5F, 3, 6, 0.5F, 0.25F});
  const std::string sizes = bytes_of(std::vector<std::uint32_t>{33, 32});
  EXPECT_EQ(read_scan(put("c.pcd", pcd("binary_compressed", sizes + packed))).points, expected);
  EXPECT_EQ(read_scan(put("d.pcd", pcd("ascii", "", 0))).count(), 0);
}

TEST_F(CloudFiles, Open3dStaysSilent) {
  const std::string packed = bytes_of(std::vector<std::uint32_t>{33, 32}) + std::string(33, '\xFF');
  const fs::path path = put("a.pcd", pcd("binary_compressed", packed));
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  const std::string message = refusal(path);
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_SAYS(message, "Open3D cannot read");
}

TEST_F(CloudFiles, ColouredPlyReadsBack) {
  const Scan scan{{1, 2, 3, 0, 9, 4, 5, 6, 0, 9}, 5};
  write_coloured_ply(folder_ / "a.ply", scan, std::vector<std::uint8_t>{0, kUnlabelled}, semantic_kitti_classes());
  EXPECT_EQ(read_scan(folder_ / "a.ply").points, (std::vector<float>{1, 2, 3, 0, 4, 5, 6, 0}));
  const std::string bytes = get(folder_ / "a.ply");
  const std::string last_row = bytes.substr(bytes.size() - 17);
  EXPECT_EQ(last_row.substr(12), std::string("\x80\x80\x80\0\0", 5));
  EXPECT_EQ(bytes.substr(bytes.size() - 22, 5), std::string("\x64\x96\xF5\x0A\0", 5));  // car, raw id 10
}

// Folders

TEST_F(ScanFiles, FoldersAreSortedByName) {
  for (const char* name : {"b.bin", "a.pcd", "c.NPY", "notes.txt", "a.label"}) put(name, "x");
  fs::create_directory(folder_ / "z.bin");
  fs::create_symlink(folder_ / "gone.bin", folder_ / "dangling.bin");
  const std::vector<fs::path> paths = {folder_ / "b.bin", folder_};
  EXPECT_EQ(list_scans(paths),
            (std::vector<fs::path>{folder_ / "b.bin", folder_ / "a.pcd", folder_ / "b.bin", folder_ / "c.NPY"}));
}

TEST_F(ScanFiles, PathsWithoutScans) {
  const auto listing = [](const fs::path& path) {
    return io_error(path, [&] { list_scans(std::vector<fs::path>{path}); });
  };
  EXPECT_SAYS(listing(folder_ / "none"), "no such file or folder");
  EXPECT_SAYS(listing(put("a.txt", "x")), "expected a .bin");
  EXPECT_SAYS(listing(folder_), "holds no .bin");
}

}  // namespace
}  // namespace voxshift
