// The sets of rows that values lie on.
#pragma once

#include <voxshift/point_voxel/dense_grid.h>
#include <voxshift/point_voxel/rounding.h>
#include <voxshift/tensor/kernel_map.h>
#include <voxshift/video/window2d.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace voxshift {

/// What the rows of a network's input are.
enum class InputKind {
  kVoxels,  ///< coordinates of a sparse tensor
  kPoints,  ///< points of one or more clouds; the first three columns are x y z
  kFrames,  ///< pixels of the frames of a video; row y * width + x
};

/// "voxels", "points" or "frames".
const char* name(InputKind input);

/// A set of rows. Their coordinates are known before the first multiply, unless they descend from a selection, whose
/// rows features decide.
struct Domain {
  enum class Kind {
    kInput,      ///< an input of the network, of kind `input`
    kCoarser,    ///< voxels that `window` makes of the parent's
    kGenerated,  ///< every voxel c * stride + offset that `window` makes of the parent's
    kUnion,      ///< voxels of the parent or of `other`, which comes after it
    kAbove,      ///< the parent's voxels whose `scores` are above `threshold`
    kTop,        ///< of each batch of the parent's voxels the `count` with the highest `scores`
    kOfPoints,   ///< voxels: the cells of `cells` that the parent's points lie in
    kDense,      ///< cells of `grid` around the parent's clouds
    kSamples,    ///< the `count` furthest points of each of the parent's clouds
    kGroups,     ///< for each of the parent's points, `count` of `points`' within `radius`
    kClouds,     ///< one row per cloud, batch or frame of the inputs
    kBev,        ///< pixels of a bird's-eye view of the parent's voxels, one image of `extent` per batch
    kImages,     ///< pixels of the parent's images at `extent`
  };
  Kind kind = Kind::kInput;
  InputKind input = InputKind::kVoxels;
  int parent = -1;
  Window window = {};
  CellGrid cells = {};
  DenseGridOptions grid = {};
  std::int64_t count = 0;
  float radius = 0;
  int points = -1;
  int other = -1;
  float threshold = 0;
  std::string scores = {};  ///< a value of one channel on the parent
  Extent2d extent = {};     ///< of images and frames; 0 where it is not known yet
  int axis = 0;             ///< of kBev: the spatial axis that is folded into the channels
  std::int64_t depth = 0;   ///< of kBev: the extent of that axis

  bool operator==(const Domain&) const = default;
};

/// The domains of one graph: those of its inputs first, each after its parent.
class Domains {
 public:
  /// The rows of a further input. frame: of frames, where it is known.
  int add_input(InputKind kind, Extent2d frame = {});

  /// The index of a domain with the same rows, which is added where there was none.
  int find_or_add(const Domain& wanted);

  const Domain& operator[](int domain) const { return all_[static_cast<std::size_t>(domain)]; }
  std::size_t size() const { return all_.size(); }
  bool only_frames() const;  ///< all inputs are frames

  bool is_voxels(int domain) const;
  bool are_of_points(int voxels, int points) const;  ///< the voxels `voxels` are those that hold `points`
  bool is_points(int domain) const;                  ///< has coordinates in metres
  bool is_images(int domain) const;
  bool is_selection(int domain) const;  ///< its rows depend on features

  /// Whether voxels of both lie on grids of the same stride.
  bool same_stride(int a, int b) const;

  /// The bird's-eye view whose pixels the images follow from; -1 where they follow from frames.
  int view_of(int images) const;

  /// Rows of a domain that belong to one image; one of what was pooled over it.
  std::int64_t rows_of_image(int domain) const;

  /// Whether strided convolutions lead from the voxels `fine` to the voxels `coarse`.
  bool lead_to(int fine, int coarse) const;

 private:
  /// Voxels lie down / up of the input's apart.
  struct Stride {
    std::array<double, kMaxDimensions> down{1, 1, 1, 1}, up{1, 1, 1, 1};
  };
  Stride stride(int domain) const;

  bool is_input(int domain, InputKind kind) const;

  std::vector<Domain> all_;
};

}  // namespace voxshift
