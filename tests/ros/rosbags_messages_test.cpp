// Messages that rosbags has serialised, and numpy's reading of them: tests/python/ros_messages.py writes both.
#include <gtest/gtest.h>
#include <voxshift/ros/labelled_cloud.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "message_bytes.h"

namespace voxshift::ros {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// Reads little-endian CDR, whose values are aligned from behind its 4 bytes of header.
class Cdr {
 public:
  explicit Cdr(const Bytes& bytes) : bytes_(bytes) {}

  std::uint32_t u32() {
    at_ += (4 - at_ % 4) % 4;
    std::uint32_t value = 0;
    for (std::size_t b = 0; b < 4; ++b) value |= std::uint32_t{bytes_.at(at_ + b)} << (8 * b);
    at_ += 4;
    return value;
  }
  std::uint8_t u8() { return bytes_.at(at_++); }
  std::string text() {
    std::string text(u32() - 1, ' ');
    for (char& c : text) c = static_cast<char>(u8());
    EXPECT_EQ(u8(), 0);
    return text;
  }

 private:
  const Bytes& bytes_;
  std::size_t at_ = 4;
};

OwnedCloud message_of(const Bytes& bytes) {
  Cdr cdr(bytes);
  EXPECT_EQ(cdr.u32(), 12U);  // the header's time
  EXPECT_EQ(cdr.u32(), 34U);
  EXPECT_EQ(cdr.text(), "lidar");
  OwnedCloud cloud;
  cloud.height = cdr.u32();
  cloud.width = cdr.u32();
  cloud.fields.resize(cdr.u32());
  for (PointField& field : cloud.fields) {
    field.name = cdr.text();
    field.offset = cdr.u32();
    field.datatype = cdr.u8();
    field.count = cdr.u32();
  }
  cloud.big = cdr.u8() != 0;
  cloud.step = cdr.u32();
  cloud.row_step = cdr.u32();
  cloud.bytes.resize(cdr.u32());
  for (std::uint8_t& byte : cloud.bytes) byte = cdr.u8();
  cloud.dense = cdr.u8() != 0;
  return cloud;
}

std::vector<Bytes> pieces_of(const std::string& name) {
  std::ifstream file(std::filesystem::path(VOXSHIFT_ROS_MESSAGES) / (name + ".bin"), std::ios::binary);
  const Bytes all{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  std::vector<Bytes> pieces;
  for (std::size_t at = 0; at + 4 <= all.size();) {
    const std::size_t length = all[at] | all[at + 1] << 8 | all[at + 2] << 16 | std::size_t{all[at + 3]} << 24;
    const auto first = all.begin() + static_cast<std::ptrdiff_t>(at + 4);
    pieces.emplace_back(first, first + static_cast<std::ptrdiff_t>(length));
    at += 4 + length;
  }
  return pieces;
}

void expect_same(const PointCloud2& found, const PointCloud2& expected) {
  EXPECT_EQ(found.height, expected.height);
  EXPECT_EQ(found.width, expected.width);
  EXPECT_EQ(found.is_bigendian, expected.is_bigendian);
  EXPECT_EQ(found.point_step, expected.point_step);
  EXPECT_EQ(found.row_step, expected.row_step);
  EXPECT_EQ(found.is_dense, expected.is_dense);
  ASSERT_EQ(found.fields.size(), expected.fields.size());
  for (std::size_t f = 0; f < found.fields.size(); ++f) {
    EXPECT_EQ(found.fields[f].name, expected.fields[f].name);
    EXPECT_EQ(found.fields[f].offset, expected.fields[f].offset);
    EXPECT_EQ(found.fields[f].datatype, expected.fields[f].datatype);
    EXPECT_EQ(found.fields[f].count, expected.fields[f].count);
  }
  EXPECT_EQ(Bytes(found.data.begin(), found.data.end()), Bytes(expected.data.begin(), expected.data.end()));
}

class RosbagsMessages : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Messages, RosbagsMessages, ::testing::Values("velodyne", "ouster", "big_endian"));

TEST_P(RosbagsMessages, PointsAreThoseThatNumpyReads) {
  const std::vector<Bytes> pieces = pieces_of(GetParam());
  ASSERT_EQ(pieces.size(), 5U);
  const OwnedCloud cloud = message_of(pieces[0]);
  std::vector<double> expected(pieces[1].size() / sizeof(double));
  std::memcpy(expected.data(), pieces[1].data(), pieces[1].size());
  CloudPoints points;
  points.read(cloud.message());
  ASSERT_EQ(static_cast<std::size_t>(points.count()), expected.size() / 7);
  EXPECT_GT(points.dropped(), 0);
  ASSERT_EQ(points.ring().size(), expected.size() / 7);
  ASSERT_EQ(points.time().size(), expected.size() / 7);
  for (std::size_t k = 0; k < expected.size() / 7; ++k) {
    const double* row = expected.data() + 7 * k;
    EXPECT_EQ(points.rows()[k], row[0]);
    for (std::size_t column = 0; column < 4; ++column)
      EXPECT_EQ(points.points()[4 * k + column], row[1 + column]) << k << " " << column;
    EXPECT_EQ(points.ring()[k], row[5]);
    EXPECT_EQ(points.time()[k], row[6]);
  }
}

TEST_P(RosbagsMessages, MessagesWithLabelsAreThoseThatRosbagsWrites) {
  const std::vector<ClassInfo> classes{
      {"road", 40, {0xFF, 0, 0xFF}}, {"car", 10, {0x64, 0x96, 0xF5}}, {"bus", 259, {0x64, 0x50, 0xFA}}};
  const std::vector<Bytes> pieces = pieces_of(GetParam());
  ASSERT_EQ(pieces.size(), 5U);
  const OwnedCloud cloud = message_of(pieces[0]);
  CloudPoints points;
  points.read(cloud.message());
  std::vector<std::uint8_t> labels;
  for (std::int64_t k = 0; k < points.count(); ++k) labels.push_back(static_cast<std::uint8_t>(k * 7 % 4));
  const CloudStyle styles[] = {{CloudForm::kFields, LabelIds::kTrain},
                               {CloudForm::kFields, LabelIds::kRaw},
                               {CloudForm::kColoured, LabelIds::kTrain}};
  for (std::size_t s = 0; s < 3; ++s) {
    SCOPED_TRACE(s);
    LabelledCloud writer(classes, styles[s]);
    const OwnedCloud expected = message_of(pieces[2 + s]);
    expect_same(writer.write(cloud.message(), points, labels), expected.message());
  }
}

}  // namespace
}  // namespace voxshift::ros
