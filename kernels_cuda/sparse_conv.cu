// Sparse convolution and pooling on CUDA, by output rows: nobody else writes a row, so the sums have one order.
#include <voxshift/kernels_cuda/elementwise.h>
#include <voxshift/kernels_cuda/product.h>
#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/weight_gradient.h>
#include <voxshift/sparse_conv/kernels.h>
#include <voxshift/tensor/reduce.h>

namespace voxshift::cuda {
namespace {

/// The map of a call as pooling reads it.
struct Pairs {
  RowTable rows;
  int volume;

  explicit Pairs(const KernelMapView& map) : rows(map.layout.as<RowTable>()), volume(map.volume) {}
  __device__ std::int32_t at(std::int64_t row, int k) const {
    return rows.table[row * volume + (rows.mirrored ? volume - 1 - k : k)];
  }
  __device__ int count(std::int64_t row) const {
    int pairs = 0;
    for (int w = 0; w < RowTable::words(volume); ++w) pairs += __popc(rows.masks[row * RowTable::words(volume) + w]);
    return pairs;
  }
};

template <class In, class Out>
void pool_rows(const Queue& queue, In in, const Pairs& pairs, Pooling pooling, Out out) {
  for_each_cell(queue, out.count, out.channels, [=] __device__(std::int64_t o, std::int64_t c) {
    NumberSum<In> sum;
    sum.begin(-0.0f);  // of one number: that number
    float value = 0;
    int present = 0;
    for (int k = 0; k < pairs.volume; ++k) {
      const std::int32_t i = pairs.at(o, k);
      if (i < 0) continue;
      if (pooling != Pooling::kMax) {
        sum.add(in, i, c);
      } else if (const float x = in.at(i, c); present == 0 || exceeds(x, value)) {
        value = x;
      }
      ++present;
    }
    if (pooling != Pooling::kMax && present > 0) value = sum.value(in, c);
    if (pooling == Pooling::kAverage && present > 1) value /= static_cast<float>(present);
    out.set(o, c, value);
  });
}

// The offset, on the way to `o`, of the first pair that has the maximum.
template <class T>
__device__ int winner(const Rows<const T>& in, const Pairs& forward, std::int64_t o, std::int64_t c) {
  int best = -1;
  float value = 0;
  for (int k = 0; k < forward.volume; ++k) {
    const std::int32_t i = forward.at(o, k);
    if (i < 0) continue;
    const float x = in.at(i, c);
    if (best < 0 || exceeds(x, value)) {
      best = k;
      value = x;
    }
  }
  return best;
}

// Where nothing is fused, sums begin with the bias, as on the CPU.
template <class In, class Residual, class Out>
void depthwise_rows(const Queue& queue, In in, const Pairs& pairs, const float* weight, bool fused,
                    RowEpilogue<Residual> epilogue, Out out) {
  const float* const first = fused ? nullptr : epilogue.bias;
  if (!fused) epilogue.bias = nullptr;
  for_each_cell(queue, out.count, out.channels, [=] __device__(std::int64_t o, std::int64_t c) {
    float sum = first != nullptr ? first[c] : 0.0f;
    for (int k = 0; k < pairs.volume; ++k) {
      const std::int32_t i = pairs.at(o, k);
      if (i >= 0) sum = add_product(in.at(i, c), weight[k * out.channels + c], sum, fused);
    }
    out.set(o, c, epilogue.finish(sum, o, c));
  });
}

template <class T>
void share_gradient(const Queue& queue, Rows<const T> in, Rows<const T> grad, const Pairs& forward,
                    const Pairs& transposed, Pooling pooling, Rows<T> out) {
  for_each_cell(queue, out.count, out.channels, [=] __device__(std::int64_t i, std::int64_t c) {
    float sum = 0;
    for (int k = 0; k < transposed.volume; ++k) {
      const std::int32_t o = transposed.at(i, k);
      if (o < 0) continue;
      const float g = grad.at(o, c);
      if (pooling == Pooling::kSum) {
        sum += g;
      } else if (pooling == Pooling::kAverage) {
        sum = fmaf(1 / static_cast<float>(forward.count(o)), g, sum);
      } else if (winner(in, forward, o, c) == k) {
        sum += g;
      }
    }
    out.set(i, c, sum);
  });
}

// Neighbouring threads on neighbouring cells, which channels lie far apart for.
template <class In, class Out>
void scatter_pixels(const Queue& queue, In in, const Level& level, const BirdEyeView& view, Out out) {
  for_each_cell(queue, out.count, out.channels, [=] __device__(std::int64_t p, std::int64_t c) { out.set(p, c, 0); });
  for_each_cell(queue, in.count, in.channels, [=] __device__(std::int64_t i, std::int64_t c) {
    std::int32_t coordinate[kMaxAxes];
    level.layout.unpack(level.keys[i], coordinate);
    std::int64_t z = 0;
    const std::int64_t pixel = view.pixel(coordinate, z);
    if (pixel >= 0) copy_number(in, i, c, out, pixel, c * view.depth + z);
  });
}

void find_pixels(const Queue& queue, const Level& level, const BirdEyeView& view, std::int32_t* pixels) {
  for_each(queue, level.count, [=] __device__(std::int64_t i) {
    std::int32_t coordinate[kMaxAxes];
    level.layout.unpack(level.keys[i], coordinate);
    pixels[i] = static_cast<std::int32_t>(view.pixel(coordinate));
  });
}

void scatter_cells(const Queue& queue, Rows<const float> in, const std::int32_t* coords, const DenseLayout& layout,
                   float* dense) {
  queue.fill(dense, 0, static_cast<std::size_t>(layout.batches * layout.channels * layout.cells()) * sizeof(float));
  for_each_cell(queue, layout.channels, in.count, [=] __device__(std::int64_t c, std::int64_t i) {
    dense[layout.start(layout.cell(coords + i * (layout.dims + 1))) + c * layout.cells()] = in.at(i, c);
  });
}

void mark_cells(const Queue& queue, const float* dense, const DenseLayout& layout, std::uint8_t* mask) {
  for_each(queue, layout.batches * layout.cells(), [=] __device__(std::int64_t p) {
    const float* const first = dense + layout.start(p);
    bool present = false;
    for (std::int64_t c = 0; c < layout.channels && !present; ++c) present = first[c * layout.cells()] != 0.0f;
    mask[p] = present ? 1 : 0;
  });
}

void gather_cells(const Queue& queue, const float* dense, const DenseLayout& layout, const std::int32_t* cells,
                  std::int32_t* coords, Rows<float> out) {
  for_each(queue, out.count,
           [=] __device__(std::int64_t i) { layout.coordinate(cells[i], coords + i * (layout.dims + 1)); });
  for_each_cell(queue, layout.channels, out.count, [=] __device__(std::int64_t c, std::int64_t i) {
    out.set(i, c, dense[layout.start(cells[i]) + c * layout.cells()]);
  });
}

class CudaSparseConvKernels final : public SparseConvKernels {
 public:
  std::shared_ptr<const PackedWeights> pack(const Context& context, const float* weight, std::int64_t volume,
                                            std::int64_t in_channels, std::int64_t out_channels,
                                            DType dtype) const override {
    return std::make_shared<const DeviceWeights>(context, weight, nullptr, volume, in_channels, out_channels, dtype,
                                                 WeightOrder::kInOut);
  }

  std::shared_ptr<const PackedWeights> pack_i8(const Context& context, const QuantizedWeights& weights,
                                               std::int64_t volume, std::int64_t in_channels,
                                               std::int64_t out_channels) const override {
    return std::make_shared<const DeviceWeights>(context, weights, nullptr, volume, in_channels, out_channels,
                                                 WeightOrder::kInOut);
  }

  std::shared_ptr<const PackedWeights> pack_transposed(const Context& context, const float* weight, std::int64_t volume,
                                                       std::int64_t in_channels, std::int64_t out_channels,
                                                       DType dtype) const override {
    return std::make_shared<const DeviceWeights>(context, weight, nullptr, volume, in_channels, out_channels, dtype,
                                                 WeightOrder::kOutIn);
  }

  void conv(const Context& context, const ConstRowView& in, const KernelMapView& map, const PackedWeights& weights,
            const Epilogue& epilogue, const RowView& out) const override {
    product(Queue(context, "conv"), in, map.layout.as<RowTable>(),
            device_weights("conv", weights, map.volume, in.channels, out.channels, in.dtype, context.device,
                           WeightUse::kRows),
            epilogue, out);
  }

  void depthwise(const Context& context, const ConstRowView& in, const KernelMapView& map, const float* weight,
                 const Epilogue& epilogue, const RowView& out) const override {
    const Queue queue(context, "conv");
    const ConstRowView other = residual_of(epilogue);
    const bool fused = are_fused(in, other, out);
    const UnroundedRows to(queue, epilogue.activation, in.dtype, out);
    with_rows(
        "conv",
        [&](auto from, auto residual, auto unrounded) {
          depthwise_rows(queue, from, Pairs(map), weight, fused, RowEpilogue(epilogue, residual), unrounded);
        },
        in, other, to.rows);
    finish_function(queue, epilogue, to.rows, out);
  }

  void weight_gradient(const Context& context, const ConstRowView& in, const ConstRowView& grad,
                       const KernelMapView& map, float* out) const override {
    const Queue queue(context, "weight_gradient");
    const Arena::Mark mark = queue.arena().mark();
    const PairLists lists = pair_lists(queue, map);
    cuda::weight_gradient(queue, in, grad, &lists, map.volume, out);
    queue.arena().rewind(mark);
  }

  void pool(const Context& context, const ConstRowView& in, const KernelMapView& map, Pooling pooling,
            const RowView& out) const override {
    const Queue queue(context, "pool");
    with_rows(
        "pool", [&](auto from, auto to) { pool_rows(queue, from, Pairs(map), pooling, to); }, in, out);
  }

  void pool_backward(const Context& context, const ConstRowView& in, const ConstRowView& grad,
                     const KernelMapViews& map, Pooling pooling, const RowView& out) const override {
    const Queue queue(context, "pool_backward");
    with_real_type("pool_backward", out.dtype, [&](auto type) {
      using T = decltype(type);
      share_gradient(queue, rows<T>(in), rows<T>(grad), Pairs(map.forward), Pairs(map.transposed), pooling,
                     rows<T>(out));
    });
  }

  void bird_eye_view(const Context& context, const ConstRowView& in, const Level& level, const BirdEyeView& view,
                     const RowView& out) const override {
    const Queue queue(context, "bird_eye_view");
    with_copies(
        "bird_eye_view", [&](auto from, auto to) { scatter_pixels(queue, from, level, view, to); }, in, out);
  }

  void pixels(const Context& context, const Level& level, const BirdEyeView& view,
              std::int32_t* pixels) const override {
    find_pixels(Queue(context, "from_dense"), level, view, pixels);
  }

  void to_dense(const Context& context, const ConstRowView& in, const std::int32_t* coords, const DenseLayout& layout,
                float* dense) const override {
    scatter_cells(Queue(context, "to_dense"), rows<float>(in), coords, layout, dense);
  }

  void occupied(const Context& context, const float* dense, const DenseLayout& layout,
                std::uint8_t* mask) const override {
    mark_cells(Queue(context, "occupied"), dense, layout, mask);
  }

  void from_dense(const Context& context, const float* dense, const DenseLayout& layout, const std::int32_t* cells,
                  std::int32_t* coords, const RowView& out) const override {
    gather_cells(Queue(context, "from_dense"), dense, layout, cells, coords, rows<float>(out));
  }
};

}  // namespace

const SparseConvKernels& sparse_conv_kernels() {
  static const CudaSparseConvKernels kernels;
  return kernels;
}

}  // namespace voxshift::cuda
