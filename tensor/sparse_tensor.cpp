#include <voxshift/tensor/features.h>
#include <voxshift/tensor/kernels.h>
#include <voxshift/tensor/sparse_tensor.h>

#include <utility>

namespace voxshift {
namespace {

void check_rows(const char* op, const Array& features, const Coordinates& coordinates) {
  check(is_real(features.dtype()) && features.rank() == 2 && features.dim(0) == coordinates.size(), "[", op,
        "] expected f32 [", coordinates.size(), ", C], f16 or bf16, found ", name(features.dtype()), " ",
        features.shape());
  check(features.device() == coordinates.device(), "[", op, "] features is on ", name(features.device()),
        ", the coordinates are on ", name(coordinates.device()));
}

}  // namespace

SparseTensor::SparseTensor(const Array& coords, const Array& features, const Options& options)
    : coordinates_(coords, options.stride, options.shape) {
  check(is_real(features.dtype()) && features.rank() == 2,
        "[SparseTensor] features expects f32 [N, C], f16 or bf16, found ", name(features.dtype()), " ",
        features.shape());
  check(coords.dim(0) == features.dim(0), "[SparseTensor] coords has ", coords.dim(0), " rows, features has ",
        features.dim(0));
  check(coords.device() == features.device(), "[SparseTensor] coords is on ", name(coords.device()),
        ", features is on ", name(features.device()));
  const std::int64_t n = coords.dim(0);
  check(size() == n || options.reduce != Reduce::kNone, "[SparseTensor] ", n - size(),
        " repeated coordinates; give reduce= to say what becomes of their features");

  const Device device = coords.device();
  Arena scratch(device);
  const Context context{device, nullptr, num_threads(), &scratch};
  const std::int32_t* inverse = std::as_const(coordinates_).inverse().data<std::int32_t>();
  const bool in_order = size() == n && coordinate_kernels(device).ascending(context, inverse, n);
  features_ = in_order ? features : Array({size(), features.dim(1)}, features.dtype(), device);
  if (!in_order) {
    const Reduce reduce = options.reduce == Reduce::kNone ? Reduce::kFirst : options.reduce;
    coordinate_kernels(device).reduce(context, rows_of(features), inverse, reduce, rows_of(features_));
  }
}

SparseTensor::SparseTensor(const Coordinates& coordinates, Array features)
    : coordinates_(coordinates.map(), coordinates.cache(), coordinates.stride(), coordinates.shape()),
      features_(std::move(features)) {
  check_rows("SparseTensor", features_, coordinates_);
}

SparseTensor SparseTensor::to(Device device) const {
  if (device == this->device()) return *this;
  SparseTensor moved(*this);
  moved.coordinates_ = coordinates_.to(device);
  moved.features_ = features_.to(device);
  return moved;
}

SparseTensor SparseTensor::with_features(Array features) const {
  check_rows("with_features", features, coordinates_);
  return {coordinates_, std::move(features)};
}

}  // namespace voxshift
