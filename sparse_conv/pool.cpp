#include <voxshift/sparse_conv/kernels.h>
#include <voxshift/sparse_conv/pool.h>
#include <voxshift/tensor/features.h>
#include <voxshift/tensor/kernels.h>
#include <voxshift/tensor/result_size.h>

#include <algorithm>

namespace voxshift {
namespace {

// Which batch each row belongs to, for a result with a row per batch.
struct Batches {
  Array of_row;  // i32 [N]
  std::int64_t count;
};

Batches batches_of(const char* op, const SparseTensor& x) {
  const Array coords = x.coords().to(Device::cpu());
  const std::int64_t n = x.size(), axes = x.dims() + 1;
  Array batch({n}, DType::kI32);
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    batch.data<std::int32_t>()[i] = coords.data<std::int32_t>()[i * axes];
    count = std::max(count, std::int64_t{batch.data<std::int32_t>()[i]} + 1);
  }
  check_clouds(op, count - 1, n);
  check_size(op, "clouds:", count, x.channels());
  return {batch.to(x.device()), count};
}

Reduce reduce_of(Pooling pooling) {
  if (pooling == Pooling::kMax) return Reduce::kMax;
  return pooling == Pooling::kSum ? Reduce::kSum : Reduce::kMean;
}

void check_grad(const char* op, const SparseTensor& x, const Array& grad, std::int64_t rows) {
  const Shape expected{rows, x.channels()};
  check_gradients(op, x.dtype(), x.device());
  check(grad.dtype() == x.dtype() && grad.shape() == expected, "[", op, "] grad expects ", name(x.dtype()), " ",
        expected, ", found ", name(grad.dtype()), " ", grad.shape());
  check(grad.device() == x.device(), "[", op, "] grad is on ", name(grad.device()), ", tensor is on ",
        name(x.device()));
}

}  // namespace

SparseTensor pool(const SparseTensor& x, Pooling pooling, const ConvOptions& options) {
  const Window window = make_window("pool", x.dims(), options);
  const Coordinates coarse = output_coordinates(x, window);
  const auto map = x.cache()->kernel_map(x.map(), coarse.map(), window);
  Array out({coarse.size(), x.channels()}, x.dtype(), x.device());
  Arena scratch(x.device());
  const Context context{x.device(), nullptr, num_threads(), &scratch};
  sparse_conv_kernels(x.device()).pool(context, rows_of(x.features()), map->forward(), pooling, rows_of(out));
  return {coarse, out};
}

Array pool_backward(const SparseTensor& x, const Array& grad, Pooling pooling, const ConvOptions& options) {
  const Window window = make_window("pool_backward", x.dims(), options);
  const Coordinates coarse = output_coordinates(x, window);
  check_grad("pool_backward", x, grad, coarse.size());
  const auto map = x.cache()->kernel_map(x.map(), coarse.map(), window);
  Array out({x.size(), x.channels()}, x.dtype(), x.device());
  Arena scratch(x.device());
  const Context context{x.device(), nullptr, num_threads(), &scratch};
  sparse_conv_kernels(x.device())
      .pool_backward(context, rows_of(x.features()), rows_of(grad), {map->forward(), map->transposed()}, pooling,
                     rows_of(out));
  return out;
}

Array global_pool(const SparseTensor& x, Pooling pooling) {
  const Batches batches = batches_of("global_pool", x);
  Array out({batches.count, x.channels()}, x.dtype(), x.device());
  Arena scratch(x.device());
  const Context context{x.device(), nullptr, num_threads(), &scratch};
  coordinate_kernels(x.device())
      .reduce(context, rows_of(x.features()), batches.of_row.data<std::int32_t>(), reduce_of(pooling), rows_of(out));
  return out;
}

Array global_pool_backward(const SparseTensor& x, const Array& grad, Pooling pooling) {
  const Batches batches = batches_of("global_pool_backward", x);
  check_grad("global_pool_backward", x, grad, batches.count);
  Array out({x.size(), x.channels()}, x.dtype(), x.device());
  Arena scratch(x.device());
  const Context context{x.device(), nullptr, num_threads(), &scratch};
  coordinate_kernels(x.device())
      .reduce_backward(context, rows_of(x.features()), batches.of_row.data<std::int32_t>(), reduce_of(pooling),
                       rows_of(grad), rows_of(out));
  return out;
}

}  // namespace voxshift
