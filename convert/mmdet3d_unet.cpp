// MinkUNet, its second version and SPVCNN of mmdetection3d, on each of its backends.
#include <voxshift/convert/unet.h>

#include <string>

namespace voxshift {
namespace {

constexpr const char* kBackbone = "backbone.";
constexpr const char* kHead = "decode_head.conv_seg";

// How a backend calls the parts of a layer and of a residual block.
struct Mmdet3dBackend {
  const char *conv, *norm;  // behind the name of a module of convolution, norm and ReLU
  const char *first_conv, *first_norm, *second_conv, *second_norm;
  const char *shortcut_conv, *shortcut_norm;
  const char* weight;
};

constexpr Mmdet3dBackend kOnTorchsparse{".net.0", ".net.1",        ".net.0",        ".net.1", ".net.3",
                                        ".net.4", ".downsample.0", ".downsample.1", "kernel"};
constexpr Mmdet3dBackend kOnMinkowski{
    ".net.0", ".net.1.bn", ".conv1", ".norm1.bn", ".conv2", ".norm2.bn", ".downsample.net.0", ".downsample.net.1.bn",
    "kernel"};
constexpr Mmdet3dBackend kOnSpconv{".0",    ".1", ".conv1", ".bn1", ".conv2", ".bn2", ".downsample.0", ".downsample.1",
                                   "weight"};

UNetNames mmdet3d_names(const Mmdet3dBackend& backend) {
  UNetNames names;
  const auto module = [backend](const std::string& name) {
    return LayerNames{name + backend.conv, name + backend.norm, backend.weight};
  };
  const auto part = [](const char* list, std::size_t i) { return kBackbone + std::string(list) + std::to_string(i); };
  names.stem = {module(part("conv_input.", 0)), module(part("conv_input.", 1))};
  names.down = [=](std::size_t level) { return module(part("encoder.", level - 1) + ".0"); };
  names.down_block = [=](std::size_t level, std::size_t block) {
    return part("encoder.", level - 1) + "." + std::to_string(block + 1);
  };
  names.up = [=](std::size_t step) { return module(part("decoder.", step - 1) + ".0"); };
  names.up_block = [=](std::size_t step, std::size_t block) {
    return part("decoder.", step - 1) + ".1." + std::to_string(block);
  };
  names.block = [backend](const std::string& block) {
    return ResidualNames{block,
                         {block + backend.first_conv, block + backend.first_norm, backend.weight},
                         {block + backend.second_conv, block + backend.second_norm, backend.weight},
                         {block + backend.shortcut_conv, block + backend.shortcut_norm, backend.weight}};
  };
  return names;
}

// The second version's head sees the coarsest level and every second step, all at the points.
std::string second_version(SketchedUNet& unet) {
  std::vector<std::string> values;
  unet.whole(&values);
  std::vector<std::string> seen;
  for (std::size_t i = unet.levels(); i < values.size(); i += 2) {
    const bool finest = i + 1 == values.size();
    seen.push_back(
        finest ? values[i]
               : unet.net().add("points." + std::to_string(seen.size()), "devoxelize", {values[i], values.front()}));
  }
  return unet.net().add("points.cat", "cat", seen);
}

Sketch sketch_mmdet3d(const StateDict& state, const SketchOptions& options, const Mmdet3dBackend& backend) {
  const Widths widths(state, options.layout);
  // On spconv the extent of a scan's voxels is its highest coordinates + 1, of which half a voxel may be cut off.
  const UNetLevels levels = backend.weight == kOnSpconv.weight ? UNetLevels::kBounded : UNetLevels::kAll;
  SketchedUNet unet(widths, mmdet3d_names(backend), levels);
  check(unet.levels() == kUNetLevels, "expected the levels ", kBackbone, "encoder.0 to ", kUNetLevels - 1, ", found ",
        unet.levels());
  const std::string head = kHead;
  const Shape& matrix = state.shape(head + ".weight");
  const int classes = widths.rows(head + ".weight");
  Sketch sketch;
  std::string x;
  if (state.has(kBackbone + std::string("point_transforms.0.0.weight"))) {
    sketch.arch = "spvcnn";
    x = unet.whole_with_points(kBackbone + std::string("point_transforms."));
  } else {
    const LayerNames last = mmdet3d_names(backend).up(kUNetLevels);
    const bool is_second = matrix.size() == 2 && matrix[1] > widths.out(last.layer + "." + last.weight);
    sketch.arch = "minkunet";
    x = is_second ? second_version(unet) : unet.whole();
  }
  sketch.network = unet.net().take(unet.net().linear(head, x, classes));
  sketch.profile = find_profile("spvnas");
  sketch.classes = classes_for(static_cast<std::size_t>(classes), ClassTables::kPoints);
  return sketch;
}

bool has_backbone_tensor(const StateDict& state, const char* name) {
  return state.has(kBackbone + std::string(name)) && state.has(kHead + std::string(".weight"));
}

}  // namespace

Source mmdet3d_unet_source(KernelLayout layout) {
  if (layout == KernelLayout::kTorchsparse)
    return {"mmdet3d",
            "MinkUNet and SPVCNN of mmdetection3d (torchsparse)",
            {layout},
            [](const StateDict& state) {
              return has_backbone_tensor(state, "conv_input.0.net.0.kernel") &&
                     has_backbone_tensor(state, "conv_input.0.net.1.weight");
            },
            [](const StateDict& state, const SketchOptions& options) {
              return sketch_mmdet3d(state, options, kOnTorchsparse);
            }};
  if (layout == KernelLayout::kMinkowski)
    return {"mmdet3d",
            "MinkUNet of mmdetection3d (MinkowskiEngine)",
            {layout},
            [](const StateDict& state) { return has_backbone_tensor(state, "conv_input.0.net.1.bn.weight"); },
            [](const StateDict& state, const SketchOptions& options) {
              return sketch_mmdet3d(state, options, kOnMinkowski);
            }};
  return {
      "mmdet3d",
      "MinkUNet of mmdetection3d (spconv, mmcv.ops)",
      {KernelLayout::kSpconv22, KernelLayout::kSpconv1, KernelLayout::kSpconv20},
      [](const StateDict& state) { return has_backbone_tensor(state, "conv_input.0.0.weight"); },
      [](const StateDict& state, const SketchOptions& options) { return sketch_mmdet3d(state, options, kOnSpconv); }};
}

}  // namespace voxshift
