// A sparse tensor: coordinates, and one row of features per coordinate.
#pragma once

#include <voxshift/tensor/array.h>
#include <voxshift/tensor/coordinates.h>
#include <voxshift/tensor/reduce.h>

#include <memory>
#include <optional>

namespace voxshift {

/// Coordinates and features f32, f16 or bf16 [N, C]. Copies share memory and caches. Convolutions, pools, sums and
/// selections take all three; other ops f32.
class SparseTensor {
 public:
  using Extents = Coordinates::Extents;

  struct Options {
    Extents stride = Coordinates::kUnitStride;  ///< as of Coordinates
    std::optional<Extents> shape;               ///< as of Coordinates
    Reduce reduce = Reduce::kNone;
  };

  /// Sorts a copy where the rows are not in order yet; `inverse` tells where each given row went. Sorted unique
  /// features are shared, not copied. Throws InvalidArgument as Coordinates does, for features of another dtype or
  /// shape, and for repeated coordinates unless `reduce` says what becomes of them.
  SparseTensor(const Array& coords, const Array& features, const Options& options);
  SparseTensor(const Array& coords, const Array& features) : SparseTensor(coords, features, Options()) {}

  /// Features in the order of the coordinates' rows, not copied. Throws InvalidArgument for another dtype or shape.
  SparseTensor(const Coordinates& coordinates, Array features);

  const Coordinates& coordinates() const { return coordinates_; }
  const Array& features() const { return features_; }
  DType dtype() const { return features_.dtype(); }
  std::int64_t channels() const { return features_.dim(1); }
  Device device() const { return features_.device(); }

  // Those of the coordinates.
  const Array& coords() const { return coordinates_.coords(); }
  std::int64_t size() const { return coordinates_.size(); }
  int dims() const { return coordinates_.dims(); }
  const Extents& stride() const { return coordinates_.stride(); }
  const std::optional<Extents>& shape() const { return coordinates_.shape(); }
  const std::shared_ptr<const CoordinateMap>& map() const { return coordinates_.map(); }
  const std::shared_ptr<CoordinateCache>& cache() const { return coordinates_.cache(); }

  /// Where only coordinates are needed a tensor stands for its own.
  operator const Coordinates&() const { return coordinates_; }

  /// int32 [rows given to the constructor]: the row each became. Empty for tensors that ops made.
  const Array& inverse() const { return coordinates_.inverse(); }

  /// A copy on `device`, with caches of its own, or this tensor where it is there already.
  SparseTensor to(Device device) const;

  /// The same coordinates with other features [N, C'].
  SparseTensor with_features(Array features) const;

 private:
  Coordinates coordinates_;
  Array features_;
};

}  // namespace voxshift
