// The sparse residual U-Net of all libraries, each of which has its own names.
#pragma once

#include <voxshift/convert/widths.h>
#include <voxshift/networks/unet_blocks.h>

#include <functional>
#include <string>
#include <vector>

namespace voxshift {

/// What a library calls the layers. Levels count from 1, the finest below the stem; steps up from 1, the coarsest.
struct UNetNames {
  std::vector<LayerNames> stem;
  std::function<LayerNames(std::size_t level)> down;
  std::function<std::string(std::size_t level, std::size_t block)> down_block;
  std::function<LayerNames(std::size_t step)> up;
  std::function<std::string(std::size_t step, std::size_t block)> up_block;
  std::function<ResidualNames(const std::string& block)> block;
};

/// Which voxels a level has.
enum class UNetLevels {
  kAll,      ///< one for each that a finer one lies in: torchsparse, MinkowskiEngine
  kBounded,  ///< not those that reach beyond the extent of the finer voxels: spconv
};

/// Stem; per level a 2^3 convolution of stride 2 and residual blocks; per step a transposed one, the skip beside it,
/// and residual blocks. Widths, depths and the windows of the stem are those of the tensors.
class SketchedUNet {
 public:
  SketchedUNet(const Widths& widths, UNetNames names, UNetLevels kind = UNetLevels::kAll);

  NetworkBuilder& net() { return net_; }
  std::size_t levels() const { return levels_; }

  std::string stem();
  std::string down(std::size_t level, const std::string& x);
  std::string up(std::size_t step, const std::string& x, const std::string& skip);

  /// All of it: the value after the last step, and the values before it on the way if they are wanted: those of the
  /// stem and the levels, then those of the steps.
  std::string whole(std::vector<std::string>* values = nullptr);

  /// All of it with SPVCNN's branch of points beside it, whose layers are called PREFIX0.0, PREFIX0.1, PREFIX1.0, ..
  std::string whole_with_points(const std::string& prefix);

 private:
  std::string layer(const LayerNames& names, const std::string& x, int stride, const char* op);
  std::string blocks(const std::function<std::string(std::size_t block)>& name, std::string x);

  Widths widths_;
  UNetNames names_;
  UNetLevels kind_;
  NetworkBuilder net_;
  std::size_t levels_ = 0;
};

}  // namespace voxshift
