// Thresholds of skipping: what is valid, and their form in a model file.
#include <voxshift/streaming/skip_thresholds.h>
#include <voxshift/streaming/skip_thresholds_json.h>
#include <voxshift/tensor/error.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace voxshift {

using nlohmann::json;

void check_valid(const SkipThresholds& thresholds) {
  const auto valid = [](const std::string& what, float value) {
    check(std::isfinite(value) && value >= 0, "[skip] the threshold of ", what, " expects a finite number >= 0, found ",
          value);
  };
  valid("the frame", thresholds.frame);
  valid("whole frames", thresholds.whole_frame);
  for (const auto& [layer, threshold] : thresholds.layers) valid("layer \"" + layer + "\"", threshold);
}

json to_json(const SkipThresholds& thresholds) {
  return {{"frame", thresholds.frame}, {"layers", thresholds.layers}, {"whole_frame", thresholds.whole_frame}};
}

SkipThresholds skip_thresholds_from_json(const json& document) try {
  SkipThresholds thresholds{document.at("frame").get<float>(),
                            document.at("layers").get<std::map<std::string, float>>(),
                            document.at("whole_frame").get<float>()};
  check_valid(thresholds);
  return thresholds;
} catch (const json::exception& error) {
  throw InvalidArgument(std::string("[skip] ") + error.what());
}

}  // namespace voxshift
