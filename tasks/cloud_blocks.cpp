#include <voxshift/tasks/cloud_blocks.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace voxshift {

constexpr double kMostBlocks = 2147483648.0;  // 2^31: two cells make a 62-bit column

void CloudBlocks::cut(const ConstRowView& points, const std::vector<float>& scale, const BlockOptions& options) {
  points_ = points;
  scale_ = scale;
  options_ = options;
  order_.clear();
  rows_.clear();
  starts_.assign(1, 0);
  const auto columns = static_cast<std::ptrdiff_t>(scale.size());
  float highest[3];
  double sum[3] = {};
  std::fill_n(lowest_, 3, std::numeric_limits<float>::max());
  std::fill_n(highest, 3, std::numeric_limits<float>::lowest());
  for (std::int64_t i = 0; i < points.count; ++i) {
    const float* p = row(static_cast<std::int32_t>(i));
    if (!std::all_of(p, p + columns, [](float x) { return std::isfinite(x); })) continue;
    order_.emplace_back(0, static_cast<std::int32_t>(i));
    for (int a = 0; a < 3; ++a) {
      lowest_[a] = std::min(lowest_[a], p[a]);
      highest[a] = std::max(highest[a], p[a]);
      sum[a] += p[a];
    }
  }
  const auto finite = static_cast<std::int64_t>(order_.size());
  dropped_ = points.count - finite;
  if (finite == 0) return;
  for (int a = 0; a < 3; ++a) {
    extent_[a] = highest[a] - lowest_[a];
    centroid_[a] = static_cast<float>(sum[a] / static_cast<double>(finite));
  }
  if (options.size > 0) {
    for (int a = 0; a < 2; ++a)
      check((double{highest[a]} - lowest_[a]) / options.size < kMostBlocks,
            "[segment] the points span more than 2^31 blocks of ", options.size, " m along an axis");
    for (auto& [column, i] : order_) {
      const float* p = row(i);
      const auto cell = [&](int a) { return static_cast<std::int64_t>((double{p[a]} - lowest_[a]) / options.size); };
      column = cell(0) << 31 | cell(1);
    }
    std::sort(order_.begin(), order_.end());
  } else {
    float furthest = 0;
    for (const auto& [column, i] : order_) {
      const float* p = row(i);
      furthest = std::max(furthest, std::hypot(p[0] - centroid_[0], p[1] - centroid_[1], p[2] - centroid_[2]));
    }
    reach_ = furthest > 0 ? furthest : 1;
  }
  for (std::size_t first = 0, last = 0; first < order_.size(); first = last) {
    while (last < order_.size() && order_[last].first == order_[first].first) ++last;
    const auto most = static_cast<std::size_t>(options.points);
    const std::size_t parts = (last - first + most - 1) / most;
    for (std::size_t part = 0; part < parts; ++part) {
      for (std::size_t i = first + part; i < last; i += parts) rows_.push_back(order_[i].second);
      starts_.push_back(static_cast<std::int64_t>(rows_.size()));
    }
  }
}

std::int64_t CloudBlocks::size(std::int64_t block) const {
  const auto b = static_cast<std::size_t>(block);
  return starts_[b + 1] - starts_[b];
}

const std::int32_t* CloudBlocks::rows(std::int64_t block) const {
  return rows_.data() + starts_[static_cast<std::size_t>(block)];
}

void CloudBlocks::features(std::int64_t block, float* out) const {
  const std::int64_t count = size(block);
  const std::int32_t* members = rows(block);
  float middle[3] = {centroid_[0], centroid_[1], centroid_[2]};
  float scale = 1 / reach_;
  if (options_.size > 0) {
    scale = 1;
    middle[2] = lowest_[2];
    for (int a = 0; a < 2; ++a) {
      middle[a] = std::numeric_limits<float>::max();
      for (std::int64_t i = 0; i < count; ++i) middle[a] = std::min(middle[a], row(members[i])[a]);
      middle[a] += options_.size / 2;
    }
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const float* p = row(members[i]);
    for (std::size_t c = 0; c < scale_.size(); ++c)
      *out++ = c < 3 ? (p[c] - middle[c]) * scale * scale_[c] : p[c] * scale_[c];
    if (!options_.room_coordinates) continue;
    for (int a = 0; a < 3; ++a) *out++ = extent_[a] > 0 ? (p[a] - lowest_[a]) / extent_[a] : 0.0f;
  }
}

}  // namespace voxshift
