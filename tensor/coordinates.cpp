#include <voxshift/tensor/coordinates.h>
#include <voxshift/tensor/kernels.h>

#include <utility>

namespace voxshift {
namespace {

void check_grid(const Array& coords, const Coordinates::Extents& stride,
                const std::optional<Coordinates::Extents>& shape) {
  check(coords.dtype() == DType::kI32 && coords.rank() == 2 && coords.dim(1) >= 2 && coords.dim(1) <= kMaxAxes,
        "[Coordinates] coords expects i32 [N, 1 + D] with D = 1..", kMaxDimensions, ", found ", name(coords.dtype()),
        " ", coords.shape());
  check(coords.dim(0) < std::int64_t{1} << 31, "[Coordinates] at most 2^31 - 1 rows, found ", coords.dim(0));
  for (std::size_t d = 0; d < static_cast<std::size_t>(coords.dim(1) - 1); ++d) {
    check(stride[d] >= 1, "[Coordinates] stride of axis ", d, " must be at least 1, found ", stride[d]);
    check(!shape || (*shape)[d] >= 0, "[Coordinates] shape must not be negative on axis ", d);
  }
}

void check_box(const KeyLayout& layout, const std::optional<Coordinates::Extents>& shape) {
  check(layout.lowest(0) >= 0, "[Coordinates] batch indices must not be negative, found ", layout.lowest(0));
  if (!shape) return;
  for (int axis = 1; axis < layout.axes(); ++axis) {
    const std::int32_t extent = (*shape)[static_cast<std::size_t>(axis) - 1];
    check(layout.lowest(axis) >= 0 && layout.highest(axis) < extent, "[Coordinates] shape allows 0..", extent - 1,
          " on axis ", axis - 1, ", coordinates run from ", layout.lowest(axis), " to ", layout.highest(axis));
  }
}

}  // namespace

Coordinates::Coordinates(const Array& coords, const Extents& stride, const std::optional<Extents>& shape)
    : cache_(std::make_shared<CoordinateCache>()), stride_(stride), shape_(shape) {
  check_grid(coords, stride, shape);
  const Device device = coords.device();
  const std::int64_t n = coords.dim(0);
  auto arena = std::make_unique<Arena>(device);
  inverse_ = Array({n}, DType::kI32, device);
  const Level level = make_level({device, nullptr, num_threads(), arena.get()}, coords.data<std::int32_t>(), n,
                                 static_cast<int>(coords.dim(1)), nullptr, inverse_.data<std::int32_t>());
  if (n > 0) check_box(level.layout, shape_);
  map_ = std::make_shared<const CoordinateMap>(std::move(arena), level);
}

Coordinates::Coordinates(std::shared_ptr<const CoordinateMap> map, std::shared_ptr<CoordinateCache> cache,
                         const Extents& stride, const std::optional<Extents>& shape)
    : map_(std::move(map)), cache_(std::move(cache)), stride_(stride), shape_(shape) {}

Coordinates Coordinates::to(Device device) const {
  if (device == this->device()) return *this;
  Coordinates moved(coords().to(device), stride_, shape_);
  moved.inverse_ = inverse_.to(device);
  return moved;
}

}  // namespace voxshift
