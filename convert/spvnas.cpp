// MinkUNet, SPVCNN and SPVNAS of mit-han-lab/spvnas, with kernels of torchsparse.
#include <voxshift/convert/unet.h>
#include <voxshift/networks/spvnas.h>

#include <algorithm>
#include <string>

namespace voxshift {
namespace {

constexpr const char* kPointTransforms = "point_transforms.";

UNetNames spvnas_names() {
  UNetNames names;
  names.stem = {{"stem.0", "stem.1"}, {"stem.3", "stem.4"}};
  const auto stage = [](std::size_t level) { return "stage" + std::to_string(level) + "."; };
  const auto up = [](std::size_t step) { return "up" + std::to_string(step) + "."; };
  names.down = [=](std::size_t level) { return LayerNames{stage(level) + "0.net.0", stage(level) + "0.net.1"}; };
  names.down_block = [=](std::size_t level, std::size_t block) { return stage(level) + std::to_string(block + 1); };
  names.up = [=](std::size_t step) { return LayerNames{up(step) + "0.net.0", up(step) + "0.net.1"}; };
  names.up_block = [=](std::size_t step, std::size_t block) { return up(step) + "1." + std::to_string(block); };
  names.block = [](const std::string& block) {
    return ResidualNames{block,
                         {block + ".net.0", block + ".net.1"},
                         {block + ".net.3", block + ".net.4"},
                         {block + ".downsample.0", block + ".downsample.1"}};
  };
  return names;
}

// MinkUNet of spvnas owns the layers on points of SPVCNN and never uses them: their statistics are those of the start.
bool has_unused_point_transforms(const StateDict& state) {
  const auto is_all = [&](const char* tensor, float value) {
    const std::string name = kPointTransforms + std::string("0.1.") + tensor;
    if (!state.has(name)) return true;
    const Array numbers = state.f32(name);
    const auto all = numbers.values<float>();
    return std::all_of(all.begin(), all.end(), [&](float number) { return number == value; });
  };
  return is_all("running_mean", 0) && is_all("running_var", 1);
}

Sketch sketch_minkunet_or_spvcnn(const StateDict& state, const SketchOptions& options) {
  const Widths widths(state, options.layout);
  SketchedUNet unet(widths, spvnas_names());
  check(unet.levels() == kUNetLevels, "expected the levels stage1 to stage", kUNetLevels, ", found ", unet.levels());
  Sketch sketch;
  const bool has_points = state.has(kPointTransforms + std::string("0.0.weight"));
  check(options.arch.empty() || options.arch == "minkunet" || (options.arch == "spvcnn" && has_points),
        "arch expects minkunet", has_points ? " or spvcnn" : "", ", found \"", options.arch, "\"");
  sketch.arch = options.arch;
  if (sketch.arch.empty()) {
    sketch.arch = has_unused_point_transforms(state) ? "minkunet" : "spvcnn";
    if (has_points)
      sketch.guesses.push_back("MinkUNet and SPVCNN have the same tensors: took " + sketch.arch +
                               ", as the statistics of point_transforms are those of " +
                               (sketch.arch == "minkunet" ? "untrained layers" : "trained layers") + " (--arch)");
  }
  std::string x;
  if (sketch.arch == "minkunet") {
    x = unet.whole();
    if (has_points) sketch.left_out = {{kPointTransforms, "which MinkUNet owns and never uses"}};
  } else {
    x = unet.whole_with_points(kPointTransforms);
  }
  const int classes = widths.rows("classifier.0.weight");
  sketch.network = unet.net().take(unet.net().linear("classifier.0", x, classes));
  sketch.classes = classes_for(static_cast<std::size_t>(classes), ClassTables::kPoints);
  sketch.profile = find_profile("spvnas");
  return sketch;
}

// The linear layer of a searched network keeps the columns of the widest one, of which it uses the first.
StoredAs first_columns(const Shape& shape, const Shape& stored) {
  return {{stored}, [columns = shape[1]](const Array& matrix) {
            Array result({matrix.dim(0), columns}, DType::kF32);
            for (std::int64_t row = 0; row < matrix.dim(0); ++row)
              std::copy_n(matrix.data<float>() + row * matrix.dim(1), columns, result.data<float>() + row * columns);
            return result;
          }};
}

Sketch sketch_spvnas(const StateDict& state) {
  const SpvnasConfig config = spvnas_config_of(state.shapes());
  Sketch sketch{"spvnas", make_spvnas(config, std::nullopt), find_profile("spvnas")};
  sketch.classes = classes_for(static_cast<std::size_t>(config.classes), ClassTables::kPoints);
  const std::string matrix = "classifier.linear.weight";
  const Shape& shape = sketch.network.parameters.at(matrix).shape();
  const Shape& stored = state.shape(matrix);
  if (stored.size() == 2 && stored[0] == shape[0] && stored[1] > shape[1])
    sketch.stored[matrix] = first_columns(shape, stored);
  return sketch;
}

}  // namespace

Source spvnas_source() {
  return {"spvnas",
          "MinkUNet, SPVCNN and SPVNAS of mit-han-lab/spvnas (torchsparse)",
          {KernelLayout::kTorchsparse},
          [](const StateDict& state) {
            return state.has("stem.0.kernel") &&
                   (state.has("stage1.0.net.0.kernel") || state.has("downsample.0.transition.net.conv.kernel"));
          },
          [](const StateDict& state, const SketchOptions& options) {
            return state.has("stage1.0.net.0.kernel") ? sketch_minkunet_or_spvcnn(state, options)
                                                      : sketch_spvnas(state);
          }};
}

}  // namespace voxshift
