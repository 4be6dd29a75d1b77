#include <voxshift/graph/graph_json.h>
#include <voxshift/graph/json_text.h>
#include <voxshift/graph/quantized.h>
#include <voxshift/graph/safetensors.h>
#include <voxshift/graph/weights.h>
#include <voxshift/networks/detectors.h>
#include <voxshift/networks/minkunet.h>
#include <voxshift/networks/pointnet2.h>
#include <voxshift/networks/pvcnn.h>
#include <voxshift/networks/spvcnn.h>
#include <voxshift/networks/spvnas.h>
#include <voxshift/networks/tsm.h>
#include <voxshift/streaming/skip_thresholds_json.h>
#include <voxshift/tasks/calibrate.h>
#include <voxshift/tasks/detection_head_json.h>
#include <voxshift/tasks/model.h>
#include <voxshift/tasks/profile_json.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <span>

namespace voxshift {
namespace {

using nlohmann::json;

constexpr const char* kFormatKey = "voxshift.format";
constexpr const char* kFormat = "1";
constexpr const char* kQuantizedFormat = "2";   // has scales
constexpr std::uint32_t kHighestId = 65535;     // the lower half of a .label's word; the upper one is the instance
constexpr std::size_t kMostPointClasses = 255;  // of points; 255 itself marks unlabelled ones
constexpr std::size_t kMostVideoClasses = 8192;
constexpr const char* kProfileKey = "voxshift.profile";
constexpr const char* kSkipKey = "voxshift.skip";
constexpr const char* kDetectionKey = "voxshift.detection";

json to_json(const std::vector<ClassInfo>& classes) {
  json list = json::array();
  for (const ClassInfo& info : classes) list.push_back({{"name", info.name}, {"id", info.raw_id}, {"rgb", info.rgb}});
  return list;
}

std::vector<ClassInfo> classes_from_json(const json& list) try {
  check(list.is_array(), "[classes] expected a list, found ", Quoted{list});
  std::vector<ClassInfo> classes;
  const auto number = [](const json& value, std::uint32_t highest) {
    check(value.is_number_unsigned() && value <= highest, "[classes] expected a whole number of 0 to ", highest,
          ", found ", Quoted{value});
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

JsonDocument metadata(const SafeTensors& file, const std::string& key) {
  const auto found = file.metadata.find(key);
  check(found != file.metadata.end(), "metadata \"", key, "\" is missing; expected a model made by voxshift");
  JsonDocument document = parse_json(found->second);
  check(!document.value.is_discarded(), "metadata \"", key, "\" is not JSON");
  return document;
}

bool on_frames(const Graph& graph) { return graph.inputs.size() == 1 && graph.input().kind == InputKind::kFrames; }

// Voxels, points or frames are the network's input as they are given.
Profile no_preparation(const Graph& graph) {
  Profile profile;
  profile.name = "none";
  if (graph.inputs.size() != 1) return profile;
  if (on_frames(graph)) {
    profile.frames.emplace();
    return profile;
  }
  profile.scale.assign(static_cast<std::size_t>(std::max<std::int64_t>(graph.input().channels, 0)), 1.0f);
  if (graph.input().kind == InputKind::kPoints) profile.blocks = BlockOptions{0, std::int64_t{1} << 20, false};
  return profile;
}

struct NewNetwork {
  NewNetwork(Network made) : network(std::move(made)) {}
  NewNetwork(DetectorNetwork made) : network(std::move(made.network)), detection(std::move(made.head)) {}
  Network network;
  std::optional<DetectionHead> detection;
};

// An architecture by name, and what it is made of where the spec does not say.
struct Architecture {
  const char* name;
  int classes;
  const char* profile;
  NewNetwork (*make)(const ModelSpec&, Profile&);
  ClassTables kind = ClassTables::kPoints;
};

NewNetwork new_spvnas(const ModelSpec& spec, Profile& profile) {
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

DetectorStyle style_of(const std::string& name) {
  check(name.empty() || name == "mmdet3d" || name == "openpcdet", "[new] style expects mmdet3d or openpcdet, found \"",
        name, "\"");
  return name == "openpcdet" ? DetectorStyle::kOpenPcdet : DetectorStyle::kMmdet3d;
}

DetectorSpec detector_spec(const ModelSpec& spec, const Profile& profile) {
  check(profile.cloud && profile.voxelize.range, "[new] ", spec.arch,
        " expects a profile of whole scans, as kitti-voxels;", " \"", profile.name, "\" is none");
  check_valid(profile);
  return {style_of(spec.style),
          spec.width,
          spec.classes,
          profile.columns(),
          profile.voxelize.voxel_size.each,
          *profile.voxelize.range,
          profile.cloud->max_points};
}

TsmSpec tsm_spec(const ModelSpec& spec) { return {spec.width, spec.classes, {8, spec.bidirectional}}; }

std::span<const Architecture> architectures() {
  static const Architecture known[] = {
      {"minkunet", 19, "spvnas",
       [](const ModelSpec& spec, Profile&) -> NewNetwork {
         return make_minkunet(spec.width, spec.classes, spec.seed);
       }},
      {"spvcnn", 19, "spvnas",
       [](const ModelSpec& spec, Profile&) -> NewNetwork { return make_spvcnn(spec.width, spec.classes, spec.seed); }},
      {"spvnas", 19, "spvnas", new_spvnas},
      {"pvcnn", 13, "s3dis",
       [](const ModelSpec& spec, Profile& profile) -> NewNetwork {
         return make_pvcnn(pvcnn_spec(PvcnnSpec::s3dis(), spec, profile), spec.seed);
       }},
      {"pvcnn-shapenet", 50, "shapenet",
       [](const ModelSpec& spec, Profile& profile) -> NewNetwork {
         return make_pvcnn(pvcnn_spec(PvcnnSpec::shapenet(), spec, profile), spec.seed);
       }},
      {"pvcnn++", 13, "s3dis-8192",
       [](const ModelSpec& spec, Profile& profile) -> NewNetwork {
         return make_pvcnn2(pvcnn_spec(PvcnnSpec::s3dis(), spec, profile), spec.seed);
       }},
      {"pointnet++", 50, "shapenet",
       [](const ModelSpec& spec, Profile& profile) -> NewNetwork {
         return make_pointnet2(pvcnn_spec(PvcnnSpec::shapenet(), spec, profile), spec.seed);
       }},
      {"tsm-mobilenetv2", 27, "jester",
       [](const ModelSpec& spec, Profile&) -> NewNetwork { return make_tsm_mobilenetv2(tsm_spec(spec), spec.seed); },
       ClassTables::kVideo},
      {"tsm-resnet50", 400, "kinetics",
       [](const ModelSpec& spec, Profile&) -> NewNetwork { return make_tsm_resnet50(tsm_spec(spec), spec.seed); },
       ClassTables::kVideo},
      {"second", 3, "kitti-voxels",
       [](const ModelSpec& spec, Profile& profile) -> NewNetwork {
         return make_second(detector_spec(spec, profile), spec.seed);
       },
       ClassTables::kBoxes},
      {"pointpillars", 3, "kitti-pillars",
       [](const ModelSpec& spec, Profile& profile) -> NewNetwork {
         return make_pointpillars(detector_spec(spec, profile), spec.seed);
       },
       ClassTables::kBoxes},
      {"centerpoint", 10, "nuscenes-voxels",
       [](const ModelSpec& spec, Profile& profile) -> NewNetwork {
         return make_centerpoint(detector_spec(spec, profile), spec.seed);
       },
       ClassTables::kBoxes},
  };
  return known;
}

const Architecture& find_architecture(const std::string& name) {
  std::string names;
  for (const Architecture& arch : architectures()) {
    if (name == arch.name) return arch;
    if (!names.empty()) names += ", ";
    names += arch.name;
  }
  throw InvalidArgument("[new] unknown architecture \"" + name + "\", expected one of " + names);
}

void check_profile(const Graph& graph, const Profile& profile) {
  check(graph.inputs.size() == 1, "[model] a profile prepares one input, the network takes ", graph.inputs.size());
  const GraphInput& input = graph.input();
  const InputKind given = profile.frames                    ? InputKind::kFrames
                          : profile.blocks || profile.cloud ? InputKind::kPoints
                                                            : InputKind::kVoxels;
  check(given == input.kind, "[model] the network takes ", name(input.kind), ", the profile \"", profile.name,
        "\" gives ", name(given));
  check_valid(profile);
  check(profile.channels() == input.channels, "[model] the profile gives ", profile.channels(),
        " channels, the network takes ", input.channels);
}

void check_thresholds(const Graph& graph, const SkipThresholds& thresholds) {
  check(on_frames(graph), "[skip] thresholds belong to a network on frames, this one takes ",
        graph.inputs.size() == 1 ? name(graph.input().kind) : "several inputs");
  check_valid(thresholds);
  std::set<std::string> names;
  for (const Node& node : graph.nodes) names.insert(node.name);
  for (const auto& [layer, threshold] : thresholds.layers)
    check(names.contains(layer), "[skip] the network has no layer \"", layer, "\"");
}

// Tensors of a TSM checkpoint under the names of the network whose classifier is called `head`.
Parameters without_wrappers(const Parameters& checkpoint, const std::string& head) {
  Parameters result;
  for (const auto& [full, tensor] : checkpoint) {
    std::string name = full;
    for (const std::string prefix : {"module.", "base_model."})
      if (name.starts_with(prefix)) name.erase(0, prefix.size());
    if (const std::size_t net = name.find(".net."); net != std::string::npos) name.erase(net, 4);
    for (const std::string other : {"new_fc.", "fc.", "classifier."})
      if (name.starts_with(other)) name.replace(0, other.size() - 1, head);
    check(result.emplace(name, tensor).second, "[new] two tensors are called \"", name, "\", one of them \"", full,
          "\"");
  }
  return result;
}

// The tensors of `given` that the network `wanted` has; shapes are checked with the graph.
Parameters taken(const Parameters& wanted, const Parameters& given) {
  Parameters result;
  for (const auto& [name, tensor] : wanted) {
    const auto found = given.find(name);
    check(found != given.end(), "[new] tensor \"", name, "\" is missing, expected f32 ", tensor.shape());
    result.emplace(name, found->second);
  }
  return result;
}

// Of the frames that a profile of the model's own gives; else they may have any.
FrameExtents known_extents(const Graph& graph, bool has_profile, const Profile& profile) {
  if (!has_profile || !on_frames(graph) || !profile.frames) return {};
  check_valid(*profile.frames);
  return {{profile.frames->height, profile.frames->width}};
}

// Of a file, which errors name.
Model model_of(const SafeTensors& content, const std::string& file) try {
  return Model::from_content(content);
} catch (const InvalidArgument& error) {
  throw IoError(file + ": " + error.what());
}

}  // namespace

std::vector<std::string> architecture_names() {
  std::vector<std::string> names;
  for (const Architecture& arch : architectures()) names.emplace_back(arch.name);
  return names;
}

Model::Model(std::string arch, Graph graph, Parameters parameters, std::optional<Profile> profile,
             std::vector<ClassInfo> classes, std::optional<SkipThresholds> skip_thresholds,
             std::optional<DetectionHead> detection)
    : arch_(std::move(arch)),
      network_{std::move(graph), std::move(parameters)},
      has_profile_(profile.has_value()),
      profile_(profile ? *std::move(profile) : no_preparation(network_.graph)),
      classes_(std::move(classes)),
      skip_thresholds_(std::move(skip_thresholds)),
      detection_(std::move(detection)),
      values_(check_graph(network_.graph, network_.parameters, known_extents(network_.graph, has_profile_, profile_))) {
  if (has_profile_) check_profile(network_.graph, profile_);
  for (const ClassInfo& one : classes_)
    check(one.raw_id <= kHighestId, "[classes] expected a whole number of 0 to ", kHighestId, ", found ", one.raw_id);
  if (detection_) {
    check_valid(*detection_, network_.graph, values_, classes_.size());
  } else {
    const std::int64_t logits = values_.channels(network_.graph.output());
    check(classes_.empty() || static_cast<std::int64_t>(classes_.size()) == logits, "[model] the network gives ",
          logits, " logits, the class list has ", classes_.size());
  }
  const std::size_t most = on_frames(network_.graph) ? kMostVideoClasses : kMostPointClasses;
  check(classes_.size() <= most, "[model] at most ", most, " classes, found ", classes_.size());
  if (skip_thresholds_) check_thresholds(network_.graph, *skip_thresholds_);
}

bool is_model_file(const std::filesystem::path& path) {
  return read_safetensors_header(path).metadata.contains(kFormatKey);
}

Model Model::load(const std::filesystem::path& path) { return model_of(read_safetensors(path), path.string()); }

Model Model::load(std::span<const std::byte> bytes, const std::string& name) {
  return model_of(read_safetensors(bytes, name), name);
}

Model Model::create(const ModelSpec& spec) {
  const Architecture& arch = find_architecture(spec.arch);
  ModelSpec full = spec;
  if (full.classes == 0) full.classes = arch.classes;
  Profile profile = find_profile(spec.profile.empty() ? arch.profile : spec.profile);
  const bool video = arch.kind == ClassTables::kVideo;
  check(arch.kind == ClassTables::kBoxes || spec.style.empty(), "[new] a style belongs to detectors, not to ",
        spec.arch);
  const std::size_t most = video ? kMostVideoClasses : kMostPointClasses;
  check(full.classes >= 1 && full.classes <= static_cast<int>(most), "[new] classes expects 1 to ", most, ", found ",
        full.classes);
  check(video || !spec.bidirectional, "[new] a bidirectional shift belongs to networks on video, not to ", spec.arch);
  check(spec.config.empty() || spec.arch == "spvnas", "[new] a net.config belongs to spvnas, not to ", spec.arch);
  auto [network, detection] = arch.make(full, profile);
  check_profile(network.graph, profile);
  if (spec.parameters) {
    network.parameters = taken(network.parameters,
                               video ? without_wrappers(*spec.parameters, network.graph.output()) : *spec.parameters);
  } else {
    calibrate_batch_norm(network.graph, network.parameters, profile, spec.seed);
  }
  const std::int64_t classes =
      detection ? full.classes : check_graph(network.graph, network.parameters).channels(network.graph.output());
  std::vector<ClassInfo> table = detection && style_of(spec.style) == DetectorStyle::kMmdet3d && classes == 3
                                     ? kitti_classes_by_size()
                                     : classes_for(static_cast<std::size_t>(classes), arch.kind);
  return {spec.arch,    std::move(network.graph), std::move(network.parameters), std::move(profile), std::move(table),
          std::nullopt, std::move(detection)};
}

void Model::save(const std::filesystem::path& path, DType dtype) const { write_safetensors(path, content(dtype)); }

SafeTensors Model::content(DType dtype) const {
  SafeTensors file{narrowed(parameters(), dtype, scale_tensors(graph())),
                   {{kFormatKey, is_quantized(graph()) ? kQuantizedFormat : kFormat},
                    {"voxshift.arch", arch_},
                    {"voxshift.graph", json_text(voxshift::to_json(graph()))},
                    {"voxshift.classes", json_text(to_json(classes_))}}};
  if (has_profile_) file.metadata[kProfileKey] = json_text(voxshift::to_json(profile_));
  if (detection_) file.metadata[kDetectionKey] = json_text(voxshift::to_json(*detection_));
  if (skip_thresholds_) file.metadata[kSkipKey] = json_text(voxshift::to_json(*skip_thresholds_));
  return file;
}

Model Model::from_content(const SafeTensors& file) {
  const auto format = file.metadata.find(kFormatKey);
  check(format != file.metadata.end(), "metadata \"", kFormatKey,
        "\" is missing; expected a model made by voxshift, as `voxshift convert` makes it of a checkpoint");
  check(format->second == kFormat || format->second == kQuantizedFormat, "format \"", format->second,
        "\" is unknown, this version reads \"", kFormat, "\" and \"", kQuantizedFormat, "\"");
  const JsonDocument graph = metadata(file, "voxshift.graph");
  const auto arch = file.metadata.find("voxshift.arch");
  std::optional<Profile> profile;
  if (file.metadata.contains(kProfileKey)) profile = profile_from_json(metadata(file, kProfileKey).value);
  std::optional<SkipThresholds> skip;
  if (file.metadata.contains(kSkipKey)) skip = skip_thresholds_from_json(metadata(file, kSkipKey).value);
  std::optional<DetectionHead> detection;
  if (file.metadata.contains(kDetectionKey)) detection = detection_head_from_json(metadata(file, kDetectionKey).value);
  return {arch == file.metadata.end() ? "custom" : arch->second,
          graph_from_json(graph.value),
          widened(file.tensors),
          std::move(profile),
          classes_from_json(metadata(file, "voxshift.classes").value),
          std::move(skip),
          std::move(detection)};
}

std::int64_t Model::parameter_count() const {
  std::int64_t count = 0;
  for (const Node& node : graph().nodes)
    for (const auto& [role, tensor] : node.parameters)
      if (!role.starts_with("running_") && role != kWeightScale) count += parameters().at(tensor).count();
  return count;
}

Model Model::with_parameters(Parameters parameters) const {
  return {arch_, graph(), std::move(parameters), own_profile(), classes_, skip_thresholds_, detection_};
}

Model Model::with_profile(Profile profile) const {
  return {arch_, graph(), parameters(), std::move(profile), classes_, skip_thresholds_, detection_};
}

Model Model::with_detection(DetectionHead detection) const {
  return {arch_, graph(), parameters(), own_profile(), classes_, skip_thresholds_, std::move(detection)};
}

Model Model::with_skip_thresholds(SkipThresholds thresholds) const {
  return {arch_, graph(), parameters(), own_profile(), classes_, std::move(thresholds), detection_};
}

}  // namespace voxshift
