// Random street scenes: which roads there are and which objects stand where.
#pragma once

#include <voxshift/synth/scene.h>

namespace voxshift {

/// A scene around the sensor, which is `sensor_height` metres over the road it drives on: a residential street, a town
/// street between facades, a suburb of gardens, a road through fields and woods, or a wide road with guard rails; with
/// side roads, parked and moving traffic, and vegetation up to the sensor's range.
Scene make_street(Random& random, double sensor_height);

}  // namespace voxshift
