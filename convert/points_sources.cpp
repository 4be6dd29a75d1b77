// PVCNN, and PointNet and PointNet++ as yanx27 and learning3d have them.
#include <voxshift/convert/axis_order.h>
#include <voxshift/convert/point_networks.h>
#include <voxshift/convert/source.h>
#include <voxshift/networks/pointnet2.h>
#include <voxshift/networks/pvcnn.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <string>
#include <utility>

namespace voxshift {
namespace {

constexpr std::int64_t kXyzColumns = 3, kObjectPoints = 1024, kPartPoints = 2048;

std::int64_t outputs_of(const StateDict& state, const std::string& layer) { return state.extent(layer + ".weight", 0); }
std::int64_t inputs_of(const StateDict& state, const std::string& layer) { return state.extent(layer + ".weight", 1); }

Profile object_profile(const char* name, std::int64_t columns, std::int64_t points) {
  Profile profile = find_profile("shapenet");
  profile.name = name;
  profile.scale.assign(static_cast<std::size_t>(columns), 1.0f);
  profile.blocks = BlockOptions{0, points, false};
  return profile;
}

// Blocks of rooms as yanx27 cuts them: of 1 m.
Profile room_profile() {
  Profile profile = find_profile("s3dis");
  profile.name = "s3dis-1m";
  profile.blocks->size = 1;
  return profile;
}

Sketch sketch_of(const char* arch, Network network, Profile profile, std::int64_t classes) {
  Sketch sketch;
  sketch.arch = arch;
  sketch.network = std::move(network);
  sketch.profile = std::move(profile);
  sketch.classes = classes_for(static_cast<std::size_t>(classes), ClassTables::kPoints);
  return sketch;
}

// PVCNN

// torch.nn.Conv3d: [Cout, Cin, x, y, z].
StoredAs as_conv3d(const Shape& ours) {
  return {{{ours[2], ours[1], 3, 3, 3}}, [ours](const Array& weight) {
            return permuted(weight.reshaped({ours[2], ours[1], ours[0]}), {2, 1, 0});
          }};
}

Sketch sketch_pvcnn(const StateDict& state, const SketchOptions&) {
  constexpr double kPvcnnChannels = 64, kPvcnn2Channels = 32;
  const char* guess = "the checkpoint does not say how many cells its grids have: took those of PVCNN";
  PvcnnSpec spec;
  Sketch sketch;
  if (const std::string first = "sa_layers.0.0.voxel_layers.0"; state.has(first + ".weight")) {
    spec.width = static_cast<double>(outputs_of(state, first)) / kPvcnn2Channels;
    spec.in_channels = inputs_of(state, first);
    spec.classes = static_cast<int>(outputs_of(state, "classifier.2"));
    sketch = sketch_of("pvcnn++", make_pvcnn2(spec, std::nullopt), find_profile("s3dis-8192"), spec.classes);
  } else if (state.has("cloud_features.0.0.weight")) {
    const std::string layer = "point_features.0.voxel_layers.0";
    spec.width = static_cast<double>(outputs_of(state, layer)) / kPvcnnChannels;
    spec.in_channels = inputs_of(state, layer);
    spec.classes = static_cast<int>(outputs_of(state, "classifier.4"));
    sketch = sketch_of("pvcnn", make_pvcnn(spec, std::nullopt), find_profile("s3dis"), spec.classes);
  } else {
    const std::string layer = "point_features.0.voxel_layers.0";
    spec = PvcnnSpec::shapenet();
    spec.width = static_cast<double>(outputs_of(state, layer)) / kPvcnnChannels;
    const auto scaled = [&](std::int64_t channels) {
      return static_cast<std::int64_t>(spec.width * static_cast<double>(channels));
    };
    const std::int64_t features = scaled(64) + 2 * scaled(128) + scaled(512) + 2 * scaled(2048);
    spec.shapes = static_cast<int>(std::max<std::int64_t>(0, inputs_of(state, "classifier.0.layers.0") - features));
    spec.in_channels = inputs_of(state, layer) + spec.shapes;
    spec.classes = static_cast<int>(outputs_of(state, "classifier.5"));
    sketch = sketch_of("pvcnn-shapenet", make_pvcnn(spec, std::nullopt),
                       object_profile("shapenet", spec.in_channels, kPartPoints), spec.classes);
  }
  for (const Node& node : sketch.network.graph.nodes)
    if (node.op == "conv") {
      const std::string& weight = node.parameters.at("weight");
      sketch.stored[weight] = as_conv3d(sketch.network.parameters.at(weight).shape());
    }
  sketch.guesses = {guess};
  return sketch;
}

// PointNet of yanx27

// Columns [first, first + size / 2) of the matrices [size, size] that a layer's outputs are; `layer` has more axes for
// its inputs.
Array half_of(const Array& layer, bool second) {
  std::int64_t size = 1;
  while (size * size < layer.dim(0)) ++size;
  const std::int64_t in = layer.count() / layer.dim(0), half = size / 2;
  Shape shape = layer.shape();
  shape[0] = size * half;
  Array result(shape, DType::kF32);
  for (std::int64_t row = 0; row < size; ++row)
    std::copy_n(layer.data<float>() + (row * size + (second ? half : 0)) * in, half * in,
                result.data<float>() + row * half * in);
  return result;
}

// A T-Net gives its matrix plus the unit matrix, which the bias takes in.
Array with_unit_matrix(const Array& bias) {
  std::int64_t size = 1;
  while (size * size < bias.count()) ++size;
  Array sum(bias.shape(), DType::kF32);
  for (std::int64_t i = 0; i < bias.count(); ++i)
    sum.data<float>()[i] = bias.data<float>()[i] + (i % (size + 1) == 0 ? 1.0f : 0.0f);
  return sum;
}

void describe_t_nets(Sketch& sketch) {
  for (const auto& [tensor, values] : sketch.network.parameters) {
    if (tensor.ends_with("stn.fc3.bias")) sketch.stored[tensor] = {{values.shape()}, with_unit_matrix};
    for (const bool second : {false, true}) {
      const std::string layer = std::string("fstn") + (second ? kSecondHalf : kFirstHalf) + ".";
      if (!tensor.starts_with(layer)) continue;
      const bool is_bias = tensor.ends_with(".bias");
      Shape whole = values.shape();
      whole[0] *= 2;
      sketch.stored[tensor] = {{whole},
                               [second, is_bias](const Array& stored) {
                                 return half_of(is_bias ? with_unit_matrix(stored) : stored, second);
                               },
                               "fstn.fc3." + tensor.substr(layer.size())};
    }
  }
}

Sketch sketch_pointnet1(const StateDict& state) {
  Sketch sketch;
  if (state.has("convs4.weight")) {
    const std::int64_t columns = inputs_of(state, "stn.conv1"), features = 2048 + 64 + 128 + 128 + 512 + 2048;
    const std::int64_t kinds = inputs_of(state, "convs1") - features, classes = outputs_of(state, "convs4");
    check(kinds >= 1, "\"convs1.weight\" expects more than ", features, " input channels");
    sketch = sketch_of("pointnet", make_pointnet_parts(columns, kinds, classes),
                       object_profile("shapenet", columns + kinds, kPartPoints), classes);
  } else if (state.has("fc3.weight")) {
    const std::int64_t columns = inputs_of(state, "feat.stn.conv1"), classes = outputs_of(state, "fc3");
    sketch = sketch_of("pointnet", make_pointnet_classifier(columns, classes),
                       object_profile("modelnet", columns, kObjectPoints), classes);
  } else {
    const std::int64_t columns = inputs_of(state, "feat.stn.conv1"), classes = outputs_of(state, "conv4");
    sketch = sketch_of("pointnet", make_pointnet_semantic(columns, classes), room_profile(), classes);
  }
  describe_t_nets(sketch);
  return sketch;
}

// PointNet++ of yanx27: what models/*.py have of it. Channels are read from the shapes.
struct Neighborhood {
  float radius;
  std::int64_t neighbors;
};
struct KnownLevel {
  std::int64_t centers;
  std::vector<Neighborhood> scales;
};

std::vector<KnownLevel> known_levels(bool multi_scale, bool of_rooms, bool of_parts) {
  if (of_rooms && multi_scale)
    return {{1024, {{0.05f, 16}, {0.1f, 32}}},
            {256, {{0.1f, 16}, {0.2f, 32}}},
            {64, {{0.2f, 16}, {0.4f, 32}}},
            {16, {{0.4f, 16}, {0.8f, 32}}}};
  if (of_rooms) return {{1024, {{0.1f, 32}}}, {256, {{0.2f, 32}}}, {64, {{0.4f, 32}}}, {16, {{0.8f, 32}}}};
  if (multi_scale && of_parts)
    return {{512, {{0.1f, 32}, {0.2f, 64}, {0.4f, 128}}}, {128, {{0.4f, 64}, {0.8f, 128}}}, {0, {{0, 0}}}};
  if (multi_scale)
    return {{512, {{0.1f, 16}, {0.2f, 32}, {0.4f, 128}}}, {128, {{0.2f, 32}, {0.4f, 64}, {0.8f, 128}}}, {0, {{0, 0}}}};
  return {{512, {{0.2f, 32}}}, {128, {{0.4f, 64}}}, {0, {{0, 0}}}};
}

std::vector<std::int64_t> channels_of(const StateDict& state, const std::string& list) {
  std::vector<std::int64_t> channels;
  for (std::size_t i = 0; i == 0 || state.has(list + "." + std::to_string(i) + ".weight"); ++i)
    channels.push_back(outputs_of(state, list + "." + std::to_string(i)));
  return channels;
}

// With several scales the code has x y z behind the features, our op before them.
StoredAs with_xyz_behind(const Shape& shape) {
  Shape with_ones = shape;
  with_ones.insert(with_ones.end(), 2, 1);
  return {{with_ones, shape}, [shape](const Array& stored) {
            const std::int64_t columns = shape[1], features = columns - kXyzColumns;
            Array turned(shape, DType::kF32);
            for (std::int64_t i = 0; i < turned.count(); ++i) {
              const std::int64_t column = i % columns;
              const std::int64_t from = column < kXyzColumns ? features + column : column - kXyzColumns;
              turned.data<float>()[i] = stored.data<float>()[i - column + from];
            }
            return turned;
          }};
}

PointNet2Spec pointnet2_spec(const StateDict& state) {
  PointNet2Spec spec;
  const bool of_rooms = state.has("sa4.mlp_convs.0.weight") || state.has("sa4.conv_blocks.0.0.weight");
  const bool is_classifier = state.has("fc3.weight");
  spec.multi_scale = state.has("sa1.conv_blocks.0.0.weight");
  for (const KnownLevel& known : known_levels(spec.multi_scale, of_rooms, !is_classifier)) {
    const std::string name = "sa" + std::to_string(spec.levels.size() + 1);
    PointNet2Level level{known.centers, {}};
    for (std::size_t k = 0; k < known.scales.size(); ++k) {
      const bool blocks = spec.multi_scale && known.centers > 0;
      const std::string list = name + (blocks ? ".conv_blocks." + std::to_string(k) : std::string(".mlp_convs"));
      level.scales.push_back({known.scales[k].radius, known.scales[k].neighbors, channels_of(state, list)});
    }
    spec.levels.push_back(level);
  }
  spec.features = inputs_of(state, spec.multi_scale ? "sa1.conv_blocks.0.0" : "sa1.mlp_convs.0") - kXyzColumns;
  spec.behind = is_classifier;
  spec.columns = is_classifier ? kXyzColumns + spec.features : spec.features;
  spec.classes = outputs_of(state, is_classifier ? "fc3" : "conv2");
  if (is_classifier) return spec;
  for (std::size_t i = 0; i < spec.levels.size(); ++i)
    spec.up.push_back(channels_of(state, "fp" + std::to_string(i + 1) + ".mlp_convs"));
  const std::int64_t mixed = spec.up[1].back();
  if (!of_rooms) spec.kinds = inputs_of(state, "fp1.mlp_convs.0") - mixed - kXyzColumns - spec.features;
  check(spec.kinds >= 0, "\"fp1.mlp_convs.0.weight\" expects at least ", mixed + kXyzColumns + spec.features,
        " input channels");
  return spec;
}

Sketch sketch_pointnet2(const StateDict& state) {
  const PointNet2Spec spec = pointnet2_spec(state);
  const std::int64_t columns = spec.columns + spec.kinds;
  Profile profile = spec.up.empty()  ? object_profile("modelnet", columns, kObjectPoints)
                    : spec.kinds > 0 ? object_profile("shapenet", columns, kPartPoints)
                                     : room_profile();
  Sketch sketch = sketch_of("pointnet++", make_pointnet2_network(spec), std::move(profile), spec.classes);
  for (const auto& [tensor, values] : sketch.network.parameters)
    if (tensor.find(".conv_blocks.") != std::string::npos && tensor.ends_with(".0.weight"))
      sketch.stored[tensor] = with_xyz_behind(values.shape());
  sketch.guesses = {
      "radii and numbers of neighbours are those of the code; the first centre is the first point, where the code "
      "draws one"};
  return sketch;
}

bool is_pointnet2(const StateDict& state) {
  return state.has("sa1.mlp_convs.0.weight") || state.has("sa1.conv_blocks.0.0.weight");
}

// PointNet of learning3d

Sketch sketch_learning3d(const StateDict& state, const SketchOptions&) {
  const std::string names = "feature_model.";
  std::array<std::int64_t, 5> channels{};
  for (std::size_t i = 0; i < channels.size(); ++i)
    channels[i] = outputs_of(state, names + "conv" + std::to_string(i + 1));
  const bool of_points = state.has("conv4.weight");
  const std::int64_t classes = outputs_of(state, of_points ? "conv4" : "linear3");
  return sketch_of("pointnet",
                   make_learning3d_pointnet(names, channels, state.has(names + "bn1.weight"), of_points, classes),
                   object_profile("modelnet", kXyzColumns, kObjectPoints), classes);
}

}  // namespace

Source pvcnn_source() {
  return {"pvcnn",
          "PVCNN and PVCNN++ of mit-han-lab/pvcnn",
          {},
          [](const StateDict& state) {
            return state.has("point_features.0.voxel_layers.0.weight") ||
                   state.has("sa_layers.0.0.voxel_layers.0.weight");
          },
          sketch_pvcnn};
}

Source pointnet_source() {
  return {"pointnet",
          "PointNet and PointNet++ of yanx27/Pointnet_Pointnet2_pytorch",
          {},
          [](const StateDict& state) {
            return is_pointnet2(state) || state.has("feat.stn.conv1.weight") ||
                   (state.has("stn.conv1.weight") && state.has("convs4.weight"));
          },
          [](const StateDict& state, const SketchOptions&) {
            return is_pointnet2(state) ? sketch_pointnet2(state) : sketch_pointnet1(state);
          }};
}

Source learning3d_source() {
  return {"learning3d",
          "PointNet of vinits5/learning3d: classes of clouds or points",
          {},
          [](const StateDict& state) {
            return state.has("feature_model.conv5.weight") &&
                   (state.has("linear3.weight") || state.has("conv4.weight"));
          },
          sketch_learning3d};
}

}  // namespace voxshift
