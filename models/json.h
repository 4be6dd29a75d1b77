// Graphs, profiles and thresholds as JSON, the form they have inside a model file.
#pragma once

#include <voxshift/models/graph.h>
#include <voxshift/models/profile.h>
#include <voxshift/models/skip_thresholds.h>

#include <nlohmann/json_fwd.hpp>

namespace voxshift {

/// The graph as JSON and back. graph_from_json throws InvalidArgument naming what is missing or of the wrong type; it
/// does not know the parameters, so check_graph must follow.
nlohmann::json to_json(const Graph& graph);
Graph graph_from_json(const nlohmann::json& document);

/// The profile as JSON and back. profile_from_json throws InvalidArgument.
nlohmann::json to_json(const Profile& profile);
Profile profile_from_json(const nlohmann::json& document);

/// The thresholds as JSON and back. skip_thresholds_from_json throws InvalidArgument, also for invalid thresholds.
nlohmann::json to_json(const SkipThresholds& thresholds);
SkipThresholds skip_thresholds_from_json(const nlohmann::json& document);

}  // namespace voxshift
