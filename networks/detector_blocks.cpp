#include <voxshift/networks/detector_blocks.h>
#include <voxshift/point_voxel/voxelize.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace voxshift {
namespace {

constexpr float kRareLogit = -4.59511985f;  // log(0.01 / 0.99): what a focal loss starts from

struct Prototype {
  std::array<float, 3> size;
  float bottom;  // metres
};

constexpr Prototype kCar{{3.9f, 1.6f, 1.56f}, -1.78f};
constexpr Prototype kPedestrian{{0.8f, 0.6f, 1.73f}, -0.6f};
constexpr Prototype kCyclist{{1.76f, 0.6f, 1.73f}, -0.6f};
constexpr Prototype kNuscenes[]{
    {{4.60718145f, 1.95017717f, 1.72270761f}, -1.80032795f},   // car
    {{6.73778078f, 2.4560939f, 2.73004906f}, -1.74440365f},    // truck
    {{12.01320693f, 2.87427237f, 3.81509561f}, -1.68526504f},  // trailer
    {{1.68452161f, 0.60058911f, 1.27192197f}, -1.67339111f},   // bicycle
    {{0.7256437f, 0.66344886f, 1.75748069f}, -1.61785072f},    // pedestrian
    {{0.40359262f, 0.39694519f, 1.06232151f}, -1.80984986f},   // traffic cone
    {{0.48578221f, 2.49008838f, 0.98297065f}, -1.763965f},     // barrier
};

std::vector<Prototype> prototypes_of(const DetectorSpec& spec) {
  const bool mmdet = spec.style == DetectorStyle::kMmdet3d;
  if (spec.classes == 1) return {kCar};
  if (spec.classes == 3)
    return mmdet ? std::vector{kPedestrian, kCyclist, kCar} : std::vector{kCar, kPedestrian, kCyclist};
  check(spec.classes == 10 && mmdet, "[new] anchors are known for 1 class (cars), 3 (KITTI) and, with the style of ",
        "mmdetection3d, 10 (nuScenes); found ", spec.classes);
  return {std::begin(kNuscenes), std::end(kNuscenes)};
}

std::int64_t cells_of(float lowest, float highest, float size) {
  return std::llround((double{highest} - lowest) / size);
}

DetectorSpec checked(DetectorSpec spec) {
  check(spec.width >= 1.0 / 32 && spec.width <= 8, "[new] width expects 1/32 to 8, found ", spec.width);
  check_valid(spec.range, "new");
  const std::int64_t multiple = spec.pillar_stride == 1 ? 4 : 16;  // every block halves the map
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const float size = spec.voxel_size[axis];
    check(size > 0, "[new] voxel_size expects metres above 0, found ", size);
    const std::int64_t cells = cells_of(spec.range.lowest[axis], spec.range.highest[axis], size);
    check(cells >= 1 && cells <= 8192 && (axis == 2 || cells % multiple == 0),
          "[new] a detector's range expects a multiple of ", multiple, " voxels along x and y and at most 8192, found ",
          cells, " along axis ", axis);
  }
  check(spec.columns >= 3, "[new] a detector expects points of at least 3 columns, found ", spec.columns);
  return spec;
}

}  // namespace

DetectorBuilder::DetectorBuilder(const DetectorSpec& spec, Seed seed, bool centers)
    : spec_(checked(spec)), centers_(centers), net_(InputKind::kPoints, spec.columns, seed) {
  for (std::size_t axis = 0; axis < 3; ++axis)
    extents_[axis] = cells_of(spec_.range.lowest[axis], spec_.range.highest[axis], spec_.voxel_size[axis]);
}

std::string DetectorBuilder::part(const std::string& name) const {
  return mmdet() && spec_.pts.value_or(spec_.classes == 10 || centers_) ? "pts_" + name : name;
}

MapRange DetectorBuilder::range() const {
  return {{spec_.range.lowest[0], spec_.range.lowest[1]}, {spec_.range.highest[0], spec_.range.highest[1]}};
}

int DetectorBuilder::scaled(int channels) const { return std::max(1, static_cast<int>(spec_.width * channels)); }

std::string DetectorBuilder::points_to(const std::string& name, const std::string& x, const std::string& reduce,
                                       int layers) {
  net_.add(name, "voxelize_points", {x});
  PerAxisNumber size, lowest, highest;
  for (std::size_t axis = 0; axis < 3; ++axis) {
    size.push_back(spec_.voxel_size[axis]);
    lowest.push_back(spec_.range.lowest[axis]);
    highest.push_back(spec_.range.highest[axis]);
  }
  highest[2] += layers * spec_.voxel_size[2];
  net_.node().attributes = {{"voxel_size", size}, {"lowest", lowest}, {"highest", highest}, {"reduce", reduce}};
  return name;
}

std::string DetectorBuilder::voxels(const std::string& name, int layers) {
  return points_to(name, kGraphInput, "mean", layers);
}

std::string DetectorBuilder::norm_relu(const std::string& norm, const std::string& x, float eps) {
  return net_.relu(norm + ".relu", net_.norm(norm, x, eps));
}

// Columns, offsets from the mean of the pillar's points, offsets from its middle. In mmdetection3d's PillarFeatureNet
// of 4 columns, which is KITTI's, the latter stand in the place of x, y and z, too.
std::string DetectorBuilder::decorated(const std::string& name) {
  const std::string means = points_to(name + ".means", kGraphInput, "mean");
  const auto offsets = [&](const std::string& from) {
    std::string added = net_.add(name + ".from_" + from, "voxel_offsets", {kGraphInput, means});
    net_.node().attributes = {{"from", from}};
    return added;
  };
  const std::string from_mean = offsets("mean"), from_center = offsets("center");
  std::vector<std::string> parts{kGraphInput, from_mean, from_center};
  if (mmdet() && spec_.columns == 4 && spec_.max_points > 0 && !spec_.hard_vfe) {
    const std::string remission = net_.columns(name + ".remission", kGraphInput, 3, 1);
    parts = {from_center, remission, from_mean, from_center};
  }
  return net_.add(name + ".points", "cat", parts);
}

std::string DetectorBuilder::pillars() {
  const std::string reader = part(mmdet() ? "voxel_encoder" : "vfe");
  const std::string layers = reader + (spec_.hard_vfe ? ".vfe_layers." : ".pfn_layers.");
  std::vector<std::int64_t> channels = spec_.pillar_channels;
  if (channels.empty()) channels = {scaled(64)};
  const std::string points = decorated(layers + "0");
  std::string x = points, highest, padding;  // padding: what the rows are that hold no points
  if (spec_.max_points > 0) padding = constant(layers + "0.zeros", points_to(layers + "0.rows", points, "max"), 0);
  for (std::size_t i = 0; i < channels.size(); ++i) {
    const std::string name = layers + std::to_string(i);
    if (i > 0) {
      x = net_.add(name + ".points", "cat", {x, net_.add(name + ".of_pillar", "broadcast", {highest, x})});
      if (!padding.empty()) padding = net_.add(name + ".padding.points", "cat", {padding, highest});
    }
    highest = pillar_layer(name, x, static_cast<int>(channels[i]), padding);
    x = name + ".norm.relu";
  }
  return highest;
}

// Every channel is this number.
std::string DetectorBuilder::constant(const std::string& name, const std::string& like, double number) {
  net_.add(name, "clip", {like});
  net_.node().attributes = {{"lowest", number}, {"highest", number}};
  return name;
}

// relu(norm(linear(x))) of points, `name`.norm.relu, and its maximum in each pillar. The libraries fill pillars up with
// rows of zeros, which a layer turns into p = relu(norm(linear(padding))): the maximum of a pillar with fewer than
// max_points points is one over p, too. max(m, s p) = m + relu(s p - m) with s = 1 for such pillars, else 0.
std::string DetectorBuilder::pillar_layer(const std::string& name, const std::string& x, int out,
                                          std::string& padding) {
  const std::string features = norm_relu(name + ".norm", net_.linear(name + ".linear", x, out, false));
  std::string highest = points_to(name + ".max", features, "max");
  if (padding.empty()) return highest;
  const std::string count = points_to(name + ".count", constant(name + ".ones", features, 1), "sum");
  const std::string room = constant(name + ".room", count, static_cast<double>(spec_.max_points));
  const std::string free = net_.add(name + ".free", "subtract", {room, count});
  const std::string is_short = net_.add(name + ".short", "clip", {free});
  net_.node().attributes = {{"lowest", 0.0}, {"highest", 1.0}};

  const std::string linear = net_.linear(name + ".padding.linear", padding, out, false);
  net_.share(name + ".linear");
  const std::string norm = net_.norm(name + ".padding.norm", linear, 1e-3f);
  net_.share(name + ".norm");
  padding = net_.relu(name + ".padding", norm);
  const std::string masked = net_.add(name + ".padded", "multiply", {is_short, padding});
  const std::string above = net_.relu(name + ".above", net_.add(name + ".difference", "subtract", {masked, highest}));
  return net_.add(name + ".pillars", "add", {highest, above});
}

std::string DetectorBuilder::conv(const std::string& conv, const std::string& norm, const std::string& x, int out,
                                  Window window) {
  return norm_relu(norm, net_.conv(conv, x, out, window, "conv", "weight"));
}

std::string DetectorBuilder::conv2d(const std::string& conv, const std::string& norm, const std::string& x, int out,
                                    int kernel, int stride, bool bias) {
  const std::optional<float> zero = bias ? std::optional(0.0f) : std::nullopt;
  return norm_relu(norm, net_.conv2d(conv, x, out, kernel, stride, 1, zero));
}

std::string DetectorBuilder::bird_eye_view(const std::string& x, const std::array<std::int64_t, 3>& extents) {
  return net_.bird_eye_view("bev", x, extents);
}

std::string DetectorBuilder::backbone_2d(const std::string& x, const std::vector<Block>& table) {
  const std::string blocks = part(mmdet() ? "backbone" : "backbone_2d") + ".blocks";
  const std::string necks = part(mmdet() ? "neck" : "backbone_2d") + ".deblocks";
  const bool conv_without_stride = mmdet() ? centers_ : false;
  const int first = mmdet() ? 0 : 1;  // OpenPCDet counts the padding of the first convolution as a layer
  std::vector<std::string> ups;
  std::string y = x;
  for (std::size_t b = 0; b < table.size(); ++b) {
    const Block& block = table[b];
    const std::string prefix = blocks + "." + std::to_string(b) + ".";
    for (int layer = 0; layer <= block.layers; ++layer) {
      const int at = first + 3 * layer;
      y = conv2d(prefix + std::to_string(at), prefix + std::to_string(at + 1), y, scaled(block.out), 3,
                 layer == 0 ? block.stride : 1);
    }
    const std::string neck = necks + "." + std::to_string(b);
    if (block.up > 1 || (block.up == 1 && !conv_without_stride)) {
      const int kernel = static_cast<int>(block.up);
      ups.push_back(norm_relu(neck + ".1", net_.conv_transpose2d(neck + ".0", y, scaled(block.up_out), kernel)));
    } else {
      const int kernel = static_cast<int>(1 / block.up);
      ups.push_back(conv2d(neck + ".0", neck + ".1", y, scaled(block.up_out), kernel, kernel));
    }
  }
  return net_.add("neck", "cat", ups);
}

DetectorNetwork DetectorBuilder::with_anchors(const std::string& x) {
  const std::string prefix = part(mmdet() ? "bbox_head" : "dense_head") + ".";
  AnchorHead head;
  head.range = range();
  // mmdetection3d has anchors at the edges of SECOND's range, in the middle of the pillars' cells, and of nuScenes'
  // pillars within 49.6 m; OpenPCDet has them at the edges.
  head.at_edges = !mmdet() || !is_one_high();
  if (spec_.classes == 10) head.range = {{-49.6f, -49.6f}, {49.6f, 49.6f}};
  head.anchors = spec_.anchors;
  if (head.anchors.empty())
    for (const Prototype& prototype : prototypes_of(spec_))
      for (const float yaw : {0.0f, 1.57f})
        head.anchors.push_back({prototype.size, prototype.bottom + prototype.size[2] / 2, yaw});
  const auto count = static_cast<std::int64_t>(head.anchors.size());
  const std::int64_t columns = spec_.classes == 10 ? 9 : 7;
  head.scores = net_.conv2d(prefix + "conv_cls", x, count * spec_.classes, 1, 1, 1, kRareLogit);
  head.boxes = net_.conv2d(prefix + (mmdet() ? "conv_reg" : "conv_box"), x, count * columns, 1, 1, 1, 0.0f);
  head.directions = net_.conv2d(prefix + "conv_dir_cls", x, count * head.direction_bins, 1, 1, 1, 0.0f);
  head.direction_offset = !mmdet() ? 0.78539f : spec_.classes == 10 ? -0.7854f : -1.57079633f;
  BoxSelection selection;
  selection.score_threshold = spec_.classes == 10 ? 0.05f : 0.1f;
  selection.overlap = spec_.classes == 10 ? 0.2f : 0.01f;
  selection.candidates = mmdet() ? (spec_.classes == 10 ? 1000 : 100) : 4096;
  selection.most = mmdet() ? (spec_.classes == 10 ? 500 : 50) : 500;
  selection.per_class = mmdet();
  DetectionHead all{{head}, selection};
  return {net_.take({head.scores, head.boxes, head.directions}), all};
}

std::array<std::int64_t, 3> coarser(const std::array<std::int64_t, 3>& extents, const Window& window) {
  std::array<std::int64_t, 3> result{};
  for (std::size_t axis = 0; axis < 3; ++axis)
    result[axis] = (extents[axis] + 2 * window.pad[axis] - window.size[axis]) / window.stride[axis] + 1;
  return result;
}

Window window_3x3x3(int stride, std::array<std::int32_t, 3> padding) {
  Window window;
  window.size = {3, 3, 3, 1};
  if (stride == 1) return window;
  window.stride = {stride, stride, stride, 1};
  window.pad = {padding[0], padding[1], padding[2], 0};
  window.semantics = Semantics::kBounded;
  return window;
}

Window window_1x1x3() {
  Window window;
  window.size = {1, 1, 3, 1};
  window.stride = {1, 1, 2, 1};
  window.semantics = Semantics::kBounded;
  return window;
}

}  // namespace voxshift
