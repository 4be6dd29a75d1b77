#include <voxshift/files/atomic_file.h>
#include <voxshift/files/files.h>
#include <voxshift/files/kitti.h>
#include <voxshift/files/read_bytes.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <initializer_list>
#include <iterator>
#include <map>
#include <numbers>
#include <ostream>
#include <span>

#include "text.h"

namespace voxshift {
namespace {

namespace fs = std::filesystem;

constexpr double kPi = std::numbers::pi;
constexpr float kImageWidth = 1242, kImageHeight = 375;
constexpr const char* kDontCare = "DontCare";
constexpr double kLargest = 1e6;  // of the numbers of a file, so that what is computed of them is finite

using Vector3 = std::array<double, 3>;
using Matrix3 = std::array<Vector3, 3>;

Vector3 operator*(const Matrix3& m, const Vector3& v) {
  Vector3 product{};
  for (std::size_t i = 0; i < 3; ++i) product[i] = m[i][0] * v[0] + m[i][1] * v[1] + m[i][2] * v[2];
  return product;
}

/// camera = rotation * scan + translation: R0 Tr of the calibration.
struct ToCamera {
  Matrix3 rotation{};
  Vector3 translation{};

  explicit ToCamera(const KittiCalibration& calibration) {
    for (std::size_t i = 0; i < 3; ++i)
      for (std::size_t k = 0; k < 3; ++k) {
        const double r = calibration.rectification[3 * i + k];
        for (std::size_t j = 0; j < 3; ++j) rotation[i][j] += r * calibration.velo_to_cam[4 * k + j];
        translation[i] += r * calibration.velo_to_cam[4 * k + 3];
      }
  }

  Vector3 camera(const Vector3& scan) const {
    const Vector3 turned = rotation * scan;
    return {turned[0] + translation[0], turned[1] + translation[1], turned[2] + translation[2]};
  }

  /// By the inverse matrix: what files hold is a rotation up to its rounding.
  Vector3 scan(const Vector3& camera) const {
    const double d = determinant();
    const Vector3 turned =
        adjugate() * Vector3{camera[0] - translation[0], camera[1] - translation[1], camera[2] - translation[2]};
    return {turned[0] / d, turned[1] / d, turned[2] / d};
  }

  /// Whether it turns without stretching or mirroring; false with NaN.
  bool is_rotation() const {
    constexpr double kRounding = 0.01;
    for (std::size_t i = 0; i < 3; ++i)
      for (std::size_t j = 0; j < 3; ++j)
        if (!(std::abs((rotation * rotation[j])[i] - (i == j ? 1 : 0)) <= kRounding)) return false;
    return determinant() > 0;
  }

 private:
  /// The transposed cofactors.
  Matrix3 adjugate() const {
    const Matrix3& m = rotation;
    Matrix3 result{};
    for (std::size_t i = 0; i < 3; ++i)
      for (std::size_t j = 0; j < 3; ++j) {
        const std::size_t a = (j + 1) % 3, b = (j + 2) % 3, c = (i + 1) % 3, d = (i + 2) % 3;
        result[i][j] = m[a][c] * m[b][d] - m[a][d] * m[b][c];
      }
    return result;
  }

  double determinant() const {
    const Matrix3 turned = adjugate();
    return rotation[0][0] * turned[0][0] + rotation[0][1] * turned[1][0] + rotation[0][2] * turned[2][0];
  }
};

/// The angle less whole turns: -pi to pi.
double wrapped(double angle) { return std::remainder(angle, 2 * kPi); }

/// Yaw about the scan's z of a rotation about the camera's y, and the other way round.
double turned_about(double angle) { return wrapped(-angle - kPi / 2); }

double number(const FileText& line, std::string_view word, const char* name) {
  double value = 0;
  line.expect(parse(word, value) && std::abs(value) <= kLargest, "expected a number as ", name, ", found '",
              word.substr(0, 40), "'");
  return value;
}

LabelledBox object_of(const FileText& line, std::span<const std::string_view> words, const ToCamera& to_camera) {
  static constexpr const char* kNames[] = {"type",  "truncated", "occluded",   "alpha", "left",   "top",
                                           "right", "bottom",    "height",     "width", "length", "x",
                                           "y",     "z",         "rotation_y", "score"};
  line.expect(words.size() == 15 || words.size() == 16, "expected 15 columns, or 16 with a score, found ",
              words.size());
  std::array<double, 16> values{};
  for (std::size_t column = 1; column < words.size(); ++column)
    values[column] = number(line, words[column], kNames[column]);
  LabelledBox object;
  object.type = words[0];
  object.truncation = static_cast<float>(values[1]);
  const double occlusion = values[2];
  line.expect(occlusion == std::trunc(occlusion) && occlusion >= -1 && occlusion <= 3,
              "expected -1, 0, 1, 2 or 3 as occluded, found '", words[2].substr(0, 40), "'");
  object.occlusion = static_cast<int>(occlusion);
  for (std::size_t side = 0; side < 4; ++side) object.image_box[side] = static_cast<float>(values[4 + side]);
  if (words.size() == 16) object.score = static_cast<float>(values[15]);
  if (object.type == kDontCare) return object;
  for (std::size_t column = 8; column < 11; ++column)
    line.expect(values[column] >= 0, "expected ", kNames[column], " >= 0, found '", words[column].substr(0, 40), "'");
  const Vector3 bottom = to_camera.scan({values[11], values[12], values[13]});
  object.box = {.x = static_cast<float>(bottom[0]),
                .y = static_cast<float>(bottom[1]),
                .z = static_cast<float>(bottom[2] + values[8] / 2),
                .length = static_cast<float>(values[10]),
                .width = static_cast<float>(values[9]),
                .height = static_cast<float>(values[8]),
                .yaw = static_cast<float>(turned_about(values[14]))};
  return object;
}

/// Of the corners before the camera, cut at the image's edges; zeros where that leaves nothing.
std::array<float, 4> image_box_of(const Box3d& box, const ToCamera& to_camera, const KittiCalibration& calibration) {
  constexpr double kNearest = 0.01;
  std::array<double, 4> sides{kImageWidth, kImageHeight, 0, 0};
  const auto& p = calibration.projection;
  for (int corner = 0; corner < 8; ++corner) {
    const double along = (corner & 1 ? 0.5 : -0.5) * box.length, across = (corner & 2 ? 0.5 : -0.5) * box.width;
    const double c = std::cos(box.yaw), s = std::sin(box.yaw);
    const Vector3 at = to_camera.camera({box.x + along * c - across * s, box.y + along * s + across * c,
                                         box.z + (corner & 4 ? 0.5 : -0.5) * box.height});
    const auto row = [&](std::size_t i) { return p[i] * at[0] + p[i + 1] * at[1] + p[i + 2] * at[2] + p[i + 3]; };
    const double depth = row(8);
    if (depth < kNearest) continue;
    const double u = std::clamp<double>(row(0) / depth, 0, kImageWidth);
    const double v = std::clamp<double>(row(4) / depth, 0, kImageHeight);
    sides = {std::min(sides[0], u), std::min(sides[1], v), std::max(sides[2], u), std::max(sides[3], v)};
  }
  if (sides[0] >= sides[2] || sides[1] >= sides[3]) return {};
  return {static_cast<float>(sides[0]), static_cast<float>(sides[1]), static_cast<float>(sides[2]),
          static_cast<float>(sides[3])};
}

constexpr int kShortest = -1;

/// " VALUE" with so many decimals, or as many as tell it from every other float; the same in every locale.
void append(std::string& line, float value, int decimals) {
  char text[64];
  const auto end = decimals == kShortest
                       ? std::to_chars(text, std::end(text), value).ptr
                       : std::to_chars(text, std::end(text), value, std::chars_format::fixed, decimals).ptr;
  (line += ' ').append(text, end);
}

void append(std::string& line, std::span<const float> values, int decimals) {
  for (const float value : values) append(line, value, decimals);
}

std::string label_line(const LabelledBox& object, const ToCamera& to_camera, const KittiCalibration& calibration) {
  std::string line = object.type;
  append(line, object.truncation, kShortest);
  append(line, static_cast<float>(object.occlusion), 0);
  if (object.type == kDontCare) {
    line += " -10";
    append(line, object.image_box, 2);
    line += " -1 -1 -1 -1000 -1000 -1000 -10";
  } else {
    const Box3d& box = object.box;
    const Vector3 bottom = to_camera.camera({box.x, box.y, box.z - box.height / 2.0});
    const double rotation = turned_about(box.yaw);
    append(line, static_cast<float>(wrapped(rotation - std::atan2(bottom[0], bottom[2]))), 4);
    append(line, image_box_of(box, to_camera, calibration), 2);
    append(line, std::array{box.height, box.width, box.length}, 4);
    for (const double coordinate : bottom) append(line, static_cast<float>(coordinate), 4);
    append(line, static_cast<float>(rotation), 4);
  }
  if (!std::isnan(object.score)) append(line, object.score, kShortest);
  return line;
}

void check_writable(const LabelledBox& object, std::size_t index) {
  const bool is_word = !object.type.empty() && std::ranges::all_of(object.type, [](unsigned char c) { return c > 32; });
  check(is_word, "[write_kitti_labels] expects a type of one word, found '", printable(object.type), "' of object ",
        index);
  check(object.occlusion >= -1 && object.occlusion <= 3, "[write_kitti_labels] expects occlusion -1 to 3, found ",
        object.occlusion, " of object ", index);
  const Box3d& box = object.box;
  for (const float value : {box.x, box.y, box.z, box.length, box.width, box.height, box.yaw, object.truncation})
    check(std::abs(value) <= kLargest, "[write_kitti_labels] expects numbers of at most 1e6, found ", value,
          " of object ", index);
  for (const float value : object.image_box)
    check(std::abs(value) <= kLargest, "[write_kitti_labels] expects an image box of at most 1e6, found ", value,
          " of object ", index);
  check(box.length >= 0 && box.width >= 0 && box.height >= 0,
        "[write_kitti_labels] expects extents >= 0, found a negative one of object ", index);
  check(std::abs(object.score) <= kLargest || std::isnan(object.score),
        "[write_kitti_labels] expects scores of at most 1e6, or NaN for none, found ", object.score, " of object ",
        index);
}

/// take(line, words) for every line that has a word; the line's errors begin with FILE:NUMBER.
template <class Take>
void for_each_line(const std::string& file, std::string_view text, const Take& take) {
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const FileText line(file + ':' + std::to_string(number), "");
    const std::vector<std::string_view> words = FileText(line.name(), text.substr(0, end)).take_words();
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!words.empty()) take(line, words);
  }
}

/// Finds the lines of a calibration by their names.
class CalibrationLines {
 public:
  CalibrationLines(std::string file, std::string_view text) : file_(std::move(file)) {
    for_each_line(file_, text, [&](const FileText& line, const std::vector<std::string_view>& words) {
      std::string_view name = words[0];
      if (name.ends_with(':')) name.remove_suffix(1);  // KITTI's tracking files leave it out of some lines
      line.expect(lines_.try_emplace(name, line, words).second, "has ", name.substr(0, 40), " twice");
    });
  }

  /// The numbers of the line of the first of these names that is there.
  template <std::size_t N>
  std::array<float, N> numbers(std::initializer_list<const char*> names) const {
    const auto* const name = std::ranges::find_if(names, [&](const char* known) { return lines_.contains(known); });
    check<IoError>(name != names.end(), file_, ": has no line ", *names.begin(), ", expected a calibration of KITTI's");
    const auto& [line, words] = lines_.at(*name);
    line.expect(words.size() == N + 1, "expected ", N, " numbers as ", *name, ", found ", words.size() - 1);
    std::array<float, N> values;
    for (std::size_t i = 0; i < N; ++i) values[i] = static_cast<float>(number(line, words[i + 1], *name));
    return values;
  }

 private:
  std::string file_;
  std::map<std::string_view, std::pair<FileText, std::vector<std::string_view>>> lines_;
};

}  // namespace

KittiCalibration KittiCalibration::nominal() {
  return {.projection = {721.5377F, 0, 609.5593F, 0, 0, 721.5377F, 172.854F, 0, 0, 0, 1, 0},
          .rectification = {1, 0, 0, 0, 1, 0, 0, 0, 1},
          .velo_to_cam = {0, -1, 0, 0, 0, 0, -1, 0, 1, 0, 0, 0}};
}

KittiCalibration read_kitti_calibration(const fs::path& path) {
  const std::string bytes = read_bytes(path, "a calibration");
  const CalibrationLines lines(path.string(), bytes);
  KittiCalibration calibration{.projection = lines.numbers<12>({"P2"}),
                               .rectification = lines.numbers<9>({"R0_rect", "R_rect"}),
                               .velo_to_cam = lines.numbers<12>({"Tr_velo_to_cam", "Tr_velo_cam"})};
  check<IoError>(ToCamera(calibration).is_rotation(), path.string(),
                 ": R0_rect and Tr_velo_to_cam are no rotation together");
  return calibration;
}

void write_kitti_calibration(const fs::path& path, const KittiCalibration& calibration) {
  std::string text;
  const auto put = [&](const char* name, std::span<const float> values) {
    text += name;
    append(text, values, kShortest);
    text += '\n';
  };
  for (const char* camera : {"P0:", "P1:", "P2:", "P3:"}) put(camera, calibration.projection);
  put("R0_rect:", calibration.rectification);
  put("Tr_velo_to_cam:", calibration.velo_to_cam);
  put("Tr_imu_to_velo:", std::array<float, 12>{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0});
  write_atomically(path, [&](std::ostream& stream) { stream << text; });
}

std::vector<LabelledBox> read_kitti_labels(const fs::path& path, const KittiCalibration& calibration) {
  const ToCamera to_camera(calibration);
  check(to_camera.is_rotation(), "[read_kitti_labels] expects a calibration that is a rotation");
  const bool is_empty = open_file(path).peek() == std::ifstream::traits_type::eof();
  const std::string bytes = is_empty ? "" : read_bytes(path, "labels");
  std::vector<LabelledBox> objects;
  for_each_line(path.string(), bytes, [&](const FileText& line, std::span<const std::string_view> words) {
    objects.push_back(object_of(line, words, to_camera));
  });
  return objects;
}

void write_kitti_labels(const fs::path& path, const std::vector<LabelledBox>& objects,
                        const KittiCalibration& calibration) {
  const ToCamera to_camera(calibration);
  check(to_camera.is_rotation(), "[write_kitti_labels] expects a calibration that is a rotation");
  std::string text;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    check_writable(objects[i], i);
    text += label_line(objects[i], to_camera, calibration) + '\n';
  }
  write_atomically(path, [&](std::ostream& stream) { stream << text; });
}

}  // namespace voxshift
