// SPVNAS: its net.config, the network it describes, checkpoints, and where the two do not match.
#include <sys/stat.h>
#include <voxshift/networks/spvnas.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "device_fixture.h"
#include "file_test.h"

namespace voxshift {
namespace {

using nlohmann::json;

/// One random module per line, as spvnas writes them; pruned ones are null.
json net_config() {
  json config{
      {"num_classes", 19}, {"pres", 0.05}, {"vres", 0.05}, {"output_channels", {32, 32, 48, 64, 80, 96, 64, 48, 32}}};
  const int widths[2][4] = {{32, 48, 64, 80}, {96, 64, 48, 32}};
  for (int side = 0; side < 2; ++side)
    for (int i = 0; i < 4; ++i) {
      const std::string stage = (side == 0 ? "downsample." : "upsample.") + std::to_string(i);
      const int depth = 1 + (i + side) % 2;
      config[stage + ".transition"] = 16 * (1 + i + side);
      config[stage + ".feature"] = depth;
      for (int j = 0; j < 2; ++j) {
        const std::string block = stage + ".feature.layers." + std::to_string(j);
        const bool pruned = j >= depth;
        config[block + ".net"] = pruned ? json() : json(2);
        config[block + ".net.layers.0"] = pruned ? json() : json(16 * (2 + i + j));
        config[block + ".net.layers.1"] = pruned ? json() : json(widths[side][i]);
        if (j == 0) config[block + ".downsample"] = widths[side][i];
      }
    }
  return config;
}

class Spvnas : public FileTest {
 protected:
  SpvnasConfig read(const json& config) const { return read_spvnas_config(put("net.config", config.dump())); }

  /// Changes one entry, or takes it out; gives what the reader says.
  std::string refused(const std::string& key, const json& value) const {
    json config = net_config();
    config[key] = value;
    return io_error(folder_ / "net.config", [&] { read(config); });
  }
};

Shape shape(const Network& network, const std::string& name) {
  const auto found = network.parameters.find(name);
  return found == network.parameters.end() ? Shape{} : found->second.shape();
}

std::int64_t parameter_count(const Network& network) {
  std::int64_t count = 0;
  for (const auto& [name, tensor] : network.parameters)
    if (name.find(".running_") == std::string::npos) count += tensor.count();
  return count;
}

TEST_F(Spvnas, ReadsNetConfig) {
  const SpvnasConfig config = read(net_config());
  EXPECT_EQ(config.classes, 19);
  EXPECT_EQ(config.voxel_size, 0.05);
  EXPECT_EQ(config.output_channels, (std::array<int, 9>{32, 32, 48, 64, 80, 96, 64, 48, 32}));
  EXPECT_EQ(config.down[0], (SpvnasStage{16, {32}}));
  EXPECT_EQ(config.down[1], (SpvnasStage{32, {48, 64}}));
  EXPECT_EQ(config.up[0], (SpvnasStage{32, {32, 48}}));
  EXPECT_EQ(config.up[3], (SpvnasStage{80, {80}}));
}

TEST_F(Spvnas, NamesAndShapesOfCheckpoints) {
  Network network = make_spvnas(read(net_config()), 1);
  EXPECT_EQ(shape(network, "stem.3.kernel"), (Shape{27, 32, 32}));
  EXPECT_EQ(shape(network, "downsample.1.transition.net.conv.kernel"), (Shape{8, 32, 32}));
  EXPECT_EQ(shape(network, "downsample.1.transition.net.bn.running_var"), (Shape{32}));
  EXPECT_EQ(shape(network, "downsample.1.feature.0.net.0.net.conv.kernel"), (Shape{27, 32, 48}));
  EXPECT_EQ(shape(network, "downsample.1.feature.0.net.1.net.conv.kernel"), (Shape{27, 48, 48}));
  EXPECT_EQ(shape(network, "downsample.1.feature.0.downsample.net.conv.kernel"), (Shape{32, 48}));
  EXPECT_EQ(shape(network, "downsample.1.feature.1.net.0.net.conv.kernel"), (Shape{27, 48, 64}));
  EXPECT_EQ(shape(network, "downsample.1.feature.1.downsample.net.conv.kernel"), Shape{});  // only the first projects
  EXPECT_EQ(shape(network, "downsample.0.feature.1.net.0.net.conv.kernel"), Shape{});       // pruned
  EXPECT_EQ(shape(network, "upsample.0.transition.net.conv.kernel"), (Shape{8, 80, 32}));
  EXPECT_EQ(shape(network, "upsample.0.feature.0.net.0.net.conv.kernel"), (Shape{27, 32 + 64, 32}));
  EXPECT_EQ(shape(network, "upsample.3.feature.0.downsample.net.conv.kernel"), (Shape{80 + 32, 32}));
  EXPECT_EQ(shape(network, "point_transforms.1.net.conv.weight"), (Shape{64, 80}));
  EXPECT_EQ(shape(network, "point_transforms.2.net.bn.bias"), (Shape{32}));
  EXPECT_EQ(shape(network, "classifier.linear.weight"), (Shape{19, 32}));
  // An equal number of channels does not spare the first block its projection.
  EXPECT_EQ(shape(network, "downsample.0.feature.0.downsample.net.conv.kernel"), (Shape{16, 32}));
  EXPECT_EQ(check_graph(network.graph, network.parameters).channels(network.graph.output()), 19);
}

// Nobody writes to the pipe: who read it would wait for ever.
TEST_F(Spvnas, APipeIsNoNetConfig) {
  const fs::path pipe = folder_ / "net.config", link = folder_ / "link.config";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  fs::create_symlink(pipe, link);
  for (const fs::path& path : {pipe, link})
    EXPECT_SAYS(io_error(path, [&] { read_spvnas_config(path); }), "is not a file");
}

TEST_F(Spvnas, DefaultIsOfThePublishedSize) {
  // SPVNAS@65GMACs has 10.8 M.
  EXPECT_EQ(parameter_count(make_spvnas(default_spvnas_config(), 1)), 10'973'283);
  const SpvnasConfig small = default_spvnas_config(0.3, 7);
  EXPECT_EQ(small.classes, 7);
  EXPECT_EQ(small.output_channels, (std::array<int, 9>{16, 16, 16, 32, 64, 48, 32, 16, 16}));
  EXPECT_EQ(small.down[2], (SpvnasStage{16, {32, 32}}));
  Network network = make_spvnas(small, 1);
  EXPECT_EQ(check_graph(network.graph, network.parameters).channels(network.graph.output()), 7);
}

TEST_F(Spvnas, TensorsTellTheConfig) {
  const SpvnasConfig config = read(net_config());
  const SpvnasConfig found = spvnas_config_of(make_spvnas(config, 1).parameters);
  EXPECT_EQ(found.classes, config.classes);
  EXPECT_EQ(found.output_channels, config.output_channels);
  EXPECT_EQ(found.down, config.down);
  EXPECT_EQ(found.up, config.up);
}

TEST_F(Spvnas, ClassifierKeepsTheColumnsOfTheWidestNetwork) {
  const SpvnasConfig config = read(net_config());
  Parameters checkpoint = make_spvnas(config, 3).parameters;
  Array wide({19, 128}, DType::kF32);
  for (std::int64_t i = 0; i < wide.count(); ++i) wide.data<float>()[i] = static_cast<float>(i);
  checkpoint.at("classifier.linear.weight") = wide;
  checkpoint.emplace("classifier.linear.unused", wide);
  const Network network = load_spvnas(config, checkpoint);
  const Array& narrow = network.parameters.at("classifier.linear.weight");
  ASSERT_EQ(narrow.shape(), (Shape{19, 32}));
  for (std::int64_t i = 0; i < 19; ++i)
    for (std::int64_t c = 0; c < 32; ++c) EXPECT_EQ(narrow.data<float>()[32 * i + c], static_cast<float>(128 * i + c));
  EXPECT_FALSE(network.parameters.contains("classifier.linear.unused"));
  for (const auto& [name, tensor] : network.parameters)
    if (name != "classifier.linear.weight") expect_same_bits(tensor, checkpoint.at(name));
}

TEST_F(Spvnas, ConfigThatDoesNotMatchTheTensors) {
  const Parameters checkpoint = make_spvnas(read(net_config()), 1).parameters;
  const auto mismatch = [&](const std::string& key, const json& value, const std::vector<std::string>& parts) {
    json config = net_config();
    config[key] = value;
    expect_throw([&] { load_spvnas(read(config), checkpoint); }, parts);
  };
  mismatch("downsample.2.transition", 64, {"downsample.2.transition", "64", "48"});
  mismatch("upsample.1.feature.layers.0.net.layers.0", 80, {"upsample.1.feature.layers.0.net.layers.0", "80", "48"});
  mismatch("downsample.1.feature", 1, {"downsample.1.feature", "1", "2"});
  mismatch("num_classes", 22, {"num_classes", "22", "19"});
  mismatch("output_channels", {32, 32, 48, 64, 96, 96, 64, 48, 32}, {"output_channels[4]", "96", "80"});
}

TEST_F(Spvnas, CheckpointsThatAreIncomplete) {
  const SpvnasConfig config = read(net_config());
  const Parameters checkpoint = make_spvnas(config, 1).parameters;
  const auto refused = [&](const std::string& name, const std::vector<std::string>& parts) {
    Parameters broken = checkpoint;
    broken.erase(name);
    expect_throw([&] { load_spvnas(config, broken); }, parts);
  };
  refused("stem.3.kernel", {"\"stem.3.kernel\"", "missing"});
  refused("downsample.0.feature.0.net.0.net.conv.kernel", {"downsample.0.feature.0.net.0.net.conv.kernel", "missing"});
  refused("upsample.2.transition.net.bn.running_mean", {"upsample.2.transition.net.bn.running_mean", "missing"});
  refused("classifier.linear.weight", {"classifier.linear.weight", "missing"});
  Parameters broken = checkpoint;
  broken.at("upsample.3.transition.net.conv.kernel") = Array({19, 32}, DType::kF32);
  expect_throw([&] { load_spvnas(config, broken); }, {"upsample.3.transition.net.conv.kernel", "3 axes", "[19, 32]"});
  broken = checkpoint;
  broken.at("point_transforms.1.net.conv.weight") = Array({64, 81}, DType::kF32);
  expect_throw([&] { load_spvnas(config, broken); }, {"point_transforms.1.net.conv.weight", "[64, 80]", "[64, 81]"});
}

TEST_F(Spvnas, FilesThatAreNoConfig) {
  EXPECT_SAYS(io_error(folder_ / "none", [&] { read_spvnas_config(folder_ / "none"); }), "No such file");
  EXPECT_SAYS(io_error(folder_ / "a", [&] { read_spvnas_config(put("a", "")); }), "is empty");
  EXPECT_SAYS(io_error(folder_ / "a", [&] { read_spvnas_config(put("a", "[1, 2]")); }), "JSON object");
  EXPECT_SAYS(refused("num_classes", 0), "num_classes expects a whole number of 1 to 255, found 0");
  EXPECT_SAYS(refused("num_classes", "many"), "found \"many\"");
  EXPECT_SAYS(refused("downsample.0.transition", 1e9), "downsample.0.transition expects a whole number of 1 to 512");
  EXPECT_SAYS(refused("downsample.0.transition", nullptr), "found null");
  EXPECT_SAYS(refused("upsample.3.feature", 3), "upsample.3.feature expects a whole number of 1 to 2, found 3");
  EXPECT_SAYS(refused("downsample.1.feature.layers.1.net.layers.0", -16), "found -16");
  EXPECT_SAYS(refused("vres", 0.1), "pres and vres are expected to be equal, found 0.05 and 0.1");
  EXPECT_SAYS(refused("pres", 0.1), "pres and vres are expected to be equal, found 0.1 and 0.05");
  EXPECT_SAYS(refused("vres", -1), "vres expects metres above 0");
  EXPECT_SAYS(refused("vres", 1e-300), "vres expects metres above 0");
  EXPECT_SAYS(refused("vres", 1e300), "vres expects metres above 0");
  EXPECT_SAYS(refused("output_channels", {1, 2, 3}), "output_channels expects 9 numbers, found [1,2,3]");
  EXPECT_SAYS(refused("output_channels", {32, 32, 48, 64, 80, 96, 64, 48, 3.5}), "found 3.5");
  json config = net_config();
  config.erase("upsample.2.transition");
  EXPECT_SAYS(io_error(folder_ / "net.config", [&] { read(config); }), "upsample.2.transition is missing");
}

TEST_F(Spvnas, NumbersOutOfRange) {
  expect_throw([] { default_spvnas_config(0.01); }, {"width", "0.01"});
  SpvnasConfig config = default_spvnas_config();
  config.down[1].middle = {16, 16, 16};
  expect_throw([&] { make_spvnas(config, 1); }, {"downsample.1.feature", "1 to 2", "3"});
  config = default_spvnas_config();
  config.up[2].transition = 0;
  expect_throw([&] { make_spvnas(config, 1); }, {"upsample.2.transition", "found 0"});
}

}  // namespace
}  // namespace voxshift
