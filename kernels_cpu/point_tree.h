// A balanced k-d tree over the finite points of a cloud, for search and sampling.
//
// The tree is an order of the points. Leaf j holds the places [j * leaf_size, (j + 1) * leaf_size); all leaves but the
// last are full, and every aligned run of 2^i leaves is a subtree. What is stored beside the points are the boxes of
// these runs, on every fourth level: searches test kFanOut boxes at a time.
#pragma once

#include <voxshift/point_voxel/kernels.h>

#include <cstdint>
#include <limits>

namespace voxshift::cpu {

constexpr std::int64_t kFanOut = 16;
constexpr std::int32_t kNoPoint = std::numeric_limits<std::int32_t>::max();  // above every index

/// Boxes [count] around runs of points, padded to a multiple of kFanOut with boxes from +infinity to -infinity.
struct Boxes {
  float* low[3];
  float* high[3];
  std::int32_t* lowest;  ///< lowest index of a point in the box, kNoPoint in padding
  std::int64_t count;
};

struct PointTree {
  static constexpr int kMostLevels = 8;  // 16^8 = 2^32 leaves

  std::int64_t count;        ///< finite points
  std::int64_t leaf_size;    ///< a multiple of 16
  float* at[3];              ///< x, y, z [leaves() * leaf_size] in tree order, aligned to 64 bytes; NaN in padding
  std::int32_t* index;       ///< row of the point set, kNoPoint in padding
  int levels;                ///< at least 1; the last has at most kFanOut boxes
  Boxes boxes[kMostLevels];  ///< [0]: of the leaves; box i of [l + 1] holds kFanOut * i .. kFanOut * (i + 1) - 1 of [l]

  std::int64_t leaves() const { return boxes[0].count; }
};

/// One tree per cloud, in memory of context.arena. The order of a tree depends on its points alone. leaf_size: a power
/// of two of at least 16.
PointTree* build_trees(const Context& context, const Clouds& clouds, std::int64_t leaf_size);

}  // namespace voxshift::cpu
