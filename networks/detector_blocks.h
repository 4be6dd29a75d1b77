// Blocks of detection networks.
#pragma once

#include <voxshift/networks/detectors.h>
#include <voxshift/networks/network_builder.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace voxshift {

/// Writes a detector down. Values are named by the parameters' prefixes.
class DetectorBuilder {
 public:
  /// Throws InvalidArgument for a width, range or voxel size that no detector takes.
  DetectorBuilder(const DetectorSpec& spec, Seed seed, bool centers = false);

  NetworkBuilder& net() { return net_; }
  const DetectorSpec& spec() const { return spec_; }
  bool mmdet() const { return spec_.style == DetectorStyle::kMmdet3d; }
  int scaled(int channels) const;
  MapRange range() const;

  /// Whether a voxel is as high as the range.
  bool is_one_high() const { return extents_[2] == 1; }

  /// A part of the model: with mmdetection3d's style and nuScenes' settings "pts_" stands before the name.
  std::string part(const std::string& name) const;

  /// Extents of the finest voxels along x, y, z.
  std::array<std::int64_t, 3> extents() const { return extents_; }

  /// The mean of the points of each voxel; `layers` more voxels in height than the range has.
  std::string voxels(const std::string& name, int layers);

  /// Features of pillars by layers on points, whose tensors are .pfn_layers.i.linear.weight and .norm.*, of HardVFE
  /// .vfe_layers.i.*. Behind each but the last one stands its maximum in the point's pillar.
  std::string pillars();

  /// Sparse convolution, batch norm, ReLU: tensors `conv`.weight and `norm`.*. Windows of a stride are bounded.
  std::string conv(const std::string& conv, const std::string& norm, const std::string& x, int out, Window window);

  /// The same on pixels. A kernel of 3 is padded.
  std::string conv2d(const std::string& conv, const std::string& norm, const std::string& x, int out, int kernel,
                     int stride, bool bias = false);

  /// Voxels of these extents as an image.
  std::string bird_eye_view(const std::string& x, const std::array<std::int64_t, 3>& extents);

  /// Blocks of 1 + layers convolutions, and each brought to one resolution, side by side.
  struct Block {
    int layers, stride, out;
    double up;  ///< below 1: down
    int up_out;
  };
  std::string backbone_2d(const std::string& x, const std::vector<Block>& table);

  /// The three maps of anchors, and what they mean.
  DetectorNetwork with_anchors(const std::string& x);

 private:
  std::string norm_relu(const std::string& norm, const std::string& x, float eps = 1e-3f);
  std::string points_to(const std::string& name, const std::string& x, const std::string& reduce, int layers = 0);
  std::string decorated(const std::string& name);
  std::string constant(const std::string& name, const std::string& like, double number);
  std::string pillar_layer(const std::string& name, const std::string& x, int out, std::string& padding);

  DetectorSpec spec_;
  bool centers_;
  NetworkBuilder net_;
  std::array<std::int64_t, 3> extents_{};
};

/// Extents after a bounded window.
std::array<std::int64_t, 3> coarser(const std::array<std::int64_t, 3>& extents, const Window& window);

/// A window of 3^3, of a stride with this padding along x, y, z.
Window window_3x3x3(int stride = 1, std::array<std::int32_t, 3> padding = {1, 1, 1});

/// The last one before the image: 1 x 1 x 3, stride 2 along z.
Window window_1x1x3();

}  // namespace voxshift
