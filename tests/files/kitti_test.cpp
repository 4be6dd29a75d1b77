// KITTI's label and calibration files: numbers worked out by hand and in numpy, what is written, what is refused.
#include <voxshift/files/kitti.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "file_test.h"

namespace voxshift {
namespace {

using KittiFiles = FileTest;

constexpr float kPi = std::numbers::pi_v<float>;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// A car 20 m ahead and 2 m to the left that drives ahead: x right, y down, z ahead in the camera.
const std::string kCar =
    "Car 0.25 1 -1.47 500.00 150.00 600.00 220.00 1.50 1.60 3.90 -2.00 1.70 20.00 -1.5707963 0.75\n";

std::string calibration_text() {
  return "P0: 1 0 0 0 0 1 0 0 0 0 1 0\n"
         "P2: 7.215377000000e+02 0 6.095593000000e+02 4.485728e+01 0 7.215377e+02 1.728540e+02 2.163791e-01 "
         "0 0 1 2.745884e-03\n"
         "R0_rect: 0.9999239 0.00983776 -0.007445048 -0.009869795 0.9999421 -0.004278459 0.007402527 0.004351614 "
         "0.9999631\n"
         "Tr_velo_to_cam: 0.007533745 -0.9999714 -0.000616602 -0.004069766 0.01480249 0.0007280733 -0.9998902 "
         "-0.07631618 0.9998621 0.00752379 0.01480755 -0.2717806\n";
}

std::string without(std::string text, const std::string& part) { return text.erase(text.find(part), part.size()); }

std::string with(std::string text, const std::string& part, const std::string& other) {
  return text.replace(text.find(part), part.size(), other);
}

void expect_box(const Box3d& found, const Box3d& expected, float tolerance) {
  const auto values = [](const Box3d& b) { return std::vector{b.x, b.y, b.z, b.length, b.width, b.height, b.yaw}; };
  for (std::size_t i = 0; i < 7; ++i) EXPECT_NEAR(values(found)[i], values(expected)[i], tolerance) << i;
}

TEST_F(KittiFiles, LabelsInTheFrameOfTheScan) {
  // The camera's z is the scan's x, -x its y, -y its z; 1.70 m below it lies the bottom of 1.50 m.
  const auto objects = read_kitti_labels(put("a.txt", kCar), KittiCalibration::nominal());
  ASSERT_EQ(objects.size(), 1U);
  EXPECT_EQ(objects[0].type, "Car");
  expect_box(objects[0].box, {20, 2, -0.95F, 3.9F, 1.6F, 1.5F, 0}, 1e-6F);
  EXPECT_EQ(objects[0].truncation, 0.25F);
  EXPECT_EQ(objects[0].occlusion, 1);
  EXPECT_EQ(objects[0].image_box, (std::array{500.F, 150.F, 600.F, 220.F}));
  EXPECT_EQ(objects[0].score, 0.75F);
}

TEST_F(KittiFiles, LabelsOfACalibratedCamera) {
  // numpy: inv(R0 Tr) (-2.70, 1.74, 3.68), z + 1.67 / 2; yaw = 1.29 - pi / 2.
  const KittiCalibration calibration = read_kitti_calibration(put("calib.txt", calibration_text()));
  const auto objects = read_kitti_labels(
      put("a.txt", "Car 0.96 0 -0.86 0.00 199.62 341.55 374.00 1.67 1.87 3.69 -2.70 1.74 3.68 -1.29\n"), calibration);
  ASSERT_EQ(objects.size(), 1U);
  expect_box(objects[0].box, {3.970250F, 2.716721F, -0.910112F, 3.69F, 1.87F, 1.67F, -0.2807963F}, 1e-5F);
  EXPECT_TRUE(std::isnan(objects[0].score));
}

TEST_F(KittiFiles, CalibrationOfEveryKindOfFile) {
  const KittiCalibration object = read_kitti_calibration(put("object.txt", calibration_text()));
  EXPECT_EQ(object.projection[3], 44.85728F);
  EXPECT_EQ(object.rectification[1], 0.00983776F);
  EXPECT_EQ(object.velo_to_cam[11], -0.2717806F);
  std::string tracking = with(calibration_text(), "R0_rect:", "R_rect");
  tracking = with(tracking, "Tr_velo_to_cam:", "Tr_velo_cam");
  const KittiCalibration other = read_kitti_calibration(put("tracking.txt", tracking + "\r\n\nlens none\n"));
  EXPECT_EQ(other.projection, object.projection);
  EXPECT_EQ(other.rectification, object.rectification);
  EXPECT_EQ(other.velo_to_cam, object.velo_to_cam);
  write_kitti_calibration(folder_ / "written.txt", object);
  const KittiCalibration again = read_kitti_calibration(folder_ / "written.txt");
  EXPECT_EQ(again.projection, object.projection);
  EXPECT_EQ(again.rectification, object.rectification);
  EXPECT_EQ(again.velo_to_cam, object.velo_to_cam);
}

TEST_F(KittiFiles, TheLinesOfACalibrationStandAsKittiHasThem) {
  write_kitti_calibration(folder_ / "c.txt", KittiCalibration::nominal());
  const std::string camera = " 721.5377 0 609.5593 0 0 721.5377 172.854 0 0 0 1 0\n";
  EXPECT_EQ(get(folder_ / "c.txt"), "P0:" + camera + "P1:" + camera + "P2:" + camera + "P3:" + camera +
                                        "R0_rect: 1 0 0 0 1 0 0 0 1\nTr_velo_to_cam: 0 -1 0 0 0 0 -1 0 1 0 0 0\n"
                                        "Tr_imu_to_velo: 1 0 0 0 0 1 0 0 0 0 1 0\n");
}

TEST_F(KittiFiles, RegionsWithoutABox) {
  const std::string line = "DontCare -1 -1 -10 503.89 169.71 590.61 190.13 -1 -1 -1 -1000 -1000 -1000 -10\n";
  const auto objects = read_kitti_labels(put("a.txt", line), KittiCalibration::nominal());
  ASSERT_EQ(objects.size(), 1U);
  EXPECT_EQ(objects[0].type, "DontCare");
  EXPECT_EQ(objects[0].image_box[2], 590.61F);
  expect_box(objects[0].box, {}, 0);
  write_kitti_labels(folder_ / "b.txt", objects, KittiCalibration::nominal());
  EXPECT_EQ(get(folder_ / "b.txt"), line);
}

TEST_F(KittiFiles, WrittenLine) {
  // A cube of 2 m whose near face is 9 m ahead: 721.5377 / 9 = 80.1709 pixels either side of the principal point. It
  // faces the left, so rotation_y = -pi / 2 - pi / 2 = -pi; alpha = -pi - atan2(0, 10).
  LabelledBox cube{.type = "Cube", .box = {10, 0, 0, 2, 2, 2, kPi / 2}, .occlusion = 2, .score = 0.5F};
  write_kitti_labels(folder_ / "a.txt", {cube}, KittiCalibration::nominal());
  EXPECT_EQ(get(folder_ / "a.txt"),
            "Cube 0 2 3.1416 529.39 92.68 689.73 253.02 2.0000 2.0000 2.0000 0.0000 1.0000 10.0000 3.1416 0.5\n");
  cube.box.x = -10;
  cube.score = kNaN;
  write_kitti_labels(folder_ / "a.txt", {cube}, KittiCalibration::nominal());
  EXPECT_SAYS(get(folder_ / "a.txt"), " 0.00 0.00 0.00 0.00 2.0000");
  EXPECT_SAYS(get(folder_ / "a.txt"), " -10.0000 3.1416\n");
}

TEST_F(KittiFiles, RoundTrip) {
  const KittiCalibration calibration = read_kitti_calibration(put("calib.txt", calibration_text()));
  std::vector<LabelledBox> objects;
  for (int i = 0; i < 100; ++i) {
    const auto t = static_cast<float>(i);
    const Box3d box{50 * std::cos(t),  50 * std::sin(t), 0.01F * t, 1 + 0.05F * t, 0.5F + 0.02F * t, 1.5F,
                    0.0628F * t - 3.1F};
    objects.push_back({.type = i % 2 ? "Van" : "traffic_cone",
                       .box = box,
                       .truncation = 0.01F * t,
                       .occlusion = i % 5 - 1,
                       .score = i % 3 ? 1 / (1 + t) : kNaN});
  }
  write_kitti_labels(folder_ / "a.txt", objects, calibration);
  const auto found = read_kitti_labels(folder_ / "a.txt", calibration);
  ASSERT_EQ(found.size(), objects.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].type, objects[i].type);
    expect_box(found[i].box, objects[i].box,
               1.2e-4F);  // half of four decimals, sqrt(3) of it turned, and of the height
    EXPECT_EQ(found[i].truncation, objects[i].truncation);
    EXPECT_EQ(found[i].occlusion, objects[i].occlusion);
    EXPECT_EQ(std::isnan(found[i].score), std::isnan(objects[i].score));
    EXPECT_EQ(found[i].score == objects[i].score, i % 3 != 0);
  }
}

TEST_F(KittiFiles, FilesWithoutObjects) {
  for (const char* text : {"", "\n", "\r\n \n\t"})
    EXPECT_TRUE(read_kitti_labels(put("a.txt", text), KittiCalibration::nominal()).empty());
  write_kitti_labels(folder_ / "b.txt", {}, KittiCalibration::nominal());
  EXPECT_TRUE(read_kitti_labels(folder_ / "b.txt", KittiCalibration::nominal()).empty());
}

TEST_F(KittiFiles, LabelsRefused) {
  const auto says = [&](const std::string& second) {
    const fs::path path = put("a.txt", kCar + "\n" + second);
    try {
      read_kitti_labels(path, KittiCalibration::nominal());
    } catch (const IoError& error) {
      std::string message = error.what();
      EXPECT_EQ(message.rfind(path.string() + ":3: ", 0), 0U) << message;
      EXPECT_EQ(message.find('\n'), std::string::npos);
      return message;
    }
    ADD_FAILURE() << second << " was taken";
    return std::string();
  };
  EXPECT_SAYS(says("Car\n"), "expected 15 columns, or 16 with a score, found 1");
  EXPECT_SAYS(says(without(kCar, " 20.00 -1.5707963")), "found 14");
  EXPECT_SAYS(says(with(kCar, "0.75", "0.75 1")), "found 17");
  EXPECT_SAYS(says(with(kCar, " 20.00", " 20,00")), "expected a number as z, found '20,00'");
  EXPECT_SAYS(says(with(kCar, " 20.00", " 0x14")), "as z");
  EXPECT_SAYS(says(with(kCar, "-2.00", "nan")), "as x, found 'nan'");
  EXPECT_SAYS(says(with(kCar, "3.90", "inf")), "as length, found 'inf'");
  EXPECT_SAYS(says(with(kCar, "-1.47", "1e400")), "as alpha");
  EXPECT_SAYS(says(with(kCar, "-1.5707963", "1000001")), "as rotation_y");
  EXPECT_SAYS(says(with(kCar, "0.75", "-nan")), "as score");
  EXPECT_SAYS(says(with(kCar, "500.00", "--5")), "as left");
  EXPECT_SAYS(says(with(kCar, " 1 ", " 4 ")), "expected -1, 0, 1, 2 or 3 as occluded, found '4'");
  EXPECT_SAYS(says(with(kCar, " 1 ", " 0.5 ")), "as occluded");
  EXPECT_SAYS(says(with(kCar, "1.60", "-1.60")), "expected width >= 0, found '-1.60'");
  EXPECT_SAYS(says(std::string("Car \0 1", 7)), "not text");
  EXPECT_SAYS(says("Car " + std::string(1000, '\xFF')), "found 2");
  EXPECT_SAYS(
      io_error(folder_ / "none.txt", [&] { read_kitti_labels(folder_ / "none.txt", KittiCalibration::nominal()); }),
      "No such file");
}

TEST_F(KittiFiles, CalibrationsRefused) {
  const auto says = [&](const std::string& text) {
    const fs::path path = put("c.txt", text);
    try {
      read_kitti_calibration(path);
    } catch (const IoError& error) {
      return without(error.what(), path.string());
    }
    ADD_FAILURE() << text << " was taken";
    return std::string();
  };
  const std::string good = calibration_text();
  EXPECT_SAYS(says(""), ": is empty");
  EXPECT_SAYS(says("\n"), ": has no line P2");
  EXPECT_SAYS(says(with(good, "P2", "P3")), ": has no line P2");
  EXPECT_SAYS(says(with(good, "R0_rect", "R1")), ": has no line R0_rect");
  EXPECT_SAYS(says(with(good, "Tr_velo_to_cam", "Tr")), ": has no line Tr_velo_to_cam");
  EXPECT_SAYS(says(with(good, " 0.9999631", "")), ":3: expected 9 numbers as R0_rect, found 8");
  EXPECT_SAYS(says(with(good, " 0.9999631", " 0.9999631 0")), "found 10");
  EXPECT_SAYS(says(with(good, "0.9999631", "0.99996.31")), ":3: expected a number as R0_rect, found '0.99996.31'");
  EXPECT_SAYS(says(with(good, "-0.2717806", "nan")), ":4: expected a number as Tr_velo_to_cam");
  EXPECT_SAYS(says(good + "P2: 1\n"), ":5: has P2 twice");
  EXPECT_SAYS(says(with(good, "0.9999239", "0.5")), ": R0_rect and Tr_velo_to_cam are no rotation");
  EXPECT_SAYS(says("P2: 1 0 0 0 0 1 0 0 0 0 1 0\nR0_rect: 1 0 0 0 1 0 0 0 -1\nTr_velo_cam: 1 0 0 0 0 1 0 0 0 0 1 0\n"),
              "no rotation");
  EXPECT_SAYS(says(std::string("P2\0", 3)), ":1: is not text");
}

TEST_F(KittiFiles, ObjectsThatCannotBeWritten) {
  const fs::path path = put("a.txt", "before");
  const LabelledBox good{.type = "Car", .box = {10, 0, 0, 4, 2, 2, 0}};
  const auto refuses = [&](const auto& spoil) {
    LabelledBox bad = good;
    spoil(bad);
    EXPECT_THROW(write_kitti_labels(path, {good, bad}, KittiCalibration::nominal()), InvalidArgument);
    EXPECT_EQ(get(path), "before");
  };
  refuses([](LabelledBox& object) { object.type = ""; });
  refuses([](LabelledBox& object) { object.type = "traffic cone"; });
  refuses([](LabelledBox& object) { object.type = "Car\n"; });
  refuses([](LabelledBox& object) { object.box.x = kNaN; });
  refuses([](LabelledBox& object) { object.box.yaw = std::numeric_limits<float>::infinity(); });
  refuses([](LabelledBox& object) { object.box.height = -1; });
  refuses([](LabelledBox& object) { object.box.z = 2e6F; });
  refuses([](LabelledBox& object) { object.truncation = kNaN; });
  refuses([](LabelledBox& object) { object.occlusion = 4; });
  refuses([](LabelledBox& object) { object.image_box[3] = kNaN; });
  refuses([](LabelledBox& object) { object.score = std::numeric_limits<float>::infinity(); });
  KittiCalibration flat = KittiCalibration::nominal();
  flat.rectification[8] = 0;
  EXPECT_THROW(write_kitti_labels(path, {good}, flat), InvalidArgument);
  EXPECT_THROW(read_kitti_labels(path, flat), InvalidArgument);
  flat.rectification[8] = kNaN;
  EXPECT_THROW(write_kitti_labels(path, {good}, flat), InvalidArgument);
  EXPECT_SAYS(io_error(folder_ / "none" / "a.txt",
                       [&] { write_kitti_labels(folder_ / "none" / "a.txt", {good}, KittiCalibration::nominal()); }),
              "cannot be written");
}

}  // namespace
}  // namespace voxshift
