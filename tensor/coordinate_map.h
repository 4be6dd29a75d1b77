// Coordinates that own their memory and can be looked up.
#pragma once

#include <voxshift/tensor/array.h>
#include <voxshift/tensor/level.h>

#include <memory>
#include <mutex>

namespace voxshift {

class Arena;
struct HashSlot;

/// The unique coordinates of a sparse tensor, sorted by packed key (lexicographically, batch first), with an exact
/// open-addressing hash table that is built on the first look-up. Immutable and thread-safe.
class CoordinateMap {
 public:
  /// `level` lies in `arena`, which the map takes over.
  CoordinateMap(std::unique_ptr<Arena> arena, Level level);
  ~CoordinateMap();

  std::int64_t size() const { return level_.count; }
  int dims() const { return level_.layout.axes() - 1; }
  Device device() const;
  const Level& level() const { return level_; }

  /// int32 [N, 1 + D], batch first, in row order.
  const Array& coords() const { return coords_; }

  /// Whether both hold the same coordinates on the same device.
  bool same_as(const CoordinateMap& other) const;

  /// Rows int32 [M] of the queried coordinates int32 [M, 1 + D], -1 where a coordinate is not present.
  Array find(const Array& queries) const;

  /// The hash table behind find(), as kernels take it: CoordinateKernels::build_table of the level.
  struct Table {
    const HashSlot* slots;
    std::int64_t capacity;
  };
  Table table() const;

 private:
  std::unique_ptr<Arena> arena_;
  Level level_;
  Array coords_;
  mutable std::once_flag table_built_;
  mutable Array table_;  // u8: HashSlot[capacity]
};

}  // namespace voxshift
