// SECOND, PointPillars and CenterPoint of mmdetection3d and OpenPCDet, whose axes are z, y, x.
#include <voxshift/convert/axis_order.h>
#include <voxshift/convert/mmengine_config.h>
#include <voxshift/convert/widths.h>
#include <voxshift/networks/detectors.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace voxshift {
namespace {

constexpr int kFirstVoxelChannels = 16, kPillarChannels = 64, kDecorations = 6;
constexpr float kHalfTurns[]{0.0f, 1.57f};

// The names of a library's modules.
struct ModuleNames {
  const char *voxels, *pillars, *blocks, *necks, *head, *heads, *heatmap, *velocity, *boxes;
};

constexpr ModuleNames kMmdet{"middle_encoder.", "voxel_encoder.", "backbone.blocks.", "neck.deblocks.", "bbox_head.",
                             "task_heads.",     "heatmap.1.bias", "vel.1.bias",       "conv_reg"};
constexpr ModuleNames kPcdet{"backbone_3d.", "vfe.",        "backbone_2d.blocks.", "backbone_2d.deblocks.",
                             "dense_head.",  "heads_list.", "hm.1.bias",           "vel.1.bias",
                             "conv_box"};

bool has_beginning(const StateDict& state, const std::string& beginning) {
  const auto at = state.tensors().lower_bound(beginning);
  return at != state.tensors().end() && at->first.starts_with(beginning);
}

Profile waymo_profile(const char* name, const std::array<float, 3>& voxel_size, const Range& range,
                      const CloudOptions& options) {
  Profile profile = find_profile("kitti-voxels");
  profile.name = name;
  profile.scale.assign(5, 1.0f);  // x y z, tanh of the intensity, elongation
  profile.voxelize.voxel_size = VoxelSize(voxel_size);
  profile.voxelize.range = range;
  profile.cloud = options;
  return profile;
}

// With ids and colours of KITTI's or nuScenes' classes of the same names.
std::vector<ClassInfo> named_classes(const std::vector<std::string>& names) {
  const auto is_same = [](const std::string& a, const std::string& b) {
    return std::ranges::equal(a, b, [](char x, char y) { return std::tolower(x) == std::tolower(y); });
  };
  const bool ten = names.size() == nuscenes_detection_classes().size();
  std::vector<ClassInfo> classes;
  for (const std::string& name : names) {
    classes.push_back({name, static_cast<std::uint32_t>(classes.size() + 1), spread_colour(classes.size())});
    for (const ClassInfo& known : ten ? nuscenes_detection_classes() : kitti_classes())
      if (is_same(known.name, name)) classes.back() = known;
  }
  return classes;
}

std::vector<ClassInfo> waymo_classes_of_boxes(std::size_t count) {
  std::vector<ClassInfo> classes = kitti_classes();
  classes[0].name = "vehicle";
  classes.resize(count);
  return classes;
}

// Of the box of an anchor: its size, and z of its middle.
struct AnchorBox {
  std::array<float, 3> size;
  float z;
};

std::vector<Anchor> anchors_of(const std::vector<AnchorBox>& boxes) {
  std::vector<Anchor> anchors;
  for (const AnchorBox& box : boxes)
    for (const float yaw : kHalfTurns) anchors.push_back({box.size, box.z, yaw});
  return anchors;
}

// Reads one detector's settings from names and shapes.
class DetectorSketch {
 public:
  DetectorSketch(const StateDict& state, const SketchOptions& options, DetectorStyle style)
      : state_(state),
        wanted_(options.profile),
        widths_(state, options.layout),
        style_(style),
        mmdet_(style == DetectorStyle::kMmdet3d),
        names_(mmdet_ ? kMmdet : kPcdet) {
    spec_.pts = mmdet_ && has_beginning(state, "pts_");
    if (*spec_.pts) prefix_ = "pts_";
  }

  Sketch sketch() {
    find_architecture();
    find_classes();
    find_reader();
    choose_profile();
    DetectorNetwork made = network();
    describe(made);
    sketch_.network = std::move(made.network);
    sketch_.detection = std::move(made.head);
    exchange_axes();
    return std::move(sketch_);
  }

 private:
  std::string name(const char* part) const { return prefix_ + part; }
  bool on_pillars() const { return !has_beginning(state_, name(names_.voxels)); }
  bool is_centers() const { return sketch_.arch == "centerpoint"; }
  bool is_waymo() const { return spec_.columns == 5 && spec_.classes <= 3; }

  void find_architecture() {
    spec_.style = style_;
    const std::string head = name(names_.head);
    if (has_beginning(state_, head + names_.heads))
      sketch_.arch = "centerpoint";
    else
      sketch_.arch = on_pillars() ? "pointpillars" : "second";
    check(is_centers() || state_.has(head + "conv_cls.weight"), "\"", head, "\" has neither conv_cls nor ", head,
          names_.heads, ": another head than those of SECOND, PointPillars and CenterPoint");
  }

  void find_classes() {
    const std::string head = name(names_.head);
    if (!is_centers()) {
      const int anchors = widths_.rows(head + "conv_dir_cls.bias") / 2, scores = widths_.rows(head + "conv_cls.bias");
      check(anchors > 0 && scores % anchors == 0, "\"", head, "conv_cls.bias\" has ", scores, " numbers for ", anchors,
            " anchors of a cell");
      spec_.classes = scores / anchors;
      return;
    }
    spec_.velocity = false;
    for (std::size_t g = 0; has_beginning(state_, head + names_.heads + std::to_string(g) + "."); ++g) {
      const std::string task = head + names_.heads + std::to_string(g) + ".";
      spec_.groups.push_back(widths_.rows(task + names_.heatmap));
      if (state_.has(task + names_.velocity)) spec_.velocity = true;
    }
    spec_.classes = std::accumulate(spec_.groups.begin(), spec_.groups.end(), 0);
  }

  // Columns of the points and width, by the first layer.
  void find_reader() {
    if (!on_pillars()) {
      const std::string first = name(names_.voxels) + "conv_input.";
      spec_.columns = widths_.in(first + "0.weight");
      spec_.width = static_cast<double>(widths_.rows(first + "1.weight")) / kFirstVoxelChannels;
      return;
    }
    spec_.hard_vfe = has_beginning(state_, name(names_.pillars) + "vfe_layers.");
    const std::string layers = name(names_.pillars) + (spec_.hard_vfe ? "vfe_layers." : "pfn_layers.");
    for (std::size_t i = 0; i == 0 || state_.has(layers + std::to_string(i) + ".norm.weight"); ++i)
      spec_.pillar_channels.push_back(widths_.rows(layers + std::to_string(i) + ".norm.weight"));
    const Shape& linear = state_.shape(layers + "0.linear.weight");
    spec_.columns = linear.size() == 2 ? linear[1] - kDecorations : 0;
    spec_.width = static_cast<double>(spec_.pillar_channels.back()) / kPillarChannels;
    const Shape& neck = state_.shape(name(names_.necks) + "0.0.weight");
    if (is_centers()) spec_.pillar_stride = neck.back() == 2 ? 2 : 1;
  }

  void choose_profile() {
    sketch_.profile = wanted_ ? *wanted_ : usual_profile();
    if (!wanted_) sketch_.knows_profile = read_voxel_layer(state_, *sketch_.profile);
    const Profile& profile = *sketch_.profile;
    check(profile.cloud && profile.voxelize.range, "expected a profile of whole scans, as kitti-voxels; \"",
          profile.name, "\" is none");
    check(profile.columns() == spec_.columns, "the first layer takes points of ", spec_.columns,
          " columns, the profile \"", profile.name, "\" gives ", profile.columns());
    spec_.voxel_size = profile.voxelize.voxel_size.each;
    spec_.range = *profile.voxelize.range;
    spec_.max_points = profile.cloud->max_points;
  }

  Profile usual_profile() const {
    constexpr float kPillarReach = 74.88f, kVoxelReach = 75.2f;
    const Range around{{-kPillarReach, -kPillarReach, -2}, {kPillarReach, kPillarReach, 4}};
    const bool ten = spec_.classes == 10;
    if (is_waymo() && on_pillars())
      return waymo_profile("waymo-pillars", {0.32f, 0.32f, 6}, around, {20, mmdet_ ? 32000 : 150000, 1, 1});
    if (is_waymo() && mmdet_)
      return waymo_profile("waymo-voxels-0.08", {0.08f, 0.08f, 0.1f}, {{-76.8f, -51.2f, -2}, {76.8f, 51.2f, 4}},
                           {20, 90000, 1, 1});
    if (is_waymo())
      return waymo_profile("waymo-voxels", {0.1f, 0.1f, 0.15f},
                           {{-kVoxelReach, -kVoxelReach, -2}, {kVoxelReach, kVoxelReach, 4}}, {5, 150000, 1, 1});
    if (!on_pillars()) return find_profile(ten ? "nuscenes-voxels" : "kitti-voxels");
    if (!is_centers()) return find_profile(ten ? "nuscenes-pillars-0.25" : "kitti-pillars");
    Profile profile = find_profile(ten ? "nuscenes-pillars" : "lidar");
    if (ten && !mmdet_) profile.cloud->max_points = profile.cloud->max_voxels = 0;  // OpenPCDet's dynamic pillars
    return profile;
  }

  DetectorNetwork network() {
    if (is_centers()) return make_centerpoint(spec_, std::nullopt);
    if (is_waymo()) {
      if (on_pillars()) spec_.pillar_stride = 1;
      spec_.anchors = waymo_anchors();
    }
    return on_pillars() ? make_pointpillars(spec_, std::nullopt) : make_second(spec_, std::nullopt);
  }

  std::vector<Anchor> waymo_anchors() const {
    std::vector<AnchorBox> boxes;
    if (mmdet_ && on_pillars())
      boxes = {{{4.73f, 2.08f, 1.77f}, -0.0345f + 0.885f},
               {{0.91f, 0.84f, 1.74f}, 0.87f},
               {{1.81f, 0.84f, 1.77f}, -0.1188f + 0.885f}};
    else if (mmdet_)
      boxes = {{{4.73f, 2.08f, 1.77f}, -0.0345f + 0.885f},
               {{1.81f, 0.84f, 1.77f}, -0.1188f + 0.885f},
               {{0.91f, 0.84f, 1.74f}, 0.87f}};
    else
      boxes = {{{4.7f, 2.1f, 1.7f}, 0.85f}, {{0.91f, 0.86f, 1.73f}, 0.865f}, {{1.78f, 0.84f, 1.78f}, 0.89f}};
    boxes.resize(static_cast<std::size_t>(spec_.classes));
    return anchors_of(boxes);
  }

  // What the maps mean where it is not what the builder's settings say.
  void describe(DetectorNetwork& made) {
    sketch_.reversed_axes = true;
    sketch_.left_out = {{"global_step", "a count of training"}};
    sketch_.classes = classes();
    BoxSelection& selection = made.head.selection;
    if (!is_waymo()) return;
    if (auto* head = std::get_if<AnchorHead>(made.head.heads.data()); head != nullptr && mmdet_) {
      head->at_edges = false;
      head->direction_offset = -0.7854f;
      selection.overlap = 0.25f;
    } else {
      selection.overlap = 0.7f;
    }
    selection.candidates = 4096;
    selection.most = 500;
    if (is_centers()) {
      selection.lowest = {-80, -80, -10};
      selection.highest = {80, 80, 10};
    }
  }

  std::vector<ClassInfo> classes() const {
    const auto count = static_cast<std::size_t>(spec_.classes);
    const std::vector<std::string> names = read_classes(state_);
    if (names.size() == count) return named_classes(names);
    if (is_waymo()) return waymo_classes_of_boxes(count);
    if (mmdet_ && count == 3 && !is_centers()) return kitti_classes_by_size();
    return classes_for(count, ClassTables::kBoxes);
  }

  // The network knows x, y where the libraries have y, x.
  void exchange_axes() {
    for (const Node& node : sketch_.network.graph.nodes) {
      if (node.op != "conv2d" && node.op != "conv_transpose2d") continue;
      const std::string& weight = node.parameters.at("weight");
      Shape stored = sketch_.network.parameters.at(weight).shape();
      std::swap(stored[2], stored[3]);
      sketch_.stored[weight] = {{stored}, [](const Array& numbers) { return permuted(numbers, {0, 1, 3, 2}); }};
    }
  }

  const StateDict& state_;
  const std::optional<Profile>& wanted_;
  Widths widths_;
  DetectorStyle style_;
  bool mmdet_;
  ModuleNames names_;
  std::string prefix_;
  DetectorSpec spec_;
  Sketch sketch_;
};

constexpr std::array kSpconvLayouts{KernelLayout::kSpconv22, KernelLayout::kSpconv1, KernelLayout::kSpconv20};

}  // namespace

Source mmdet3d_detector_source() {
  return {"mmdet3d",
          "SECOND, PointPillars and CenterPoint of mmdetection3d",
          {kSpconvLayouts.begin(), kSpconvLayouts.end()},
          [](const StateDict& state) {
            return (has_beginning(state, "bbox_head.") && has_beginning(state, "backbone.blocks.")) ||
                   (has_beginning(state, "pts_bbox_head.") && has_beginning(state, "pts_backbone.blocks."));
          },
          [](const StateDict& state, const SketchOptions& options) {
            return DetectorSketch(state, options, DetectorStyle::kMmdet3d).sketch();
          }};
}

Source openpcdet_source() {
  return {"openpcdet",
          "SECOND, PointPillars and CenterPoint of OpenPCDet",
          {kSpconvLayouts.begin(), kSpconvLayouts.end()},
          [](const StateDict& state) {
            return has_beginning(state, "dense_head.") && has_beginning(state, "backbone_2d.blocks.");
          },
          [](const StateDict& state, const SketchOptions& options) {
            return DetectorSketch(state, options, DetectorStyle::kOpenPcdet).sketch();
          }};
}

}  // namespace voxshift
