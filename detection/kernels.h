// Contract of detection: candidates of score maps, boxes of candidates, suppression.
#pragma once

#include <voxshift/detection/overlap.h>
#include <voxshift/tensor/row_view.h>
#include <voxshift/tensor/runtime.h>

#include <array>
#include <cstdint>

namespace voxshift {

/// Columns of a box in the backends' memory: x y z length width height yaw vx vy.
constexpr std::int64_t kBoxColumns = 9;

/// Suppression compares pairs of at most this many boxes.
constexpr std::int64_t kMostCandidates = 1 << 14;

/// The best elements of a score map, best first. `count` and what it counts lie on the device.
struct CandidateView {
  std::int64_t most;      ///< room in the two arrays, at most kMostCandidates
  std::int32_t* count;    ///< [1]
  std::int32_t* element;  ///< [most] row * channels + channel
  float* score;           ///< [most]
};

/// Boxes with scores and classes, `rows` of them or as many as a count on the device says.
struct BoxView {
  std::int64_t rows;
  std::int64_t columns;   ///< of boxes: 7 or kBoxColumns
  float* boxes;           ///< [rows, columns]
  float* scores;          ///< [rows]; below 0: none
  std::int32_t* classes;  ///< [rows]; -1: no box
};

/// Where the cells of a map lie: row ix * height + iy of the map is cell (ix, iy).
struct MapGrid {
  std::int64_t width, height;        ///< cells along x and y
  std::array<float, 2> first, step;  ///< metres: of cell (0, 0), and from cell to cell
};

/// What a decoded box has to be like.
struct BoxLimits {
  std::array<float, 3> lowest, highest;  ///< of its centre, metres
  float least_size, most_size;           ///< of length, width and height, metres
};

/// A map of anchors: channels a * classes + c of the scores, a * columns + i of the boxes, a * bins + b of the
/// directions.
struct AnchorMaps {
  ConstRowView boxes, directions;  ///< directions.base null: none
  MapGrid grid;
  const float* anchors;  ///< [anchors, 5]: length width height z yaw
  std::int64_t anchor_count, classes, bins;
  float direction_offset;  ///< radians
  BoxLimits limits;
};

/// The maps of a group of classes whose boxes are found by their centres; a null base of the velocity: none.
struct CenterMaps {
  ConstRowView offset, height, size, rotation, velocity;
  MapGrid grid;
  const std::int32_t* classes;  ///< [channels of the heat map]
  std::int64_t class_count;
  bool sine_first;  ///< rotation is (sin, cos), else (cos, sin)
  BoxLimits limits;
};

/// Which boxes a better one suppresses.
struct Suppression {
  float overlap;   ///< intersection over union seen from above that is above this
  float radius;    ///< from 0 on, in place of the overlap: centres within this distance, metres
  bool per_class;  ///< only boxes of its own class
};

/// Kernels of detection. Maps are f32, on CUDA also f16. Nothing is read back; scratch comes from context.arena and is
/// given back. Same results on every run and for any number of threads.
class DetectionKernels {
 public:
  virtual ~DetectionKernels() = default;

  /// The elements of the map above `least`, at most out.most, by value, equal ones by element. Scores are 1 / (1 +
  /// exp(-x)) where `logistic`, else x. With a group only the best channel of each `group` neighbours, the first of
  /// equal ones. NaN is never one.
  virtual void candidates(const Context&, const ConstRowView& map, std::int64_t group, float least, bool logistic,
                          const CandidateView& out) const = 0;

  /// out[i] = the box of candidate i. With the anchor (l, w, h, z, yaw) of its cell and d = sqrt(l^2 + w^2), the boxes'
  /// channels (x y z l w h r ..) give (cell + (x, y) d, z h + z', exp(..) l w h, yaw + r), and further ones velocities;
  /// then yaw = offset + period * b + (yaw - offset) mod period for the highest direction bin b, period = 2 pi / bins.
  /// What breaks the limits or is not finite has class -1.
  virtual void decode_anchors(const Context&, const AnchorMaps&, const CandidateView&, const BoxView& out) const = 0;

  /// out[i] = the box of candidate i: cell + offset * step, height, exp(size), atan2(sin, cos), velocity.
  virtual void decode_centers(const Context&, const CenterMaps&, const CandidateView&, const BoxView& out) const = 0;

  /// kept = the first `most` of the boxes that no kept box before them suppresses; boxes without a class and those that
  /// are not finite or of negative size are left out. `count` [1] says how many boxes there are.
  virtual void suppress(const Context&, const BoxView& boxes, const std::int32_t* count, const Suppression&,
                        std::int64_t most, std::int32_t* kept, std::int32_t* kept_count) const = 0;

  /// out[i] = in[rows[i]] for i below `count` [1], the first columns of the box; no box in the rest of out.
  virtual void gather_boxes(const Context&, const BoxView& in, const std::int32_t* rows, const std::int32_t* count,
                            const BoxView& out) const = 0;

  /// out [a.count, b.count] = intersection over union of boxes f32 (x y z length width height yaw ..), seen from above
  /// or of the volumes. 0 for what is not finite or of negative size.
  virtual void overlaps(const Context&, const ConstRowView& a, const ConstRowView& b, bool volumes,
                        float* out) const = 0;
};

namespace cpu {
const DetectionKernels& detection_kernels();
}
namespace cuda {
const DetectionKernels& detection_kernels();
}

inline const DetectionKernels& detection_kernels(Device device) {
  return on<DetectionKernels>(device, cpu::detection_kernels, cuda::detection_kernels);
}

}  // namespace voxshift
