// .bin: float32 rows without a header, as KITTI and nuScenes have them.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "fields.h"
#include "formats.h"
#include "text.h"

namespace voxshift {
namespace {

constexpr int kUsualColumns = 4, kMostColumns = 1024;

/// Mean over the columns of the logarithm of how far a value lies from the one above it. Neighbours in a column of the
/// right width are of one kind, and those of a scan nearly alike; in another width coordinates, heights and remission
/// stand below each other.
double mean_log_step(const std::vector<float>& values, std::size_t columns) {
  constexpr std::size_t kAsked = 4096;
  constexpr double kLeast = 1e-3, kMost = 1e4;
  const std::size_t rows = values.size() / columns, every = std::max<std::size_t>(1, rows / kAsked);
  double total = 0;
  for (std::size_t c = 0; c < columns; ++c) {
    double sum = 0, count = 0;
    for (std::size_t row = 1; row < rows; row += every) {
      const std::size_t at = row * columns + c;
      const double step = std::abs(values[at] - values[at - columns]);
      if (!(step < kMost)) continue;
      sum += step, ++count;
    }
    total += std::log(sum / std::max(count, 1.0) + kLeast);
  }
  return total / static_cast<double>(columns);
}

/// The width that the values show; 0 where they show none. The narrowest of widths that explain them alike: the
/// rows of twice the width do so, too.
int guess_columns(const std::vector<float>& values) {
  constexpr int kNarrowest = 3, kWidest = 8;
  constexpr double kEvidence = 0.4, kAlike = 0.15;
  constexpr std::size_t kLeastRows = 100;
  if (values.size() < kLeastRows * kWidest) return 0;
  double scores[kWidest + 1];
  double best = mean_log_step(values, 1) - kEvidence;
  for (int columns = kNarrowest; columns <= kWidest; ++columns) {
    const bool fits = values.size() % static_cast<std::size_t>(columns) == 0;
    scores[columns] = fits ? mean_log_step(values, static_cast<std::size_t>(columns)) : INFINITY;
    best = std::min(best, scores[columns]);
  }
  for (int columns = kNarrowest; columns <= kWidest; ++columns)
    if (scores[columns] <= best + kAlike) return columns;
  return 0;
}

/// Whether the bytes are numbers that sensors give, as far as some thousands of them show: of the bits of another type,
/// taken for T, a quarter and more are absurdly near 0 or absurdly large.
template <class T>
bool are_sensible(const std::string& bytes, bool swapped) {
  constexpr T kSmall = T(1e-20), kLarge = T(1e20);
  constexpr std::size_t kAsked = 4096;
  const std::size_t count = bytes.size() / sizeof(T),
                    every = count / kAsked | 1;  // odd: it meets both halves of doubles
  std::size_t absurd = 0, asked = 0;
  for (std::size_t i = 0; i < count; i += every, ++asked) {
    char raw[sizeof(T)];
    std::memcpy(raw, bytes.data() + i * sizeof(T), sizeof(T));
    if (swapped) std::reverse(raw, raw + sizeof(T));
    const T size = std::abs(std::bit_cast<T>(raw));
    absurd += std::isfinite(size) && size != 0 && (size < kSmall || size > kLarge);
  }
  return absurd * 20 <= asked;
}

/// Refuses other types, of whose bits a network would label what is finite.
void expect_floats(const FileText& file, const std::string& bytes) {
  if (are_sensible<float>(bytes, false)) return;
  const auto is = [&](const char* type) {
    file.expect(false, "the values are no float32; convert it: numpy.fromfile(path, \"", type,
                "\").astype(\"f4\").tofile(path)");
  };
  if (are_sensible<float>(bytes, true)) is(">f4");
  if (are_sensible<double>(bytes, false)) is("<f8");
  file.expect(false, "the values are no float32 in rows without a header");
}

}  // namespace

PointCloud read_bin(const std::string& name, const std::string& bytes, std::optional<int> columns) {
  check(!columns || (*columns >= 3 && *columns <= kMostColumns), "[read_points] columns expected in 3..", kMostColumns,
        ", found ", columns.value_or(0));
  const FileText file(name, bytes);
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  const int shown = columns || bytes.size() % sizeof(float) != 0 ? 0 : guess_columns(values);
  const auto width = static_cast<std::size_t>(columns ? *columns : shown > 0 ? shown : kUsualColumns);
  file.expect(bytes.size() % (width * sizeof(float)) == 0, bytes.size(), " bytes are no multiple of ",
              width * sizeof(float), " (", width,
              " float32 columns): the file is cut, or has another number of columns (--columns N)");
  expect_floats(file, bytes);
  PointCloud cloud;
  if (width == 3) {
    const Field xyz[] = {{"", Scalar::kF32, bytes.data(), 12},
                         {"", Scalar::kF32, bytes.data() + 4, 12},
                         {"", Scalar::kF32, bytes.data() + 8, 12}};
    cloud = cloud_of_columns(xyz, static_cast<std::int64_t>(values.size() / 3));
  } else {
    cloud.points = std::move(values);
    cloud.columns = static_cast<std::int64_t>(width);
    cloud.has_remission = true;
  }
  if (shown > 0 && shown != kUsualColumns)
    cloud.notes.push_back("was taken for rows of " + std::to_string(shown) +
                          " float32, as its values show (--columns N, columns=)");
  return cloud;
}

}  // namespace voxshift
