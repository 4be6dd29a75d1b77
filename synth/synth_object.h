// The objects of a simulated street that detectors look for.
#pragma once

#include <voxshift/tensor/box.h>

#include <cstdint>
#include <string_view>

namespace voxshift {

enum class SynthKind { kCar, kVan, kTruck, kPerson, kBicyclist };

/// Its type in KITTI's label files: "Car", "Van", "Truck", "Pedestrian" or "Cyclist".
std::string_view kitti_type(SynthKind kind);

struct SynthObject {
  SynthKind kind;
  Box3d box;                ///< bounds of the body along its heading, from the ground on; a car's without its mirrors
  std::int64_t points = 0;  ///< of the scan, that lie on it
};

}  // namespace voxshift
