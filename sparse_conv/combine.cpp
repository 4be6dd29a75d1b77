#include <voxshift/rows/kernels.h>
#include <voxshift/sparse_conv/combine.h>
#include <voxshift/tensor/kernels.h>

#include <algorithm>

namespace voxshift {
namespace {

void check_equal_coordinates(const char* op, const SparseTensor& a, const SparseTensor& b) {
  check(a.device() == b.device(), "[", op, "] tensors are on ", name(a.device()), " and ", name(b.device()));
  check(a.map()->same_as(*b.map()), "[", op, "] tensors must have equal coordinates, found ", a.size(), " and ",
        b.size(), " rows; union_add takes different ones");
}

// Elements between neighbours along each axis of dense [B, C, extent...].
Shape strides_of(const Shape& shape) {
  Shape strides(shape.size(), 1);
  for (std::size_t axis = shape.size() - 1; axis > 0; --axis) strides[axis - 1] = strides[axis] * shape[axis];
  return strides;
}

// The rows of a, then those of b.
Array joined(const Array& a, const Array& b) {
  Array result({a.dim(0) + b.dim(0), a.dim(1)}, a.dtype(), a.device());
  const Runtime& memory = runtime(a.device());
  memory.copy(a.device(), result.memory(), a.memory(), a.bytes());
  memory.copy(a.device(), static_cast<std::byte*>(result.memory()) + a.bytes(), b.memory(), b.bytes());
  return result;
}

}  // namespace

SparseTensor cat(const std::vector<SparseTensor>& tensors) {
  check(!tensors.empty(), "[cat] expected at least one tensor");
  std::int64_t channels = 0;
  for (const SparseTensor& x : tensors) {
    check_equal_coordinates("cat", tensors[0], x);
    channels += x.channels();
  }
  Array out({tensors[0].size(), channels}, DType::kF32, tensors[0].device());
  const Context context{out.device(), nullptr, num_threads(), nullptr};
  std::int64_t first = 0;
  for (const SparseTensor& x : tensors) {
    row_kernels(out.device())
        .affine(context, rows_of(x.features()), nullptr, nullptr, {}, {}, rows_of(out).columns(first, x.channels()));
    first += x.channels();
  }
  return tensors[0].with_features(out);
}

SparseTensor add(const SparseTensor& a, const SparseTensor& b, Activation activation) {
  check_equal_coordinates("add", a, b);
  check(a.channels() == b.channels(), "[add] tensors have ", a.channels(), " and ", b.channels(), " channels");
  Array out({a.size(), a.channels()}, DType::kF32, a.device());
  const Context context{out.device(), nullptr, num_threads(), nullptr};
  row_kernels(out.device())
      .affine(context, rows_of(a.features()), nullptr, nullptr, rows_of(b.features()), activation, rows_of(out));
  return a.with_features(out);
}

SparseTensor union_add(const SparseTensor& a, const SparseTensor& b) {
  check(a.device() == b.device() && a.dims() == b.dims() && a.channels() == b.channels() && a.stride() == b.stride(),
        "[union_add] tensors must agree in device, dimensions, channels and stride, found ", a.dims(), "-D with ",
        a.channels(), " channels and ", b.dims(), "-D with ", b.channels());
  return {joined(a.coords(), b.coords()),
          joined(a.features(), b.features()),
          {.stride = a.stride(), .shape = a.shape(), .reduce = Reduce::kSum}};
}

SparseTensor select_rows(const SparseTensor& x, const Array& mask) {
  check(mask.dtype() == DType::kU8 && mask.rank() == 1 && mask.count() == x.size(), "[select_rows] mask expects u8 [",
        x.size(), "], found ", name(mask.dtype()), " ", to_string(mask.shape()));
  check(mask.device() == x.device(), "[select_rows] mask is on ", name(mask.device()), ", the tensor is on ",
        name(x.device()));
  if (x.device() != Device::cpu()) return select_rows(x.to(Device::cpu()), mask.to(Device::cpu())).to(x.device());
  const auto kept = mask.values<std::uint8_t>();
  const std::int64_t axes = x.dims() + 1, channels = x.channels();
  const auto n = static_cast<std::int64_t>(std::count_if(kept.begin(), kept.end(), [](auto m) { return m != 0; }));
  Array coords({n, axes}, DType::kI32), features({n, channels}, DType::kF32);
  auto* c = coords.data<std::int32_t>();
  auto* f = features.data<float>();
  for (std::int64_t i = 0; i < x.size(); ++i) {
    if (kept[static_cast<std::size_t>(i)] == 0) continue;
    c = std::copy_n(x.coords().data<std::int32_t>() + i * axes, axes, c);
    f = std::copy_n(x.features().data<float>() + i * channels, channels, f);
  }
  return {coords, features, {.stride = x.stride(), .shape = x.shape()}};
}

Array to_dense(const SparseTensor& x, std::int64_t batches) {
  check(x.shape().has_value(), "[to_dense] the tensor has no shape; give shape= where it is made");
  if (x.device() != Device::cpu()) return to_dense(x.to(Device::cpu()), batches).to(x.device());
  const std::int64_t axes = x.dims() + 1, channels = x.channels();
  const auto* coords = x.coords().data<std::int32_t>();
  // rows are sorted by batch
  Shape shape{std::max(batches, x.size() > 0 ? std::int64_t{coords[(x.size() - 1) * axes]} + 1 : 0), channels};
  shape.insert(shape.end(), x.shape()->begin(), x.shape()->begin() + x.dims());
  Array dense(shape, DType::kF32);
  std::fill_n(dense.data<float>(), dense.count(), 0.0f);
  const Shape strides = strides_of(shape);
  for (std::int64_t i = 0; i < x.size(); ++i) {
    std::int64_t cell = coords[i * axes] * strides[0];
    for (std::int64_t axis = 1; axis < axes; ++axis) {
      const std::int32_t at = coords[i * axes + axis];
      const auto a = static_cast<std::size_t>(axis);
      check(at >= 0 && at < shape[a + 1], "[to_dense] coordinate ", at, " of axis ", axis - 1, " is outside the shape");
      cell += at * strides[a + 1];
    }
    for (std::int64_t ch = 0; ch < channels; ++ch)
      dense.data<float>()[cell + ch * strides[1]] = x.features().data<float>()[i * channels + ch];
  }
  return dense;
}

SparseTensor from_dense(const Array& dense) {
  check(dense.dtype() == DType::kF32 && dense.rank() >= 3 && dense.rank() <= 2 + kMaxDimensions,
        "[from_dense] expected f32 [B, C, extent...] with 1 to ", kMaxDimensions, " spatial axes, found ",
        name(dense.dtype()), " ", to_string(dense.shape()));
  if (dense.device() != Device::cpu()) return from_dense(dense.to(Device::cpu())).to(dense.device());
  const std::int64_t channels = dense.dim(1), dims = dense.rank() - 2;
  const Shape strides = strides_of(dense.shape());
  SparseTensor::Extents shape{1, 1, 1, 1};
  for (std::int64_t d = 0; d < dims; ++d) {
    check(dense.dim(static_cast<std::size_t>(d) + 2) < INT32_MAX, "[from_dense] extents must fit 32 bits");
    shape[static_cast<std::size_t>(d)] = static_cast<std::int32_t>(dense.dim(static_cast<std::size_t>(d) + 2));
  }
  std::vector<std::int32_t> coords;
  std::vector<float> features;
  const float* values = dense.data<float>();
  for (std::int64_t batch = 0; batch < dense.dim(0); ++batch)
    for (std::int64_t cell = 0; cell < strides[1]; ++cell) {
      const float* first = values + batch * strides[0] + cell;
      bool present = false;
      for (std::int64_t ch = 0; ch < channels; ++ch) present = present || first[ch * strides[1]] != 0.0f;
      if (!present) continue;
      coords.push_back(static_cast<std::int32_t>(batch));
      for (std::int64_t d = 0; d < dims; ++d) {
        const auto axis = static_cast<std::size_t>(d) + 2;
        coords.push_back(static_cast<std::int32_t>(cell / strides[axis] % dense.dim(axis)));
      }
      for (std::int64_t ch = 0; ch < channels; ++ch) features.push_back(first[ch * strides[1]]);
    }
  const auto n = static_cast<std::int64_t>(coords.size()) / (dims + 1);
  return {Array::from(coords, {n, dims + 1}), Array::from(features, {n, channels}), {.shape = shape}};
}

}  // namespace voxshift
