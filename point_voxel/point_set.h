// Points of one or more clouds.
#pragma once

#include <voxshift/tensor/array.h>
#include <voxshift/tensor/row_view.h>

#include <cstdint>
#include <optional>

namespace voxshift {

/// Clouds one after the other, as Open3D's ragged operators take them.
struct PointSet {
  Array points;                     ///< f32 [N, C], C >= 3, x y z first, metres
  std::optional<Array> row_splits;  ///< i64 [B + 1], cpu: rows [s[b], s[b + 1]) are cloud b; none: one cloud
};

/// A point set as kernels see it: cloud b is the rows [splits[b], splits[b + 1]).
struct Clouds {
  ConstRowView points;         ///< f32, at least three columns, of which x y z are used
  const std::int64_t* splits;  ///< [count + 1], host memory, from 0 to points.count
  std::int64_t count;
};

/// The set with row splits, checked: `what` names it in errors of `op`. Throws InvalidArgument for another shape or
/// dtype, more than 2^31 - 1 points, and splits that are not i64 [B + 1], B >= 1, ascending from 0 to N.
PointSet checked(const PointSet& set, const char* op, const char* what);

/// Throws InvalidArgument unless both checked sets have as many clouds and lie on the same device.
void check_same_clouds(const PointSet& a, const PointSet& b, const char* op, const char* names);

/// The view of a checked set, valid as long as the set.
Clouds clouds_of(const PointSet& set);

}  // namespace voxshift
