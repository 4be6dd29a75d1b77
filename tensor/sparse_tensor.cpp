#include <voxshift/tensor/kernels.h>
#include <voxshift/tensor/sparse_tensor.h>

#include <algorithm>

namespace voxshift {
namespace {

void check_arguments(const Array& coords, const Array& features, const SparseTensor::Options& options) {
  check(coords.dtype() == DType::kI32 && coords.rank() == 2 && coords.dim(1) >= 2 && coords.dim(1) <= kMaxAxes,
        "[SparseTensor] coords expects i32 [N, 1 + D] with D = 1..", kMaxDimensions, ", found ", name(coords.dtype()),
        " ", coords.shape());
  check(features.dtype() == DType::kF32 && features.rank() == 2, "[SparseTensor] features expects f32 [N, C], found ",
        name(features.dtype()), " ", features.shape());
  check(coords.dim(0) == features.dim(0), "[SparseTensor] coords has ", coords.dim(0), " rows, features has ",
        features.dim(0));
  check(coords.device() == features.device(), "[SparseTensor] coords is on ", name(coords.device()),
        ", features is on ", name(features.device()));
  check(coords.dim(0) < std::int64_t{1} << 31, "[SparseTensor] at most 2^31 - 1 rows, found ", coords.dim(0));
  for (std::size_t d = 0; d < static_cast<std::size_t>(coords.dim(1) - 1); ++d) {
    check(options.stride[d] >= 1, "[SparseTensor] stride of axis ", d, " must be at least 1, found ",
          options.stride[d]);
    check(!options.shape || (*options.shape)[d] >= 0, "[SparseTensor] shape must not be negative on axis ", d);
  }
}

void check_box(const KeyLayout& layout, const std::optional<SparseTensor::Extents>& shape) {
  check(layout.lowest(0) >= 0, "[SparseTensor] batch indices must not be negative, found ", layout.lowest(0));
  if (!shape) return;
  for (int axis = 1; axis < layout.axes(); ++axis) {
    const std::int32_t extent = (*shape)[static_cast<std::size_t>(axis) - 1];
    check(layout.lowest(axis) >= 0 && layout.highest(axis) < extent, "[SparseTensor] shape allows 0..", extent - 1,
          " on axis ", axis - 1, ", coordinates run from ", layout.lowest(axis), " to ", layout.highest(axis));
  }
}

}  // namespace

SparseTensor::SparseTensor(const Array& coords, const Array& features, const Options& options)
    : cache_(std::make_shared<CoordinateCache>()), stride_(options.stride), shape_(options.shape) {
  check_arguments(coords, features, options);
  const Device device = coords.device();
  const std::int64_t n = coords.dim(0);
  auto arena = std::make_unique<Arena>(device);
  Arena scratch(device);
  const Context context{device, nullptr, num_threads(), &scratch};
  inverse_ = Array({n}, DType::kI32, device);
  const Level level = make_level({device, nullptr, num_threads(), arena.get()}, coords.data<std::int32_t>(), n,
                                 static_cast<int>(coords.dim(1)), nullptr, inverse_.data<std::int32_t>());
  if (n > 0) check_box(level.layout, shape_);
  check(level.count == n || options.reduce != Reduce::kNone, "[SparseTensor] ", n - level.count,
        " repeated coordinates; give reduce= to say what becomes of their features");
  map_ = std::make_shared<const CoordinateMap>(std::move(arena), level);

  const std::int32_t* inverse = inverse_.data<std::int32_t>();
  const bool in_order = level.count == n && coordinate_kernels(device).ascending(context, inverse, n);
  features_ = in_order ? features : Array({level.count, features.dim(1)}, DType::kF32, device);
  if (!in_order) {
    const Reduce reduce = options.reduce == Reduce::kNone ? Reduce::kFirst : options.reduce;
    coordinate_kernels(device).reduce(context, rows_of(features), inverse, reduce, rows_of(features_));
  }
}

SparseTensor::SparseTensor(std::shared_ptr<const CoordinateMap> map, std::shared_ptr<CoordinateCache> cache,
                           Array features, const Extents& stride, std::optional<Extents> shape)
    : map_(std::move(map)), cache_(std::move(cache)), features_(std::move(features)), stride_(stride), shape_(shape) {}

SparseTensor SparseTensor::to(Device device) const {
  if (device == this->device()) return *this;
  SparseTensor moved(coords().to(device), features().to(device), {.stride = stride_, .shape = shape_});
  moved.inverse_ = inverse_.to(device);
  return moved;
}

SparseTensor SparseTensor::with_features(Array features) const {
  check(features.dtype() == DType::kF32 && features.rank() == 2 && features.dim(0) == size(),
        "[with_features] expected f32 [", size(), ", C], found ", name(features.dtype()), " ", features.shape());
  check(features.device() == device(), "[with_features] features is on ", name(features.device()),
        ", the tensor is on ", name(device()));
  return {map_, cache_, std::move(features), stride_, shape_};
}

}  // namespace voxshift
