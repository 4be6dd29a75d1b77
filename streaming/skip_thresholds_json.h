// Thresholds as JSON, the form they have inside a model file.
#pragma once

#include <voxshift/streaming/skip_thresholds.h>

#include <nlohmann/json_fwd.hpp>

namespace voxshift {

/// The thresholds as JSON and back. skip_thresholds_from_json throws InvalidArgument, also for invalid thresholds.
nlohmann::json to_json(const SkipThresholds& thresholds);
SkipThresholds skip_thresholds_from_json(const nlohmann::json& document);

}  // namespace voxshift
