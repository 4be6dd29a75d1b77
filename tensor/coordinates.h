// Coordinates of sparse tensors, and the maps that all who lie on them share.
#pragma once

#include <voxshift/tensor/array.h>
#include <voxshift/tensor/coordinate_cache.h>
#include <voxshift/tensor/coordinate_map.h>

#include <memory>
#include <optional>

namespace voxshift {

/// A set of grid cells: int32 [N, 1 + D], batch first, D = 1..4, in units of their own grid. Rows are unique and in
/// lexicographic order. Immutable; copies share memory and caches.
class Coordinates {
 public:
  using Extents = Window::Extents;

  static constexpr Extents kUnitStride{1, 1, 1, 1};

  /// The cells that occur among `coords`, on any device. `stride`: size of a cell per axis, in cells of the network's
  /// input. `shape`: extent per axis in cells of this grid; kBounded convolutions and to_dense need it. Throws
  /// InvalidArgument for a wrong dtype or shape, a negative batch and coordinates outside `shape`.
  explicit Coordinates(const Array& coords, const Extents& stride = kUnitStride,
                       const std::optional<Extents>& shape = {});

  /// Cells that an op made of others; `cache` is theirs.
  Coordinates(std::shared_ptr<const CoordinateMap> map, std::shared_ptr<CoordinateCache> cache, const Extents& stride,
              const std::optional<Extents>& shape);

  const Array& coords() const { return map_->coords(); }
  std::int64_t size() const { return map_->size(); }
  int dims() const { return map_->dims(); }
  Device device() const { return map_->device(); }
  const Extents& stride() const { return stride_; }
  const std::optional<Extents>& shape() const { return shape_; }

  /// int32 [rows given to the constructor]: the row each became. Empty for coordinates that ops made.
  const Array& inverse() const { return inverse_; }

  /// A copy on `device`, with caches of its own, or these where they are there already.
  Coordinates to(Device device) const;

  const std::shared_ptr<const CoordinateMap>& map() const { return map_; }
  const std::shared_ptr<CoordinateCache>& cache() const { return cache_; }

 private:
  std::shared_ptr<const CoordinateMap> map_;
  std::shared_ptr<CoordinateCache> cache_;
  Extents stride_;
  std::optional<Extents> shape_;
  Array inverse_{{0}, DType::kI32};
};

}  // namespace voxshift
