// The file net.config of SPVNAS' checkpoints.
#include <voxshift/files/read_bytes.h>
#include <voxshift/graph/json_text.h>
#include <voxshift/networks/spvnas.h>
#include <voxshift/tensor/error.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

namespace voxshift {
namespace {

using nlohmann::json;

constexpr int kMostClasses = 255;

const json& at(const json& document, const std::string& key) {
  check<IoError>(document.contains(key), key, " is missing");
  return document[key];
}

int number(const json& value, const std::string& key, int most) {
  check<IoError>(value.is_number_integer() && value >= 1 && value <= most, key, " expects a whole number of 1 to ",
                 most, ", found ", Quoted{value});
  return value.get<int>();
}

double metres(const json& document, const std::string& key) {
  const json& value = at(document, key);
  const double size = value.is_number() ? value.get<double>() : 0;
  const auto stored = static_cast<float>(size);  // as a profile has it
  check<IoError>(std::isfinite(stored) && stored > 0, key, " expects metres above 0, found ", Quoted{value});
  return size;
}

SpvnasStage stage_from(const json& document, const std::string& name) {
  SpvnasStage stage;
  const std::string transition = name + ".transition", feature = name + ".feature";
  stage.transition = number(at(document, transition), transition, kMostSpvnasChannels);
  const int blocks = number(at(document, feature), feature, kMostSpvnasBlocks);
  for (int j = 0; j < blocks; ++j) {
    const std::string middle = feature + ".layers." + std::to_string(j) + ".net.layers.0";
    stage.middle.push_back(number(at(document, middle), middle, kMostSpvnasChannels));
  }
  return stage;
}

SpvnasConfig config_from(const json& document) {
  check<IoError>(document.is_object(), "expected a JSON object, SPVNAS' net.config");
  SpvnasConfig config;
  config.classes = number(at(document, "num_classes"), "num_classes", kMostClasses);
  config.voxel_size = metres(document, "vres");
  check<IoError>(metres(document, "pres") == config.voxel_size, "pres and vres are expected to be equal, found ",
                 Quoted{document["pres"]}, " and ", Quoted{document["vres"]});
  const json& channels = at(document, "output_channels");
  check<IoError>(channels.is_array() && channels.size() == config.output_channels.size(), "output_channels expects ",
                 config.output_channels.size(), " numbers, found ", Quoted{channels});
  for (std::size_t i = 0; i < channels.size(); ++i)
    config.output_channels[i] = number(channels[i], "output_channels", kMostSpvnasChannels);
  for (std::size_t i = 0; i < config.down.size(); ++i) {
    config.down[i] = stage_from(document, "downsample." + std::to_string(i));
    config.up[i] = stage_from(document, "upsample." + std::to_string(i));
  }
  return config;
}

}  // namespace

SpvnasConfig read_spvnas_config(const std::filesystem::path& path) {
  const std::string text = read_bytes(path, "SPVNAS' net.config");
  try {
    return config_from(parse_json(text).value);
  } catch (const IoError& error) {
    throw IoError(path.string() + ": " + error.what());
  }
}

}  // namespace voxshift
