#include <voxshift/networks/detector_blocks.h>
#include <voxshift/tensor/error.h>

#include <numeric>

namespace voxshift {
namespace {

constexpr float kHeatmapBias = -2.19f;  // log(0.1 / 0.9), as CenterNet's
constexpr int kHeadChannels = 64;

// Of nuScenes: car; truck, construction vehicle; bus, trailer; barrier; motorcycle, bicycle; pedestrian, traffic cone.
std::vector<std::vector<std::int32_t>> groups_of(const DetectorSpec& spec) {
  std::vector<std::int32_t> sizes = spec.groups;
  if (sizes.empty()) sizes = spec.classes == 10 ? std::vector{1, 2, 2, 1, 2, 2} : std::vector{spec.classes};
  check(std::accumulate(sizes.begin(), sizes.end(), 0) == spec.classes, "[new] groups expects ", spec.classes,
        " classes in all");
  std::vector<std::vector<std::int32_t>> groups;
  std::int32_t next = 0;
  for (const std::int32_t size : sizes) {
    groups.emplace_back(static_cast<std::size_t>(size));
    std::iota(groups.back().begin(), groups.back().end(), next);
    next += size;
  }
  return groups;
}

struct CenterStage {
  int channels, next;                   // next: of the convolution that halves the extents; 0: none
  std::array<std::int32_t, 3> padding;  // of that one, along x, y, z
};

constexpr CenterStage kCenterStages[]{{16, 32, {1, 1, 1}}, {32, 64, {1, 1, 1}}, {64, 128, {1, 1, 0}}, {128, 0, {}}};

// On pillars. nuScenes' maps have cells of 4 x 4 pillars, Waymo's of one.
const std::vector<DetectorBuilder::Block> kNuscenesBlocks{
    {3, 2, 64, 0.5, 128}, {5, 2, 128, 1, 128}, {5, 2, 256, 2, 128}};
const std::vector<DetectorBuilder::Block> kWaymoBlocks{{3, 1, 64, 1, 128}, {5, 2, 128, 2, 128}, {5, 2, 256, 4, 128}};

// relu(norm(conv(relu(norm(conv(x))))) + x). OpenPCDet's convolutions have biases.
std::string residual(DetectorBuilder& net, const std::string& name, const std::string& x) {
  const std::int64_t channels = net.net().channels(x);
  std::string y = x;
  for (const std::string i : {"1", "2"}) {
    y = net.net().conv(name + ".conv" + i, y, channels, window_3x3x3(), "conv", "weight", !net.mmdet());
    y = net.net().norm(name + ".bn" + i, y, 1e-3f);
    if (i == "1") y = net.net().relu(name + ".relu1", y);
  }
  return net.net().relu(name + ".relu", net.net().add(name + ".add", "add", {y, x}));
}

// Two residual blocks a stage. mmdetection3d has the convolution to the next one behind them, OpenPCDet before those of
// the next stage.
std::string sparse_encoder(DetectorBuilder& net) {
  const bool mmdet = net.mmdet();
  const std::string prefix = net.part(mmdet ? "middle_encoder" : "backbone_3d") + ".";
  std::array<std::int64_t, 3> extents = net.extents();
  ++extents[2];
  std::string x = net.conv(prefix + "conv_input.0", prefix + "conv_input.1", net.voxels("voxels", 1), net.scaled(16),
                           window_3x3x3());
  for (std::size_t s = 0; s < std::size(kCenterStages); ++s) {
    const CenterStage& stage = kCenterStages[s];
    const auto name = [&](std::size_t of, int i) {
      return prefix + (mmdet ? "encoder_layers.encoder_layer" : "conv") + std::to_string(of + 1) + "." +
             std::to_string(i);
    };
    const int first = mmdet || s == 0 ? 0 : 1;
    for (int block = 0; block < 2; ++block) x = residual(net, name(s, first + block), x);
    if (stage.next == 0) continue;
    const Window window = window_3x3x3(2, stage.padding);
    extents = coarser(extents, window);
    const std::string down = mmdet ? name(s, 2) : name(s + 1, 0);
    x = net.conv(down + ".0", down + ".1", x, net.scaled(stage.next), window);
  }
  x = net.conv(prefix + "conv_out.0", prefix + "conv_out.1", x, net.scaled(128), window_1x1x3());
  return net.bird_eye_view(x, coarser(extents, window_1x1x3()));
}

// The maps of one group of classes by two convolutions each.
class HeadBuilder {
 public:
  HeadBuilder(DetectorBuilder& net, std::string prefix, std::string shared)
      : net_(net), prefix_(std::move(prefix)), shared_(std::move(shared)) {}

  std::string map(const std::string& name, std::int64_t out, float bias = 0) {
    const std::string prefix = prefix_ + name + ".", layer = net_.mmdet() ? prefix + "0.conv" : prefix + "0.0";
    const std::string norm = net_.mmdet() ? prefix + "0.bn" : prefix + "0.1";
    const std::optional<float> zero = net_.mmdet() ? std::nullopt : std::optional(0.0f);
    const std::string x = net_.net().conv2d(layer, shared_, net_.scaled(kHeadChannels), 3, 1, 1, zero);
    const std::string y = net_.net().relu(norm + ".relu", net_.net().norm(norm, x));
    outputs.push_back(net_.net().conv2d(prefix + "1", y, out, 3, 1, 1, bias));
    return outputs.back();
  }

  std::vector<std::string> outputs;

 private:
  DetectorBuilder& net_;
  std::string prefix_, shared_;
};

DetectorNetwork with_centers(DetectorBuilder& net, const std::string& x) {
  const bool mmdet = net.mmdet(), velocity = net.spec().velocity.value_or(net.spec().classes == 10);
  const std::string prefix = net.part(mmdet ? "bbox_head" : "dense_head") + ".";
  const std::string conv = prefix + (mmdet ? "shared_conv.conv" : "shared_conv.0");
  const std::string norm = prefix + (mmdet ? "shared_conv.bn" : "shared_conv.1");
  const std::optional<float> zero = mmdet ? std::nullopt : std::optional(0.0f);
  std::string shared = net.net().conv2d(conv, x, net.scaled(kHeadChannels), 3, 1, 1, zero);
  shared = net.net().relu(norm + ".relu", net.net().norm(norm, shared));

  const std::vector<std::vector<std::int32_t>> groups = groups_of(net.spec());
  DetectionHead all;
  std::vector<std::string> outputs;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    HeadBuilder maps(net, prefix + (mmdet ? "task_heads." : "heads_list.") + std::to_string(g) + ".", shared);
    CenterHead head;
    head.range = net.range();
    head.classes = groups[g];
    head.offset = maps.map(mmdet ? "reg" : "center", 2);
    head.height = maps.map(mmdet ? "height" : "center_z", 1);
    head.size = maps.map("dim", 3);
    head.rotation = maps.map("rot", 2);
    if (velocity) head.velocity = maps.map("vel", 2);
    head.heatmap = maps.map(mmdet ? "heatmap" : "hm", static_cast<std::int64_t>(groups[g].size()), kHeatmapBias);
    head.sine_first = mmdet;
    outputs.insert(outputs.end(), maps.outputs.begin(), maps.outputs.end());
    all.heads.emplace_back(head);
  }
  all.selection.score_threshold = 0.1f;
  all.selection.candidates = 500;
  all.selection.most = 83;
  all.selection.overlap = 0.2f;
  all.selection.lowest = {-61.2f, -61.2f, -10};
  all.selection.highest = {61.2f, 61.2f, 10};
  return {net.net().take(outputs), all};
}

}  // namespace

DetectorNetwork make_centerpoint(const DetectorSpec& spec, Seed seed) {
  DetectorBuilder net(spec, seed, true);
  if (net.is_one_high()) {
    const bool halves = spec.pillar_stride == 0 ? spec.classes == 10 : spec.pillar_stride == 2;
    const std::string pillars = net.bird_eye_view(net.pillars(), net.extents());
    return with_centers(net, net.backbone_2d(pillars, halves ? kNuscenesBlocks : kWaymoBlocks));
  }
  return with_centers(net, net.backbone_2d(sparse_encoder(net), {{5, 1, 128, 1, 256}, {5, 2, 256, 2, 256}}));
}

}  // namespace voxshift
