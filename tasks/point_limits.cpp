#include <voxshift/tasks/point_limits.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <optional>

namespace voxshift {
namespace {

// The number of the cell of a point, floor((xyz - lowest) / size) in float32; none outside of the range.
class CloudCells {
 public:
  CloudCells(const Profile& profile, std::int64_t columns)
      : range_(*profile.voxelize.range), size_(profile.voxelize.voxel_size.each), columns_(columns) {
    for (std::size_t axis = 0; axis < 3; ++axis)
      extents_[axis] =
          static_cast<std::int64_t>(std::ceil((double{range_.highest[axis]} - range_.lowest[axis]) / size_[axis])) + 1;
  }

  std::optional<std::int64_t> of(const float* point) const {
    for (std::int64_t c = 0; c < columns_; ++c)
      if (!std::isfinite(point[c])) return std::nullopt;
    std::int64_t number = 0;
    for (std::size_t axis = 0; axis < 3; ++axis) {
      if (!(point[axis] >= range_.lowest[axis] && point[axis] < range_.highest[axis])) return std::nullopt;
      const float cell = std::floor((point[axis] - range_.lowest[axis]) / size_[axis]);
      number = number * extents_[axis] + static_cast<std::int64_t>(cell);
    }
    return number;
  }

 private:
  Range range_;
  std::array<float, 3> size_;
  std::int64_t columns_;
  std::array<std::int64_t, 3> extents_{};
};

}  // namespace

PointLimits::Voxel& PointLimits::find(std::int64_t key) {
  const std::size_t mask = table_.size() - 1;
  std::size_t at = (static_cast<std::uint64_t>(key) * 0x9e3779b97f4a7c15u >> 32) & mask;
  while (table_[at].key >= 0 && table_[at].key != key) at = (at + 1) & mask;
  return table_[at];
}

const std::vector<std::int32_t>& PointLimits::choose(const ConstRowView& points, const Profile& profile,
                                                     std::int64_t columns) {
  const CloudCells cells(profile, columns);
  const CloudOptions& limits = *profile.cloud;
  const bool limited = limits.max_points > 0 || limits.max_voxels > 0;
  if (limited) table_.assign(std::bit_ceil(static_cast<std::size_t>(2 * points.count + 2)), Voxel());
  chosen_.clear();
  std::int64_t voxels = 0;
  for (std::int64_t i = 0; i < points.count; ++i) {
    const std::optional<std::int64_t> cell = cells.of(static_cast<const float*>(points.base) + i * points.row_stride);
    if (!cell) continue;
    if (limited) {
      Voxel& voxel = find(*cell);
      if (voxel.key < 0) {
        if (limits.max_voxels > 0 && voxels == limits.max_voxels) continue;
        voxel.key = *cell;
        ++voxels;
      }
      if (limits.max_points > 0 && voxel.points == limits.max_points) continue;
      ++voxel.points;
    }
    chosen_.push_back(static_cast<std::int32_t>(i));
  }
  return chosen_;
}

}  // namespace voxshift
