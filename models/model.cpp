#include <voxshift/models/calibrate.h>
#include <voxshift/models/json.h>
#include <voxshift/models/minkunet.h>
#include <voxshift/models/model.h>
#include <voxshift/models/pointnet2.h>
#include <voxshift/models/pvcnn.h>
#include <voxshift/models/safetensors.h>
#include <voxshift/models/spvcnn.h>
#include <voxshift/models/spvnas.h>

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

// The classes of the data set that has so many, else numbered ones in evenly spread hues.
std::vector<ClassInfo> classes_for(int count) {
  for (const auto& known : {semantic_kitti_classes(), nuscenes_classes(), waymo_classes()})
    if (count == static_cast<int>(known.size())) return known;
  std::vector<ClassInfo> classes;
  for (int i = 0; i < count; ++i) {
    const auto channel = [&](int phase) { return static_cast<std::uint8_t>(60 + (i * 97 + phase * 71) % 180); };
    classes.push_back(
        {"class " + std::to_string(i), static_cast<std::uint32_t>(i + 1), {channel(0), channel(1), channel(2)}});
  }
  return classes;
}

// An architecture by name, and what it is made of where the spec does not say.
struct Architecture {
  const char* name;
  int classes;
  const char* profile;
  Network (*make)(const ModelSpec&, Profile&);
};

Network new_spvnas(const ModelSpec& spec, Profile& profile) {
  if (spec.config.empty() && spec.parameters) return load_spvnas(spvnas_config_of(*spec.parameters), *spec.parameters);
  if (spec.config.empty()) return make_spvnas(default_spvnas_config(spec.width, spec.classes), spec.seed);
  const SpvnasConfig config = read_spvnas_config(spec.config);
  profile.voxelize.voxel_size = static_cast<float>(config.voxel_size);
  return spec.parameters ? load_spvnas(config, *spec.parameters) : make_spvnas(config, spec.seed);
}

PvcnnSpec pvcnn_spec(PvcnnSpec pvcnn, const ModelSpec& spec, const Profile& profile) {
  pvcnn.width = spec.width;
  pvcnn.classes = spec.classes;
  pvcnn.in_channels = profile.channels();
  return pvcnn;
}

const Architecture& find_architecture(const std::string& name) {
  static const Architecture known[] = {
      {"minkunet", 19, "spvnas",
       [](const ModelSpec& spec, Profile&) { return make_minkunet(spec.width, spec.classes, spec.seed); }},
      {"spvcnn", 19, "spvnas",
       [](const ModelSpec& spec, Profile&) { return make_spvcnn(spec.width, spec.classes, spec.seed); }},
      {"spvnas", 19, "spvnas", new_spvnas},
      {"pvcnn", 13, "s3dis",
       [](const ModelSpec& spec, Profile& profile) {
         return make_pvcnn(pvcnn_spec(PvcnnSpec::s3dis(), spec, profile), spec.seed);
       }},
      {"pvcnn-shapenet", 50, "shapenet",
       [](const ModelSpec& spec, Profile& profile) {
         return make_pvcnn(pvcnn_spec(PvcnnSpec::shapenet(), spec, profile), spec.seed);
       }},
      {"pvcnn++", 13, "s3dis-8192",
       [](const ModelSpec& spec, Profile& profile) {
         return make_pvcnn2(pvcnn_spec(PvcnnSpec::s3dis(), spec, profile), spec.seed);
       }},
      {"pointnet++", 50, "shapenet",
       [](const ModelSpec& spec, Profile& profile) {
         return make_pointnet2(pvcnn_spec(PvcnnSpec::shapenet(), spec, profile), spec.seed);
       }},
  };
  std::string names;
  for (const Architecture& arch : known) {
    if (name == arch.name) return arch;
    if (!names.empty()) names += ", ";
    names += arch.name;
  }
  throw InvalidArgument("[new] unknown architecture \"" + name + "\", expected one of " + names);
}

void check_profile(const Graph& graph, const Profile& profile) {
  const bool points = graph.input == GraphInput::kPoints;
  check(profile.blocks.has_value() == points, "[model] the network takes ", points ? "points" : "voxels",
        ", the profile \"", profile.name, "\" gives ", points ? "voxels" : "points");
  check(profile.channels() == graph.in_channels, "[model] the profile gives ", profile.channels(),
        " channels, the network takes ", graph.in_channels);
}

// The tensors of `given` that the network `wanted` has; shapes are checked with the graph.
Parameters taken(const Parameters& wanted, const Parameters& given) {
  Parameters result;
  for (const auto& [name, tensor] : wanted) {
    const auto found = given.find(name);
    check(found != given.end(), "[new] tensor \"", name, "\" is missing, expected f32 ", to_string(tensor.shape()));
    result.emplace(name, found->second);
  }
  return result;
}

}  // namespace

Model::Model(std::string arch, Graph graph, Parameters parameters, Profile profile, std::vector<ClassInfo> classes)
    : arch_(std::move(arch)),
      graph_(std::move(graph)),
      parameters_(std::move(parameters)),
      profile_(std::move(profile)),
      classes_(std::move(classes)),
      channels_(check_graph(graph_, parameters_)) {
  check_profile(graph_, profile_);
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
  const Architecture& arch = find_architecture(spec.arch);
  ModelSpec full = spec;
  if (full.classes == 0) full.classes = arch.classes;
  check(full.classes >= 1 && full.classes <= static_cast<int>(kMostClasses), "[new] classes expects 1 to ",
        kMostClasses, ", found ", full.classes);
  check(spec.config.empty() || spec.arch == "spvnas", "[new] a net.config belongs to spvnas, not to ", spec.arch);
  Profile profile = find_profile(spec.profile.empty() ? arch.profile : spec.profile);
  Network network = arch.make(full, profile);
  check_profile(network.graph, profile);
  if (spec.parameters) {
    network.parameters = taken(network.parameters, *spec.parameters);
  } else {
    calibrate_batch_norm(network.graph, network.parameters, profile, spec.seed);
  }
  const auto classes = static_cast<int>(check_graph(network.graph, network.parameters).at(network.graph.output));
  return {spec.arch, std::move(network.graph), std::move(network.parameters), std::move(profile), classes_for(classes)};
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
