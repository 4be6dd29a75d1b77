// A cloud cut into the blocks of points that point networks are trained on.
#pragma once

#include <voxshift/tensor/row_view.h>

#include <cstdint>
#include <vector>

namespace voxshift {

/// How a cloud becomes blocks, and a block the features of a network.
struct BlockOptions {
  float size = 1.5f;             ///< edge of a block along x and y, metres; 0: the cloud is one object
  std::int64_t points = 4096;    ///< most points of a block; denser ones become several, each every n-th point
  bool room_coordinates = true;  ///< append x, y, z as fractions of the cloud's extents

  bool operator==(const BlockOptions&) const = default;
};

/// The blocks of one cloud. Source of both forms: the data of PVCNN. With blocks, as for S3DIS: x and y from the
/// middle of the block (its lowest point plus half a size), z from the cloud's lowest point, further columns as they
/// are, then the room coordinates. An object, as in ShapeNet: x y z from its centroid, divided by the largest distance
/// to it. Points that are not finite are in no block. Holds its memory from cloud to cloud.
class CloudBlocks {
 public:
  /// Cuts a cloud; `scale` has a factor for every column that is used. Throws InvalidArgument for points that span more
  /// than 2^31 blocks.
  void cut(const ConstRowView& points, const std::vector<float>& scale, const BlockOptions& options);

  std::int64_t count() const { return static_cast<std::int64_t>(starts_.size()) - 1; }
  std::int64_t dropped() const { return dropped_; }

  /// Points of a block: rows of the cloud.
  std::int64_t size(std::int64_t block) const;
  const std::int32_t* rows(std::int64_t block) const;

  /// Features f32 [size(block), channels] of a block.
  void features(std::int64_t block, float* out) const;

 private:
  const float* row(std::int32_t i) const { return static_cast<const float*>(points_.base) + i * points_.row_stride; }

  ConstRowView points_;
  std::vector<float> scale_;
  BlockOptions options_;
  std::vector<std::pair<std::int64_t, std::int32_t>> order_;  // (block column, row)
  std::vector<std::int32_t> rows_;
  std::vector<std::int64_t> starts_{0};
  float lowest_[3]{}, extent_[3]{}, centroid_[3]{}, reach_ = 1;
  std::int64_t dropped_ = 0;
};

}  // namespace voxshift
