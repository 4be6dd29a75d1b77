#include <voxshift/networks/spvcnn.h>
#include <voxshift/networks/spvnas.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <map>
#include <string>

namespace voxshift {
namespace {

constexpr int kDivisor = 16;

LayerNames layer_names(const std::string& module, const char* layer = ".net.conv") {
  return {module + layer, module + ".net.bn"};
}

ResidualNames residual_names(const std::string& block) {
  return {block, layer_names(block + ".net.0"), layer_names(block + ".net.1"), layer_names(block + ".downsample")};
}

std::string stage_name(const char* direction, std::size_t i) {
  return direction + std::string(".") + std::to_string(i);
}

std::string block_name(const std::string& stage, std::size_t j) { return stage + ".feature." + std::to_string(j); }

// The residual blocks of a stage. The first changes the channels and always projects its shortcut.
std::string features(NetworkBuilder& net, const std::string& stage, std::string x, const std::vector<int>& middle,
                     int out) {
  for (std::size_t j = 0; j < middle.size(); ++j)
    x = residual(net, residual_names(block_name(stage, j)), x, middle[j], out, j == 0);
  return x;
}

const Array& tensor_of(const Parameters& checkpoint, const std::string& name, std::size_t rank) {
  const auto found = checkpoint.find(name);
  check(found != checkpoint.end(), "[spvnas] tensor \"", name, "\" is missing");
  check(found->second.shape().size() == rank, "[spvnas] tensor \"", name, "\" expects ", rank, " axes, found ",
        found->second.shape());
  return found->second;
}

int output_channels(const Parameters& checkpoint, const std::string& layer) {
  return static_cast<int>(tensor_of(checkpoint, layer + ".kernel", 3).shape().back());
}

SpvnasStage stage_of(const Parameters& checkpoint, const std::string& stage, int& out) {
  SpvnasStage result;
  result.transition = output_channels(checkpoint, stage + ".transition.net.conv");
  for (std::size_t j = 0; j == 0 || checkpoint.contains(block_name(stage, j) + ".net.0.net.conv.kernel"); ++j) {
    const ResidualNames names = residual_names(block_name(stage, j));
    result.middle.push_back(output_channels(checkpoint, names.first.layer));
    out = output_channels(checkpoint, names.second.layer);
  }
  return result;
}

// The numbers of a configuration by the names that net.config gives them.
std::map<std::string, std::int64_t> numbers_of(const SpvnasConfig& config) {
  std::map<std::string, std::int64_t> numbers{{"num_classes", config.classes}};
  for (std::size_t i = 0; i < config.output_channels.size(); ++i)
    numbers["output_channels[" + std::to_string(i) + "]"] = config.output_channels[i];
  for (const auto& [direction, stages] : {std::pair("downsample", &config.down), std::pair("upsample", &config.up)})
    for (std::size_t i = 0; i < stages->size(); ++i) {
      const SpvnasStage& stage = (*stages)[i];
      const std::string name = stage_name(direction, i);
      numbers[name + ".transition"] = stage.transition;
      numbers[name + ".feature"] = static_cast<std::int64_t>(stage.middle.size());
      for (std::size_t j = 0; j < stage.middle.size(); ++j)
        numbers[name + ".feature.layers." + std::to_string(j) + ".net.layers.0"] = stage.middle[j];
    }
  return numbers;
}

void check_range(const SpvnasConfig& config) {
  for (const auto& [module, number] : numbers_of(config)) {
    const int most = module.ends_with(".feature") ? kMostSpvnasBlocks : kMostSpvnasChannels;
    check(number >= 1 && number <= most, "[spvnas] ", module, " expects 1 to ", most, ", found ", number);
  }
}

// The first columns of a matrix.
Array first_columns(const Array& matrix, std::int64_t columns) {
  Array result({matrix.dim(0), columns}, DType::kF32);
  for (std::int64_t i = 0; i < matrix.dim(0); ++i)
    std::copy_n(matrix.data<float>() + i * matrix.dim(1), columns, result.data<float>() + i * columns);
  return result;
}

}  // namespace

SpvnasConfig default_spvnas_config(double width, int classes) {
  check(width >= 1.0 / 32 && width <= 2, "[new] width expects 1/32 to 2, found ", width);
  SpvnasConfig config{classes,
                      0.05,
                      {32, 32, 64, 128, 240, 192, 128, 96, 96},
                      {{{32, {32, 32}}, {48, {64, 64}}, {64, {112, 112}}, {128, {144, 144}}}},
                      {{{160, {160}}, {96, {96, 96}}, {64, {64, 64}}, {64, {64, 64}}}}};
  const auto scale = [&](int& channels) {
    channels = std::max(kDivisor, static_cast<int>(width * channels) / kDivisor * kDivisor);
  };
  for (int& channels : config.output_channels) scale(channels);
  for (auto* stages : {&config.down, &config.up})
    for (SpvnasStage& stage : *stages) {
      scale(stage.transition);
      for (int& channels : stage.middle) scale(channels);
    }
  return config;
}

Network make_spvnas(const SpvnasConfig& config, Seed seed) {
  check_range(config);
  NetworkBuilder net(InputKind::kVoxels, kScanChannels, seed);
  const std::string x0 = unet_stem(net, config.output_channels[0]);
  const PointVoxelBlocks blocks{
      [&](std::size_t level, const std::string& x) {
        const SpvnasStage& stage = config.down[level - 1];
        const std::string name = stage_name("downsample", level - 1);
        const std::string y = conv_norm_relu(net, layer_names(name + ".transition"), x, stage.transition, 2, 2);
        return features(net, name, y, stage.middle, config.output_channels[level]);
      },
      [&](std::size_t step, const std::string& x, const std::string& skip) {
        const SpvnasStage& stage = config.up[step - 1];
        const std::string name = stage_name("upsample", step - 1);
        const std::string y =
            conv_norm_relu(net, layer_names(name + ".transition"), x, stage.transition, 2, 2, "conv_transpose");
        return features(net, name, net.add(name + ".cat", "cat", {y, skip}), stage.middle,
                        config.output_channels[kUNetLevels + step]);
      },
      [](std::size_t branch) { return layer_names("point_transforms." + std::to_string(branch)); }};
  return net.take(net.linear("classifier.linear", point_voxel_unet(net, x0, blocks), config.classes));
}

SpvnasConfig spvnas_config_of(const Parameters& checkpoint) {
  SpvnasConfig config;
  config.classes = static_cast<int>(tensor_of(checkpoint, "classifier.linear.weight", 2).dim(0));
  config.output_channels[0] = output_channels(checkpoint, "stem.3");
  for (std::size_t i = 0; i < kUNetLevels; ++i) {
    config.down[i] = stage_of(checkpoint, stage_name("downsample", i), config.output_channels[1 + i]);
    config.up[i] = stage_of(checkpoint, stage_name("upsample", i), config.output_channels[1 + kUNetLevels + i]);
  }
  return config;
}

Network load_spvnas(const SpvnasConfig& config, const Parameters& checkpoint) {
  const auto expected = numbers_of(config), found = numbers_of(spvnas_config_of(checkpoint));
  for (const auto& [module, number] : expected) {
    const auto entry = found.find(module);
    const std::int64_t tensors = entry == found.end() ? 0 : entry->second;
    check(number == tensors, "[spvnas] net.config gives ", module, " = ", number, ", the tensors have ", tensors);
  }
  Network network = make_spvnas(config, 0);
  for (auto& [name, values] : network.parameters) {
    const auto entry = checkpoint.find(name);
    check(entry != checkpoint.end(), "[spvnas] tensor \"", name, "\" is missing");
    Array tensor = entry->second;
    if (name == "classifier.linear.weight" && tensor.dtype() == DType::kF32 && tensor.dim(1) > values.dim(1))
      tensor = first_columns(tensor, values.dim(1));
    values = tensor;
  }
  check_graph(network.graph, network.parameters);
  return network;
}

}  // namespace voxshift
