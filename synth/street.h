// The random street scene: which objects stand where.
#pragma once

#include <voxshift/synth/scene.h>

#include <vector>

namespace voxshift {

struct Scene {
  Ground ground;
  std::vector<Part> parts;
};

/// A street with buildings, fences, hedges, trees, parked and moving vehicles, people, poles and signs. Counts are
/// nearly fixed and places are stratified, so that scans of different streets have similar numbers of voxels.
Scene make_street(Random& random);

}  // namespace voxshift
