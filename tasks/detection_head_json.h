// What the maps of a detector mean, as JSON in a model's file.
#pragma once

#include <voxshift/detection/detection_head.h>
#include <voxshift/graph/graph.h>

#include <nlohmann/json.hpp>

namespace voxshift {

nlohmann::json to_json(const DetectionHead& head);

/// Throws InvalidArgument "[detection] KEY expects ..".
DetectionHead detection_head_from_json(const nlohmann::json& document);

/// Throws InvalidArgument "[detection] .." unless the maps are images of the graph's outputs with the channels that the
/// heads want of so many classes, all of a head of one size, and the numbers are in range.
void check_valid(const DetectionHead& head, const Graph& graph, const GraphValues& values, std::size_t classes);

}  // namespace voxshift
