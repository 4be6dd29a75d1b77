#include <voxshift/sparse_conv/kernels.h>
#include <voxshift/sparse_conv/pool.h>
#include <voxshift/tensor/kernels.h>

#include <algorithm>
#include <utility>

namespace voxshift {

SparseTensor pool(const SparseTensor& x, Pooling pooling, const ConvOptions& options) {
  const Window window = make_window("pool", x.dims(), options);
  const OutputGrid grid = output_grid(x, window);
  const auto map = x.cache()->kernel_map(x.map(), grid.map, window);
  Array out({grid.map->size(), x.channels()}, DType::kF32, x.device());
  Arena scratch(x.device());
  const Context context{x.device(), nullptr, num_threads(), &scratch};
  sparse_conv_kernels(x.device()).pool(context, rows_of(x.features()), map->forward(), pooling, rows_of(out));
  return {grid.map, x.cache(), out, grid.stride, grid.shape};
}

Array global_pool(const SparseTensor& x, Pooling pooling) {
  const Array coords = x.coords().to(Device::cpu());
  const std::int64_t n = x.size(), axes = x.dims() + 1;
  Array batch({n}, DType::kI32);
  std::int64_t batches = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    batch.data<std::int32_t>()[i] = coords.data<std::int32_t>()[i * axes];
    batches = std::max(batches, std::int64_t{batch.data<std::int32_t>()[i]} + 1);
  }
  batch = batch.to(x.device());
  Array out({batches, x.channels()}, DType::kF32, x.device());
  Arena scratch(x.device());
  const Context context{x.device(), nullptr, num_threads(), &scratch};
  const Reduce reduce = pooling == Pooling::kMax   ? Reduce::kMax
                        : pooling == Pooling::kSum ? Reduce::kSum
                                                   : Reduce::kMean;
  coordinate_kernels(x.device())
      .reduce(context, rows_of(x.features()), std::as_const(batch).data<std::int32_t>(), reduce, rows_of(out));
  return out;
}

}  // namespace voxshift
