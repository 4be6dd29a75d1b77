// Cylinder3D: the code of its authors, and mmdetection3d's.
//
// Layers of 1 x 3 x 3, 3 x 1 x 3 and 3 x 3 x 3 taps share a map by its key in spconv 1 and mmcv.ops: the first of them
// makes it, the others multiply the neighbours that it found by their own weights in their order, as many as there are.
// spconv 2 refuses to share a map so; there every layer has its own window.
#include <voxshift/convert/widths.h>
#include <voxshift/networks/unet_blocks.h>

#include <array>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace voxshift {
namespace {

using Taps = std::array<std::int32_t, 3>;  // along radius, angle, height

constexpr Taps kAcrossRadius{1, 3, 3}, kAcrossAngle{3, 1, 3}, kAll{3, 3, 3};
constexpr std::size_t kCylinderLevels = 4;

// What a library calls the layers.
struct CylinderNames {
  std::string pre_norm, compression;
  std::vector<LayerNames> point_layers;  // the last one without norm
  std::string context, gate;             // blocks
  std::function<std::string(std::size_t level)> down, up;
  std::array<std::array<const char*, 2>, 4> block;  // convolution and norm: shortcut, its second, main, its second
  std::array<const char*, 2> up_first;
  std::array<std::array<const char*, 2>, 3> gate_layers;
  std::string logits;
};

CylinderNames names_of_authors() {
  const std::string points = "cylinder_3d_generator.PPmodel.", net = "cylinder_3d_spconv_seg.";
  CylinderNames names;
  names.pre_norm = points + "0";
  names.point_layers = {
      {points + "1", points + "2"}, {points + "4", points + "5"}, {points + "7", points + "8"}, {points + "10", ""}};
  names.compression = "cylinder_3d_generator.fea_compression.0";
  names.context = net + "downCntx.";
  names.gate = net + "ReconNet.";
  names.down = [=](std::size_t level) { return net + "resBlock" + std::to_string(level + 2) + "."; };
  names.up = [=](std::size_t level) { return net + "upBlock" + std::to_string(kCylinderLevels - 1 - level) + "."; };
  names.block = {{{"conv1", "bn0"}, {"conv1_2", "bn0_2"}, {"conv2", "bn1"}, {"conv3", "bn2"}}};
  names.up_first = {"trans_dilao", "trans_bn"};
  names.gate_layers = {{{"conv1", "bn0"}, {"conv1_2", "bn0_2"}, {"conv1_3", "bn0_3"}}};
  names.logits = net + "logits";
  return names;
}

CylinderNames names_of_mmdet3d() {
  const std::string points = "voxel_encoder.", layers = points + "vfe_layers.", net = "backbone.";
  CylinderNames names;
  names.pre_norm = points + "pre_norm";
  names.point_layers = {{layers + "0.0", layers + "0.1"},
                        {layers + "1.0", layers + "1.1"},
                        {layers + "2.0", layers + "2.1"},
                        {layers + "3", ""}};
  names.compression = points + "compression_layers.0";
  names.context = net + "down_context.";
  names.gate = net + "ddcm.";
  names.down = [=](std::size_t level) { return net + "down_block_list." + std::to_string(level) + "."; };
  names.up = [=](std::size_t level) { return net + "up_block_list." + std::to_string(level) + "."; };
  names.block = {{{"conv0_0", "bn0_0"}, {"conv0_1", "bn0_1"}, {"conv1_0", "bn1_0"}, {"conv1_1", "bn1_1"}}};
  names.up_first = {"trans_conv", "trans_bn"};
  names.gate_layers = {{{"conv1", "bn1"}, {"conv2", "bn2"}, {"conv3", "bn3"}}};
  names.logits = "decode_head.conv_seg";
  return names;
}

Window window_of_taps(const Taps& taps) {
  Window window;
  for (std::size_t axis = 0; axis < taps.size(); ++axis) window.size[axis] = taps[axis];
  return window;
}

// Halves the grid along radius and angle, the first two levels also along height, as spconv does with padding 1.
Window pooling(std::size_t level) {
  Window window = window_of_taps(kAll);
  window.stride = {2, 2, level < 2 ? 2 : 1, 1};
  window.pad = {1, 1, 1, 0};
  window.semantics = Semantics::kBounded;
  return window;
}

class CylinderSketch {
 public:
  CylinderSketch(const StateDict& state, const SketchOptions& options, CylinderNames names)
      : widths_(state, options.layout),
        names_(std::move(names)),
        layout_(options.layout),
        columns_(widths_.rows(names_.pre_norm + ".weight") - kMadeOfPoints),
        net_(InputKind::kPoints, columns_, std::nullopt) {}

  // Points [rho phi z x y ..] with their offsets from the middles of their cells, and the greatest of each voxel.
  std::string voxels(const Range& range, const std::array<std::int64_t, 3>& cells) {
    const std::string polar = net_.add("polar", "cylindrical", {kGraphInput});
    const std::string grid = voxelize("voxels.grid", polar, "mean", range, cells);
    const std::string offsets = net_.add("points.offsets", "voxel_offsets", {kGraphInput, grid});
    net_.node().attributes = {{"from", "center"}};
    std::vector<std::string> parts{offsets, polar, net_.columns("points.xy", kGraphInput, 0, 2)};
    if (columns_ > 3) parts.push_back(net_.columns("points.rest", kGraphInput, 3, columns_ - 3));
    std::string x = net_.norm(names_.pre_norm, net_.add("points.cat", "cat", parts));
    for (const LayerNames& layer : names_.point_layers) {
      x = net_.linear(layer.layer, x, widths_.rows(layer.layer + ".weight"));
      if (!layer.norm.empty()) x = net_.relu(layer.norm + ".relu", net_.norm(layer.norm, x));
    }
    x = voxelize("voxels", x, "max", range, cells);
    if (!widths_.has(names_.compression + ".weight")) return x;
    x = net_.linear(names_.compression, x, widths_.rows(names_.compression + ".weight"));
    return net_.relu(names_.compression + ".relu", x);
  }

  Sketch finish(const std::string& voxel_features) {
    std::string x = block(names_.context, voxel_features, {kAcrossRadius, kAcrossAngle, kAcrossAngle, kAcrossRadius});
    std::vector<std::string> skips;
    for (std::size_t level = 0; level < kCylinderLevels; ++level) {
      skips.push_back(block(names_.down(level), x, {kAcrossAngle, kAcrossRadius, kAcrossRadius, kAcrossAngle}));
      x = convolution(names_.down(level) + "pool", skips.back(), pooling(level), kAll);
    }
    for (std::size_t level = kCylinderLevels; level-- > 0;) x = up(level, x, skips[level]);
    x = net_.add("gated.cat", "cat", {gated(x), x});
    x = convolution(names_.logits, x, window_of_taps(kAll), kAll, "conv", widths_.has(names_.logits + ".bias"));
    sketch_.network = net_.take(net_.add("points.logits", "broadcast", {x, kGraphInput}));
    return std::move(sketch_);
  }

  int classes() const { return widths_.out(names_.logits + ".weight"); }
  std::int64_t columns() const { return columns_; }

 private:
  static constexpr int kMadeOfPoints = 5;  // features that are no columns: three offsets, rho, phi

  std::string voxelize(const std::string& name, const std::string& x, const char* reduce, const Range& range,
                       const std::array<std::int64_t, 3>& cells) {
    net_.add(name, "voxelize_points", {x});
    PerAxisNumber size, lowest, highest;
    for (std::size_t axis = 0; axis < cells.size(); ++axis) {
      lowest.push_back(range.lowest[axis]);
      highest.push_back(range.highest[axis]);
      size.push_back((highest.back() - lowest.back()) / static_cast<double>(cells[axis] - 1));
    }
    net_.node().attributes = {{"voxel_size", size}, {"lowest", lowest},      {"highest", highest},
                              {"reduce", reduce},   {"axes", "cylindrical"}, {"outside", "clamped"}};
    return name;
  }

  // `own`: the window that the tensor is made for, `window` that of the map it is used with.
  std::string convolution(const std::string& name, const std::string& x, const Window& window, const Taps& own,
                          const char* op = "conv", bool bias = false) {
    const std::string weight = name + ".weight";
    net_.conv(name, x, widths_.out(weight), window, op, "weight", bias);
    KernelShape kernel;
    kernel.size.assign(window.size.begin(), window.size.begin() + 3);
    kernel.stored.assign(own.begin(), own.end());
    if (kernel.stored == kernel.size) return name;
    kernel.in = widths_.in(weight);
    kernel.out = widths_.out(weight);
    sketch_.stored[weight] = {stored_shapes(kernel, layout_),
                              [kernel, layout = layout_](const Array& a) { return from_layout(a, kernel, layout); }};
    return name;
  }

  // A layer whose map is that of `first` where maps are shared.
  std::string shared(const std::string& name, const std::string& x, const Taps& own, const Taps& first) {
    return convolution(name, x, window_of_taps(layout_ == KernelLayout::kSpconv1 ? first : own), own);
  }

  std::string leaky_norm(const std::string& norm, const std::string& x) {
    return net_.norm(norm, net_.add(norm + ".act", "leaky_relu", {x}));
  }

  std::string block(const std::string& name, const std::string& x, const std::array<Taps, 4>& taps) {
    std::array<std::string, 2> ends;
    for (std::size_t branch = 0; branch < 2; ++branch) {
      ends[branch] = x;
      for (std::size_t i = 2 * branch; i < 2 * branch + 2; ++i) {
        const auto& [conv, norm] = names_.block[i];
        ends[branch] = leaky_norm(name + norm, shared(name + conv, ends[branch], taps[i], taps[0]));
      }
    }
    return net_.add(name + "add", "add", {ends[1], ends[0]});
  }

  std::string up(std::size_t level, const std::string& x, const std::string& skip) {
    constexpr std::array kTaps{kAcrossRadius, kAcrossAngle, kAll};
    const std::string name = names_.up(level);
    std::string y = convolution(name + names_.up_first[0], x, window_of_taps(kAll), kAll);
    y = convolution(name + "up_subm", leaky_norm(name + names_.up_first[1], y), pooling(level), kAll, "conv_transpose");
    y = net_.add(name + "add", "add", {y, skip});
    for (std::size_t i = 0; i < kTaps.size(); ++i) {
      const std::string number = std::to_string(i + 1);
      y = leaky_norm(name + "bn" + number, shared(name + "conv" + number, y, kTaps[i], kTaps[0]));
    }
    return y;
  }

  // Three sigmoids of convolutions along one axis each, summed, times x.
  std::string gated(const std::string& x) {
    std::string sum;
    for (std::size_t axis = 0; axis < names_.gate_layers.size(); ++axis) {
      const auto& [conv, norm] = names_.gate_layers[axis];
      Taps along{1, 1, 1};
      along[axis] = 3;
      const std::string y = net_.norm(names_.gate + norm, shared(names_.gate + conv, x, along, {3, 1, 1}));
      const std::string gate = net_.add(names_.gate + norm + ".act", "sigmoid", {y});
      sum = axis == 0 ? gate : net_.add(names_.gate + norm + ".add", "add", {sum, gate});
    }
    return net_.add("gated", "multiply", {sum, x});
  }

  Widths widths_;
  CylinderNames names_;
  KernelLayout layout_;
  std::int64_t columns_;
  NetworkBuilder net_;
  Sketch sketch_;
};

// Points of a whole scan as they are, since the network makes its voxels itself.
Profile whole_scan(std::int64_t columns) {
  constexpr float kReach = 10000;
  Profile profile{"cylinder3d", {}, std::vector<float>(static_cast<std::size_t>(columns), 1.0f), std::nullopt};
  profile.voxelize.range = Range{{-kReach, -kReach, -kReach}, {kReach, kReach, kReach}};
  profile.cloud.emplace();
  return profile;
}

Sketch sketch_cylinder3d(const StateDict& state, const SketchOptions& options, bool authors) {
  constexpr float kPi = 3.14159265359f;
  constexpr std::array<std::int64_t, 3> kCells{480, 360, 32};
  CylinderSketch net(state, options, authors ? names_of_authors() : names_of_mmdet3d());
  const auto classes = static_cast<std::size_t>(net.classes());
  const bool nuscenes = classes == nuscenes_classes().size() + 1;
  const Range range = nuscenes ? Range{{0, -kPi, -5}, {50, kPi, 3}} : Range{{0, -kPi, -4}, {50, kPi, 2}};
  Sketch sketch = net.finish(net.voxels(range, kCells));
  sketch.arch = "cylinder3d";
  sketch.profile = whole_scan(net.columns());
  // One class more than the data set has, which is trained on nothing: the authors' first, mmdetection3d's last.
  sketch.classes = classes_for(classes - 1, ClassTables::kPoints);
  sketch.classes.insert(authors ? sketch.classes.begin() : sketch.classes.end(), {"unlabeled", 0, {0, 0, 0}});
  sketch.guesses.push_back(
      std::string(
          "the checkpoint does not say what cells are: took 480 x 360 x 32 of radius to 50 m, angle, and height ") +
      (nuscenes ? "-5 to 3 m" : "-4 to 2 m") + ", and the features of points in the published order");
  if (options.layout != KernelLayout::kSpconv1)
    sketch.guesses.push_back(
        "kernels of spconv 2, which refuses to share the map of another window: took every layer's "
        "own window");
  return sketch;
}

const std::vector<KernelLayout> kCylinderLayouts{KernelLayout::kSpconv1, KernelLayout::kSpconv22,
                                                 KernelLayout::kSpconv20};

}  // namespace

Source cylinder3d_source() {
  return {"cylinder3d", "Cylinder3D of its authors (spconv)", kCylinderLayouts,
          [](const StateDict& state) { return state.has("cylinder_3d_spconv_seg.downCntx.conv1.weight"); },
          [](const StateDict& state, const SketchOptions& options) { return sketch_cylinder3d(state, options, true); }};
}

Source mmdet3d_cylinder3d_source() {
  return {
      "mmdet3d", "Cylinder3D of mmdetection3d (mmcv.ops)", kCylinderLayouts,
      [](const StateDict& state) { return state.has("backbone.down_context.conv0_0.weight"); },
      [](const StateDict& state, const SketchOptions& options) { return sketch_cylinder3d(state, options, false); }};
}

}  // namespace voxshift
