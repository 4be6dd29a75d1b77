// Boxes: how much they overlap, and which of them better ones leave over.
#pragma once

#include <voxshift/tensor/array.h>

#include <cstdint>
#include <optional>

namespace voxshift {

/// Intersection over union of every box of `a` with every box of `b`, seen from above: f32 [N, M], on their device.
/// Boxes are f32 [N, C], C >= 7: x y z (the centre) length width height in metres, yaw in radians from x towards y;
/// further columns are not read. Exact but for rounding in double; 0 where a box is not finite or has a negative size.
/// Throws InvalidArgument for other shapes or dtypes and for two devices. As boxes_iou_bev of OpenPCDet.
Array boxes_iou_bev(const Array& a, const Array& b);

/// The same of the volumes. As boxes_iou3d_gpu of OpenPCDet.
Array boxes_iou3d(const Array& a, const Array& b);

struct NmsOptions {
  std::optional<Array> classes = {};  ///< i32 [N]: boxes leave those of other classes alone, those
                                      ///< below 0 do not remain; none: one class
  std::int64_t candidates = 4096;     ///< this many of the highest scores take part, at most 16384
  std::int64_t most = 500;            ///< boxes of the result
};

/// Rows i32 [K] of the boxes that remain, from the highest score on, equal ones by row: a box is left out where its
/// overlap seen from above with a remaining one of a higher score is above `threshold`. boxes as above, scores f32 [N].
/// Boxes that are not finite or of negative size, and those whose score is NaN or below 0, do not remain. Throws
/// InvalidArgument. As nms_bev of mmdetection3d, nms_gpu of OpenPCDet.
Array nms_bev(const Array& boxes, const Array& scores, float threshold, const NmsOptions& options = {});

/// The same, but that a box is left out where its centre is within `radius` metres of a remaining one's, seen from
/// above. As circle_nms of CenterPoint, whose threshold is the square of it.
Array circle_nms(const Array& boxes, const Array& scores, float radius, const NmsOptions& options = {});

}  // namespace voxshift
