// Coordinate maps and kernel maps that tensors of one network share.
#pragma once

#include <voxshift/tensor/coordinate_map.h>
#include <voxshift/tensor/kernel_map.h>

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace voxshift {

/// Remembers which coordinates were made from which, and the kernel maps between them, so that layers at the same
/// stride reuse both and a transposed convolution finds the coordinates it goes back to. Thread-safe.
class CoordinateCache {
 public:
  using MapPtr = std::shared_ptr<const CoordinateMap>;
  using Shape = std::optional<Window::Extents>;

  /// Coordinates and the shape of the tensor that lay on them.
  struct Origin {
    MapPtr map;
    Shape shape;
  };

  /// Output coordinates of a convolution of `from`: `from` itself for a submanifold window.
  MapPtr coarser(const MapPtr& from, const Window& window, const Shape& shape);

  /// The coordinates that `coarse` was made from by a convolution of this stride (with kBounded: of this window).
  /// Throws InvalidArgument when there are none.
  Origin origin(const MapPtr& coarse, const Window& window, const Shape& shape) const;

  /// Output coordinates of a generative transposed convolution of `from`.
  MapPtr generated(const MapPtr& from, const Window& window, const Shape& shape);

  /// Pairs between fine and coarse coordinates.
  std::shared_ptr<const KernelMap> kernel_map(const MapPtr& fine, const MapPtr& coarse, const Window& window);

 private:
  struct Derivation {
    MapPtr fine, coarse;
    Window window;
    Shape shape;  // of the fine tensor
    bool generated;
  };
  struct CachedMap {
    MapPtr fine, coarse;
    Window window;
    std::shared_ptr<const KernelMap> map;
  };

  mutable std::mutex mutex_;
  std::vector<Derivation> derivations_;
  std::vector<CachedMap> maps_;
};

}  // namespace voxshift
