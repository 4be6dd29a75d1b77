#include <voxshift/rows/kernels.h>
#include <voxshift/sparse_conv/combine.h>
#include <voxshift/sparse_conv/kernels.h>
#include <voxshift/tensor/features.h>
#include <voxshift/tensor/kernels.h>
#include <voxshift/tensor/result_size.h>

#include <algorithm>

namespace voxshift {
namespace {

void check_same_dtype(const char* op, const SparseTensor& a, const SparseTensor& b) {
  check(a.dtype() == b.dtype(), "[", op, "] tensors must have one dtype, found ", name(a.dtype()), " and ",
        name(b.dtype()));
}

void check_equal_coordinates(const char* op, const SparseTensor& a, const SparseTensor& b) {
  check(a.device() == b.device(), "[", op, "] tensors are on ", name(a.device()), " and ", name(b.device()));
  check(a.map()->same_as(*b.map()), "[", op, "] tensors must have equal coordinates, found ", a.size(), " and ",
        b.size(), " rows; union_add takes different ones");
  check_same_dtype(op, a, b);
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
  Array out({tensors[0].size(), channels}, tensors[0].dtype(), tensors[0].device());
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
  Array out({a.size(), a.channels()}, a.dtype(), a.device());
  const Context context{out.device(), nullptr, num_threads(), nullptr};
  row_kernels(out.device())
      .affine(context, rows_of(a.features()), nullptr, nullptr, rows_of(b.features()), activation, rows_of(out));
  return a.with_features(out);
}

SparseTensor union_add(const SparseTensor& a, const SparseTensor& b) {
  check(a.device() == b.device() && a.dims() == b.dims() && a.channels() == b.channels() && a.stride() == b.stride(),
        "[union_add] tensors must agree in device, dimensions, channels and stride, found ", a.dims(), "-D with ",
        a.channels(), " channels and ", b.dims(), "-D with ", b.channels());
  check_same_dtype("union_add", a, b);
  return {joined(a.coords(), b.coords()),
          joined(a.features(), b.features()),
          {.stride = a.stride(), .shape = a.shape(), .reduce = Reduce::kSum}};
}

SparseTensor select_rows(const SparseTensor& x, const Array& mask) {
  check(mask.dtype() == DType::kU8 && mask.rank() == 1 && mask.count() == x.size(), "[select_rows] mask expects u8 [",
        x.size(), "], found ", name(mask.dtype()), " ", mask.shape());
  check(mask.device() == x.device(), "[select_rows] mask is on ", name(mask.device()), ", the tensor is on ",
        name(x.device()));
  Arena scratch(x.device());
  const Context context{x.device(), nullptr, num_threads(), &scratch};
  const RowKernels& kernels = row_kernels(x.device());
  auto* rows = scratch.allocate<std::int32_t>(x.size());
  const std::int64_t n = kernels.list(context, mask.data<std::uint8_t>(), x.size(), rows);
  const std::int64_t axes = x.dims() + 1;
  Array coords({n, axes}, DType::kI32, x.device()), features({n, x.channels()}, x.dtype(), x.device());
  kernels.pick(context, x.coords().data<std::int32_t>(), axes, rows, n, coords.data<std::int32_t>());
  kernels.gather(context, rows_of(x.features()), rows, rows_of(features));
  return {coords, features, {.stride = x.stride(), .shape = x.shape()}};
}

Array to_dense(const SparseTensor& x, std::int64_t batches) {
  check_f32("to_dense", "x", x.dtype());
  check(x.shape().has_value(), "[to_dense] the tensor has no shape; make it with SparseTensor(..., shape=)");
  Arena scratch(x.device());
  const Context context{x.device(), nullptr, num_threads(), &scratch};
  const auto* coords = x.coords().data<std::int32_t>();
  DenseLayout layout{std::max<std::int64_t>(batches, 0), x.channels(), x.dims()};
  Shape shape{layout.batches, layout.channels};
  for (std::size_t d = 0; d < static_cast<std::size_t>(x.dims()); ++d)
    shape.push_back(layout.extent[d] = (*x.shape())[d]);
  if (x.size() > 0) {
    Coordinate lowest, highest;
    coordinate_kernels(x.device()).bounds(context, coords, x.size(), x.dims() + 1, lowest.data(), highest.data());
    for (std::size_t axis = 1; axis <= static_cast<std::size_t>(x.dims()); ++axis)
      check(lowest[axis] >= 0 && highest[axis] < layout.extent[axis - 1], "[to_dense] coordinate ",
            lowest[axis] < 0 ? lowest[axis] : highest[axis], " of axis ", axis - 1, " is outside the shape");
    check_clouds("to_dense", highest[0], x.size());
    shape[0] = layout.batches = std::max(layout.batches, std::int64_t{highest[0]} + 1);
  }
  check_size("to_dense", "batches:", layout.batches, count_of({shape.begin() + 1, shape.end()}));
  Array dense(shape, DType::kF32, x.device());
  sparse_conv_kernels(x.device()).to_dense(context, rows_of(x.features()), coords, layout, dense.data<float>());
  return dense;
}

SparseTensor from_dense(const Array& dense) {
  check(dense.dtype() == DType::kF32 && dense.rank() >= 3 && dense.rank() <= 2 + kMaxDimensions,
        "[from_dense] expected f32 [B, C, extent...] with 1 to ", kMaxDimensions, " spatial axes, found ",
        name(dense.dtype()), " ", dense.shape());
  const Device device = dense.device();
  DenseLayout layout{dense.dim(0), dense.dim(1), static_cast<int>(dense.rank()) - 2};
  SparseTensor::Extents shape{1, 1, 1, 1};
  Shape cells{layout.batches};
  for (std::size_t d = 0; d < static_cast<std::size_t>(layout.dims); ++d) {
    check(dense.dim(d + 2) < INT32_MAX, "[from_dense] extents must fit 32 bits");
    cells.push_back(layout.extent[d] = dense.dim(d + 2));
    shape[d] = static_cast<std::int32_t>(dense.dim(d + 2));
  }
  const std::int64_t all = count_of(cells);
  check(all <= INT32_MAX, "[from_dense] expected at most ", INT32_MAX, " cells in all batches, found ", all);
  Arena scratch(device);
  const Context context{device, nullptr, num_threads(), &scratch};
  auto* mask = scratch.allocate<std::uint8_t>(all);
  auto* listed = scratch.allocate<std::int32_t>(all);
  const SparseConvKernels& kernels = sparse_conv_kernels(device);
  kernels.occupied(context, dense.data<float>(), layout, mask);
  const std::int64_t n = row_kernels(device).list(context, mask, all, listed);
  Array coords({n, layout.dims + 1}, DType::kI32, device), features({n, layout.channels}, DType::kF32, device);
  kernels.from_dense(context, dense.data<float>(), layout, listed, coords.data<std::int32_t>(), rows_of(features));
  return {coords, features, {.shape = shape}};
}

}  // namespace voxshift
