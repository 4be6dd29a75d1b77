// Graphs as JSON, the form they have inside a model file.
#pragma once

#include <voxshift/graph/graph.h>

#include <nlohmann/json_fwd.hpp>

namespace voxshift {

/// The graph as JSON and back. graph_from_json throws InvalidArgument naming what is missing or of the wrong type; it
/// does not know the parameters, so check_graph must follow.
nlohmann::json to_json(const Graph& graph);
Graph graph_from_json(const nlohmann::json& document);

}  // namespace voxshift
