// A network: its graph and the tensors that the graph names.
#pragma once

#include <voxshift/graph/graph.h>

namespace voxshift {

/// What a Session runs. What a network's inputs and outputs mean to people, a Model says.
struct Network {
  Graph graph;
  Parameters parameters;
};

}  // namespace voxshift
