#include <voxshift/models/calibrate.h>
#include <voxshift/models/json.h>
#include <voxshift/models/minkunet.h>
#include <voxshift/models/model.h>
#include <voxshift/models/safetensors.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace voxshift {
namespace {

using nlohmann::json;

constexpr const char* kFormat = "1";
constexpr std::uint32_t kHighestId = 65535;  // the lower half of a .label's word; the upper one is the instance
constexpr std::size_t kMostClasses = 255;    // 255 itself marks unlabelled points

json to_json(const std::vector<ClassInfo>& classes) {
  json list = json::array();
  for (const ClassInfo& info : classes) list.push_back({{"name", info.name}, {"id", info.raw_id}, {"rgb", info.rgb}});
  return list;
}

std::vector<ClassInfo> classes_from_json(const json& list) try {
  std::vector<ClassInfo> classes;
  const auto number = [](const json& value, std::uint32_t highest) {
    check(value.is_number_unsigned() && value <= highest, "[classes] expected a whole number of 0 to ", highest,
          ", found ", value.dump());
    return value.get<std::uint32_t>();
  };
  for (const json& entry : list) {
    ClassInfo info{entry.at("name").get<std::string>(), number(entry.at("id"), kHighestId), {}};
    for (std::size_t c = 0; c < 3; ++c) info.rgb[c] = static_cast<std::uint8_t>(number(entry.at("rgb").at(c), 255));
    classes.push_back(std::move(info));
  }
  return classes;
} catch (const json::exception& error) {
  throw InvalidArgument(std::string("[classes] ") + error.what());
}

json metadata(const SafeTensors& file, const std::string& key) {
  const auto found = file.metadata.find(key);
  check(found != file.metadata.end(), "metadata \"", key, "\" is missing; expected a model made by voxshift");
  json document = json::parse(found->second, nullptr, false);
  check(!document.is_discarded(), "metadata \"", key, "\" is not JSON");
  return document;
}

Model from_file(const SafeTensors& file) {
  const auto format = file.metadata.find("voxshift.format");
  check(format != file.metadata.end(), "metadata \"voxshift.format\" is missing; expected a model made by voxshift");
  check(format->second == kFormat, "format \"", format->second, "\" is unknown, this version reads \"", kFormat, "\"");
  const json graph = metadata(file, "voxshift.graph");
  const auto arch = file.metadata.find("voxshift.arch");
  return {arch == file.metadata.end() ? "custom" : arch->second, graph_from_json(graph), file.tensors,
          profile_from_json(metadata(file, "voxshift.profile")), classes_from_json(metadata(file, "voxshift.classes"))};
}

// SemanticKITTI's classes where their number fits, else numbered ones in evenly spread hues.
std::vector<ClassInfo> classes_for(int count) {
  if (count == static_cast<int>(semantic_kitti_classes().size())) return semantic_kitti_classes();
  std::vector<ClassInfo> classes;
  for (int i = 0; i < count; ++i) {
    const auto channel = [&](int phase) { return static_cast<std::uint8_t>(60 + (i * 97 + phase * 71) % 180); };
    classes.push_back(
        {"class " + std::to_string(i), static_cast<std::uint32_t>(i + 1), {channel(0), channel(1), channel(2)}});
  }
  return classes;
}

}  // namespace

Model::Model(std::string arch, Graph graph, Parameters parameters, Profile profile, std::vector<ClassInfo> classes)
    : arch_(std::move(arch)),
      graph_(std::move(graph)),
      parameters_(std::move(parameters)),
      profile_(std::move(profile)),
      classes_(std::move(classes)),
      channels_(check_graph(graph_, parameters_)) {
  check(profile_.channels() == graph_.in_channels, "[model] the profile gives ", profile_.channels(),
        " channels, the network takes ", graph_.in_channels);
  const std::int64_t logits = channels_.at(graph_.output);
  check(static_cast<std::int64_t>(classes_.size()) == logits, "[model] the network gives ", logits,
        " logits, the class list has ", classes_.size());
  check(classes_.size() <= kMostClasses, "[model] at most ", kMostClasses, " classes, found ", classes_.size());
}

Model Model::load(const std::filesystem::path& path) {
  const SafeTensors file = read_safetensors(path);
  try {
    return from_file(file);
  } catch (const InvalidArgument& error) {
    throw IoError(path.string() + ": " + error.what());
  }
}

Model Model::create(const ModelSpec& spec) {
  check(spec.arch == "minkunet", "[new] unknown architecture \"", spec.arch, "\", expected minkunet");
  check(spec.classes >= 1 && spec.classes <= static_cast<int>(kMostClasses), "[new] classes expects 1 to ",
        kMostClasses, ", found ", spec.classes);
  Network network = make_minkunet(spec.width, spec.classes, spec.seed);
  calibrate_batch_norm(network.graph, network.parameters, spec.seed);
  return {spec.arch, std::move(network.graph), std::move(network.parameters), known_profiles().front(),
          classes_for(spec.classes)};
}

void Model::save(const std::filesystem::path& path) const {
  write_safetensors(path, {parameters_,
                           {{"voxshift.format", kFormat},
                            {"voxshift.arch", arch_},
                            {"voxshift.graph", voxshift::to_json(graph_).dump()},
                            {"voxshift.profile", voxshift::to_json(profile_).dump()},
                            {"voxshift.classes", to_json(classes_).dump()}}});
}

std::int64_t Model::parameter_count() const {
  std::int64_t count = 0;
  for (const Node& node : graph_.nodes)
    for (const auto& [role, tensor] : node.parameters)
      if (!role.starts_with("running_")) count += parameters_.at(tensor).count();
  return count;
}

Model Model::with_profile(Profile profile) const { return {arch_, graph_, parameters_, std::move(profile), classes_}; }

}  // namespace voxshift
