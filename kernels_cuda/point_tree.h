// Points in the order of a space-filling curve, and a tree of boxes over them, for searches and sampling.
//
// Cloud b has the places [splits[b], splits[b + 1]), as it has the rows. A box may hold points of two clouds; who walks
// the tree for one looks at its places alone. The squared distance to a box is computed as the one to a point is.
// Rounding keeps order, so it is never more than that of a point in the box.
#pragma once

#include <voxshift/kernels_cuda/clouds.h>

#include <cstdint>
#include <limits>

namespace voxshift::cuda {

constexpr std::uint32_t kFanOut = 8;  ///< points of a leaf, boxes of a box

/// NaN in place of a point that is not finite.
struct alignas(16) PlacedPoint {
  float x, y, z;
  std::int32_t index;
};

struct alignas(16) Box {
  float low[3];
  std::int32_t lowest;  ///< index
  float high[3];
};

/// A point's place on a curve through the cube of cells that spans all points, its cloud in front.
struct Curve {
  const std::uint32_t* corners;  ///< [6] in device memory: lowest and highest of each axis as order_of() gives them
  int bits;                      ///< of an axis

  __device__ std::int64_t cloud(std::uint64_t code) const { return static_cast<std::int64_t>(code >> (3 * bits)); }
};

/// Points by their codes.
struct PlacedPoints {
  const PlacedPoint* points;
  const std::uint64_t* codes;
  std::int64_t count;
};

struct PointTree {
  static constexpr int kMostLevels = 10;  ///< of 2^31 points

  PlacedPoints placed;
  CloudSplits clouds;
  Curve curve;
  int levels;  ///< at least 2
  const Box* boxes[kMostLevels];
};

/// In the queue's arena. The number of points that are not finite is added to `not_finite`, where given.
PointTree build_tree(const Queue& queue, const Clouds& points, unsigned long long* not_finite);

/// Other points along the same curve.
PlacedPoints place_points(const Queue& queue, const Clouds& points, const Curve& curve, unsigned long long* not_finite);

__device__ inline float distance2(const PlacedPoint& p, const float* at) {
  return square_length(p.x - at[0], p.y - at[1], p.z - at[2]);
}

__device__ inline float distance2(const Box& box, const float* at) {
  float gap[3];
  for (int axis = 0; axis < 3; ++axis)
    gap[axis] = fmaxf(fmaxf(box.low[axis] - at[axis], at[axis] - box.high[axis]), 0.0f);
  return square_length(gap[0], gap[1], gap[2]);
}

/// take(leaf), ascending, for the leaves of the places [begin, end) whose boxes are all wanted(box).
template <class Wanted, class Take>
__device__ void walk(const PointTree& tree, std::uint32_t begin, std::uint32_t end, const Wanted& wanted,
                     const Take& take) {
  const int top = tree.levels - 1;
  int level = top;
  std::uint32_t box = begin >> (3 * (level + 1));
  for (;;) {
    const int shift = 3 * (level + 1);  // from places to boxes
    if (box << shift >= end) return;
    if ((box + 1) << shift > begin && wanted(tree.boxes[level][box])) {
      if (level > 0) {
        --level;
        box *= kFanOut;
        continue;
      }
      take(box);
    }
    ++box;
    for (; level < top && box % kFanOut == 0; ++level) box /= kFanOut;
  }
}

}  // namespace voxshift::cuda
