// What a name of an ONNX network stands for while it is read.
#pragma once

#include <voxshift/onnx/constant.h>
#include <voxshift/onnx/view.h>
#include <voxshift/video/window2d.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace voxshift::onnx {

/// The extent that stands for the number of voxels, which only a scan tells: a prime, which no reshape cuts.
constexpr std::int64_t kSomeRows = 4099;

enum class Rows {
  kFrame,   ///< one per frame: what was pooled over an image
  kImage,   ///< pixels
  kVoxels,  ///< voxels of one level
  kDense,   ///< voxels which the file has written into a grid
};

/// A value of the graph that is made, and how a tensor of the file lies in it.
struct Part {
  std::string name;
  Rows rows = Rows::kImage;
  std::int64_t channels = 0;
  View view = {};
  Extent2d extent = {};                   ///< of kImage
  int level = 0;                          ///< of kVoxels and kDense
  std::array<std::int64_t, 3> grid = {};  ///< of kDense
  bool nonnegative = false;               ///< no number is below 0

  bool is_image() const { return rows == Rows::kImage; }
};

constexpr int kZeros = -1, kSum = -2;

/// Coordinates of voxels, [rows, columns] or, of a single column, [rows].
struct CoordinateColumns {
  int level = 0;
  std::vector<int> columns;  ///< of the level's coordinates; or kZeros, or kSum of several
  bool flat = false;
};

/// A rule by which voxels find their neighbours: spconv's pairs.
struct Pairs {
  int from = 0, to = 0;  ///< levels
  bool submanifold = false;
  std::vector<std::int64_t> kernel, stride, padding, dilation;
};

/// One of: numbers, many zeros, one tensor that the network computes or several that lie one after the other along an
/// axis, coordinates, pairs, or what only a computation outside of the network could tell.
struct Value {
  std::optional<Constant> constant = {};
  std::optional<Shape> zeros = {};
  std::vector<Part> parts = {};
  std::size_t joined = 0;  ///< the axis of several parts
  std::optional<CoordinateColumns> coordinates = {};
  std::shared_ptr<const Pairs> pairs = {};
  bool outside = false;

  Shape shape() const;
};

/// The usual views: [batch, channels, height, width], [batch, channels] or with two ones more, [rows, channels].
View image_view(std::int64_t batch, std::int64_t channels, Extent2d extent);
View frame_view(std::int64_t batch, std::int64_t channels, bool with_pixels);
View voxel_view(std::int64_t channels);

}  // namespace voxshift::onnx
