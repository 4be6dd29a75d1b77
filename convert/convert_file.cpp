#include <voxshift/convert/convert.h>
#include <voxshift/convert/onnx_out.h>
#include <voxshift/onnx/read_onnx.h>
#include <voxshift/onnx/write_onnx.h>

#include <sstream>

namespace voxshift {
namespace {

constexpr const char* kProfileKey = "voxshift.profile";
constexpr const char* kClassesKey = "voxshift.classes";  // names, a line each

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::optional<Profile> profile_of(const OnnxNetwork& network, const std::optional<Profile>& given) {
  if (given) return given;
  const auto kept = network.metadata.find(kProfileKey);
  if (kept == network.metadata.end()) return std::nullopt;
  return profile_from_text(kept->second);
}

/// Whether frames are told apart: one row of numbers for each.
bool is_classifier(const Network& network) {
  Graph graph = network.graph;
  if (graph.inputs.front().kind != InputKind::kFrames || graph.inputs.front().channels != 3) return false;
  const GraphValues values = check_graph(graph, network.parameters);
  return graph.outputs.size() == 1 && values.domains[values.at(graph.output()).domain].kind == Domain::Kind::kClouds;
}

std::vector<ClassInfo> classes_of(const OnnxNetwork& network, std::vector<std::string> names,
                                  std::vector<std::string>& notes) {
  const auto kept = network.metadata.find(kClassesKey);
  if (names.empty() && kept != network.metadata.end()) names = lines_of(kept->second);
  if (!is_classifier(network.network)) {
    check(names.empty(), "[convert] names of classes are given, the network gives no row of numbers per frame");
    return {};
  }
  Graph graph = network.network.graph;
  const std::int64_t count = check_graph(graph, network.network.parameters).channels(graph.output());
  check(names.empty() || static_cast<std::int64_t>(names.size()) == count, "[convert] the network tells ", count,
        " classes apart, found ", names.size(), " names");
  if (names.empty())
    notes.push_back("classes: " + std::to_string(count) + ", numbered, since the file names none (--classes)");
  std::vector<ClassInfo> classes;
  for (std::int64_t i = 0; i < count; ++i)
    classes.push_back({names.empty() ? std::to_string(i) : names[static_cast<std::size_t>(i)],
                       static_cast<std::uint32_t>(i), spread_colour(static_cast<std::size_t>(i))});
  return classes;
}

void note_frames(const OnnxNetwork& network, const std::optional<Profile>& profile, std::vector<std::string>& notes) {
  if (network.network.graph.inputs.front().kind != InputKind::kFrames) return;
  std::ostringstream line;
  line << "input: images of " << network.frame.height << " x " << network.frame.width << " as [H, W, C]; ";
  if (profile) {
    line << "preprocessing: " << profile->name;
  } else {
    line << "the file says neither mean nor deviation nor the order of the colours, so the model has no preprocessing "
            "(--preprocess)";
  }
  notes.push_back(line.str());
}

Conversion convert_onnx(const std::filesystem::path& path, const ConvertOptions& options) {
  check(options.layout.empty() && options.arch.empty() && (options.from == "auto" || options.from == "onnx"),
        "[convert] an ONNX network has no layout, arch or source to choose");
  std::optional<Profile> given;
  if (!options.preprocess.empty()) given = find_profile(options.preprocess);
  OnnxOptions read;
  read.outputs = options.outputs;
  if (given && given->frames) read.frame = Extent2d{given->frames->height, given->frames->width};
  OnnxNetwork network = read_onnx(path, read);
  std::vector<std::string> report{"recognised " + network.source};
  std::optional<Profile> profile = profile_of(network, given);
  report.push_back("mapped " + std::to_string(network.network.graph.nodes.size()) + " ops, " +
                   std::to_string(network.network.parameters.size()) + " tensors");
  note_frames(network, profile, report);
  std::vector<ClassInfo> classes = classes_of(network, options.classes, report);
  report.insert(report.end(), network.notes.begin(), network.notes.end());
  return {Model("onnx", std::move(network.network.graph), std::move(network.network.parameters), std::move(profile),
                std::move(classes)),
          "onnx",
          std::move(report),
          {}};
}

}  // namespace

Conversion convert(const std::filesystem::path& path, const ConvertOptions& options) {
  if (is_onnx(path)) return convert_onnx(path, options);
  check(options.outputs.empty(), "[convert] outputs are chosen of ONNX networks alone");
  return convert(Checkpoint::read(path), options);
}

void write_onnx(const Model& model, const std::filesystem::path& path) {
  std::map<std::string, std::string> metadata;
  Extent2d frame;
  if (const std::optional<Profile> profile = model.own_profile()) {
    metadata[kProfileKey] = to_text(*profile);
    if (profile->frames) frame = {profile->frames->height, profile->frames->width};
  }
  std::string names;
  for (const ClassInfo& info : model.classes()) names += info.name + "\n";
  if (!names.empty()) metadata[kClassesKey] = names;
  write_onnx(path, model.network(), frame, metadata);
}

}  // namespace voxshift
