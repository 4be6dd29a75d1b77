// Contract of convolution and pooling on sparse tensors.
#pragma once

#include <voxshift/sparse_conv/pooling.h>
#include <voxshift/tensor/epilogue.h>
#include <voxshift/tensor/kernel_map.h>
#include <voxshift/tensor/level.h>
#include <voxshift/tensor/narrow.h>
#include <voxshift/tensor/packed_weights.h>
#include <voxshift/tensor/runtime.h>

#include <array>
#include <cstdint>
#include <memory>

namespace voxshift {

/// A dense array f32 [batches, channels, extent...]. Cell p = b * cells() + the row-major place in the extents.
struct DenseLayout {
  std::int64_t batches = 0, channels = 0;
  int dims = 0;
  std::array<std::int64_t, kMaxDimensions> extent{1, 1, 1, 1};

  /// Of one batch.
  constexpr std::int64_t cells() const { return extent[0] * extent[1] * extent[2] * extent[3]; }

  /// Where channel 0 of cell p lies; the others follow cells() further on each.
  constexpr std::int64_t start(std::int64_t p) const { return p / cells() * channels * cells() + p % cells(); }

  /// The cell of coordinate (b, c1 .. cD), which lies inside.
  constexpr std::int64_t cell(const std::int32_t* c) const {
    std::int64_t p = c[0];
    for (int d = 0; d < dims; ++d) p = p * extent[static_cast<std::size_t>(d)] + c[d + 1];
    return p;
  }

  /// The coordinate of cell p.
  constexpr void coordinate(std::int64_t p, std::int32_t* c) const {
    for (int d = dims; d-- > 0; p /= extent[static_cast<std::size_t>(d)])
      c[d + 1] = static_cast<std::int32_t>(p % extent[static_cast<std::size_t>(d)]);
    c[0] = static_cast<std::int32_t>(p);
  }
};

/// Images seen along one spatial axis: the pixel of coordinate (b, c1, c2, c3) is (b * height + y) * width + x with y
/// and x the other two in their order, and channel c lies in channel c * depth + z.
struct BirdEyeView {
  int axis = 2;
  std::int64_t depth = 0, height = 0, width = 0;

  /// The pixel of a coordinate, wherever it lies along the axis; -1 outside.
  constexpr std::int64_t pixel(const std::int32_t* c) const {
    const std::int64_t y = c[axis == 0 ? 2 : 1], x = c[axis == 2 ? 2 : 3];
    const bool inside = y >= 0 && y < height && x >= 0 && x < width;
    return inside ? (c[0] * height + y) * width + x : -1;
  }

  /// The pixel of a coordinate, -1 also outside of the depth. `z` is its place along the axis.
  constexpr std::int64_t pixel(const std::int32_t* c, std::int64_t& z) const {
    z = c[1 + axis];
    return z >= 0 && z < depth ? pixel(c) : -1;
  }
};

/// Kernels of sparse convolution. Features are f32, f16, bf16 or i8; what comes out, and the residual,
/// may be of another dtype than what goes in. Sums are f32, of i8 int32.
class SparseConvKernels {
 public:
  virtual ~SparseConvKernels() = default;

  /// Packs weight f32 [volume, in_channels, out_channels] (device memory, row-major) for features of `dtype`.
  virtual std::shared_ptr<const PackedWeights> pack(const Context&, const float* weight, std::int64_t volume,
                                                    std::int64_t in_channels, std::int64_t out_channels,
                                                    DType dtype) const = 0;

  /// Packs weights [volume, in_channels, out_channels] (device memory) for features of i8.
  virtual std::shared_ptr<const PackedWeights> pack_i8(const Context&, const QuantizedWeights& weights,
                                                       std::int64_t volume, std::int64_t in_channels,
                                                       std::int64_t out_channels) const = 0;

  /// Packs W for features of `dtype`, on the CPU f32, from the transposes of its offsets, f32 [volume, out_channels,
  /// in_channels].
  virtual std::shared_ptr<const PackedWeights> pack_transposed(const Context&, const float* weight, std::int64_t volume,
                                                               std::int64_t in_channels, std::int64_t out_channels,
                                                               DType dtype) const = 0;

  /// out[o] = act(sum_k sum_{(i, o) in map_k} in[i] W[k] + bias + residual[o]). One accumulator per output element:
  /// offsets in order, then input channels. An output row without pairs is act(bias + residual).
  virtual void conv(const Context&, const ConstRowView& in, const KernelMapView&, const PackedWeights&, const Epilogue&,
                    const RowView& out) const = 0;

  /// out[o, c] = act(sum_k sum_{(i, o) in map_k} in[i, c] weight[k, c] + bias[c] + residual[o, c]), weight f32 [volume,
  /// channels] in device memory for features of any dtype. One accumulator per output element, f32, offsets in order.
  virtual void depthwise(const Context&, const ConstRowView& in, const KernelMapView&, const float* weight,
                         const Epilogue&, const RowView& out) const = 0;

  /// out[k] = sum_{(i, o) in map_k} in[i]^T grad[o], f32 [volume, in.channels, grad.channels]: the gradient of conv()'s
  /// weight. That of its input is conv() on the map in the other direction with transposed weights. `in` and `grad` are
  /// both f32 or, on CUDA, both f16 or both bf16; sums are f32, and their order is one on every run.
  virtual void weight_gradient(const Context&, const ConstRowView& in, const ConstRowView& grad, const KernelMapView&,
                               float* out) const = 0;

  /// out[o] = max, sum or mean of in[i] over all pairs (i, o), offsets in order; the mean divides by the pairs present.
  /// An output row without pairs is 0. Sums are f32; of i8, float(sum of whole numbers, exact) * scale.
  virtual void pool(const Context&, const ConstRowView& in, const KernelMapView&, Pooling,
                    const RowView& out) const = 0;

  /// out[i] = sum over the pairs (i, o), offsets in order, of i's share of grad[o], the gradient of pool(in)[o]: all of
  /// it for a sum, 1 / the pairs of o for a mean; for a maximum, channel by channel, all of it where i is the first
  /// pair of o, offsets in order, that has the maximum. A row without pairs is 0. `in` is read for the maximum only.
  /// All views have one dtype, f32 or, on CUDA, f16 or bf16; sums are f32.
  virtual void pool_backward(const Context&, const ConstRowView& in, const ConstRowView& grad, const KernelMapViews&,
                             Pooling, const RowView& out) const = 0;

  /// out[pixel, c * depth + z] = in[i, c] for every row i of the level, which has 3 spatial axes, inside the view; 0
  /// elsewhere.
  virtual void bird_eye_view(const Context&, const ConstRowView& in, const Level&, const BirdEyeView&,
                             const RowView& out) const = 0;

  /// pixels[i] = the pixel of row i of the level, which has 3 spatial axes, wherever it lies along the view's; -1
  /// outside.
  virtual void pixels(const Context&, const Level&, const BirdEyeView&, std::int32_t* pixels) const = 0;

  /// dense[b, :, c1 .. cD] = in[i] for coords[i] = (b, c1 .. cD), int32 [in.count, 1 + D], unique and inside the
  /// layout; 0 elsewhere. Features are f32 here and in the next two.
  virtual void to_dense(const Context&, const ConstRowView& in, const std::int32_t* coords, const DenseLayout&,
                        float* dense) const = 0;

  /// mask[p] = whether a channel of cell p is not 0, for the cells of all batches.
  virtual void occupied(const Context&, const float* dense, const DenseLayout&, std::uint8_t* mask) const = 0;

  /// coords[i], out[i] = the coordinate and the channels of cell cells[i] for the count of `out`.
  virtual void from_dense(const Context&, const float* dense, const DenseLayout&, const std::int32_t* cells,
                          std::int32_t* coords, const RowView& out) const = 0;
};

namespace cpu {
const SparseConvKernels& sparse_conv_kernels();
}
namespace cuda {
const SparseConvKernels& sparse_conv_kernels();
}

inline const SparseConvKernels& sparse_conv_kernels(Device device) {
  return on<SparseConvKernels>(device, cpu::sparse_conv_kernels, cuda::sparse_conv_kernels);
}

}  // namespace voxshift
