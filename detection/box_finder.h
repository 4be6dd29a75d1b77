// From the maps of a detection network to boxes.
#pragma once

#include <voxshift/detection/detection_head.h>
#include <voxshift/tensor/array.h>
#include <voxshift/tensor/row_view.h>
#include <voxshift/tensor/runtime.h>

#include <functional>
#include <string>
#include <vector>

namespace voxshift {

/// Boxes in the frame of the scan, best first, on the device that found them.
struct Detections {
  Array boxes;    ///< f32 [N, 7], or [N, 9]: x y z (the centre) length width height yaw (vx vy); metres, radians
  Array scores;   ///< f32 [N]: 0 to 1
  Array classes;  ///< i32 [N]
};

/// An output of the network: an image whose row x * height + y is cell (x, y).
struct MapView {
  ConstRowView rows;
  std::int64_t width = 0, height = 0;  ///< cells along x and y
};

/// Decodes maps and leaves out what better boxes suppress. On a device nothing is read back but the number of boxes.
class BoxFinder {
 public:
  /// classes: of the model. `channels` gives those of an output by name.
  BoxFinder(DetectionHead head, std::int64_t classes, Device device,
            const std::function<std::int64_t(const std::string&)>& channels);

  /// Whether boxes have velocities.
  bool has_velocity() const { return has_velocity_; }

  /// `map` gives the outputs by name. Scratch comes from context.arena; nothing else is allocated but the result. Equal
  /// scores keep the order of heads and cells.
  Detections find(const Context& context, const std::function<MapView(const std::string&)>& map) const;

 private:
  DetectionHead head_;
  std::int64_t classes_;
  bool has_velocity_ = false;
  std::vector<Array> tables_;  // by head: the anchors f32 [A, 5], or the classes i32 of a heat map
};

}  // namespace voxshift
