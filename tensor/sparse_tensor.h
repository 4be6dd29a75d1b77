// A sparse tensor: coordinates, one row of features per coordinate, and the maps that tensors on them share.
#pragma once

#include <voxshift/tensor/array.h>
#include <voxshift/tensor/coordinate_cache.h>
#include <voxshift/tensor/coordinate_map.h>
#include <voxshift/tensor/reduce.h>

#include <memory>
#include <optional>

namespace voxshift {

/// Coordinates int32 [N, 1 + D] (batch first, D = 1..4, in units of their own grid) and features f32 [N, C]. Rows are
/// unique and in lexicographic order of the coordinates. Copies share memory and caches.
class SparseTensor {
 public:
  using Extents = Window::Extents;

  struct Options {
    Extents stride{1, 1, 1, 1};  ///< size of one grid cell per axis, in cells of the network's input
    std::optional<Extents>
        shape;  ///< extent per axis in cells of this grid; kBounded convolutions and to_dense need it
    Reduce reduce = Reduce::kNone;
  };

  /// Sorts a copy where the rows are not in order yet; `inverse` tells where each given row went. Sorted unique
  /// features are shared, not copied. Throws InvalidArgument for a wrong dtype or shape, a negative batch, coordinates
  /// outside `shape`, and repeated coordinates unless `reduce` says what becomes of them.
  SparseTensor(const Array& coords, const Array& features, const Options& options);
  SparseTensor(const Array& coords, const Array& features) : SparseTensor(coords, features, Options()) {}

  /// A tensor on coordinates that exist: what ops return. `cache` is that of the tensor it was computed from.
  SparseTensor(std::shared_ptr<const CoordinateMap> map, std::shared_ptr<CoordinateCache> cache, Array features,
               const Extents& stride, std::optional<Extents> shape);

  const Array& coords() const { return map_->coords(); }
  const Array& features() const { return features_; }
  std::int64_t size() const { return map_->size(); }
  std::int64_t channels() const { return features_.dim(1); }
  int dims() const { return map_->dims(); }
  Device device() const { return features_.device(); }
  const Extents& stride() const { return stride_; }
  const std::optional<Extents>& shape() const { return shape_; }

  /// int32 [rows given to the constructor]: the row each became. Empty for tensors that ops made.
  const Array& inverse() const { return inverse_; }

  /// A copy on `device`, with caches of its own, or this tensor where it is there already.
  SparseTensor to(Device device) const;

  /// The same coordinates with other features [N, C'].
  SparseTensor with_features(Array features) const;

  const std::shared_ptr<const CoordinateMap>& map() const { return map_; }
  const std::shared_ptr<CoordinateCache>& cache() const { return cache_; }

 private:
  std::shared_ptr<const CoordinateMap> map_;
  std::shared_ptr<CoordinateCache> cache_;
  Array features_;
  Extents stride_;
  std::optional<Extents> shape_;
  Array inverse_{{0}, DType::kI32};
};

}  // namespace voxshift
