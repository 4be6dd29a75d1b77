// Contract of ops that know rows only.
#pragma once

#include <voxshift/tensor/epilogue.h>
#include <voxshift/tensor/packed_weights.h>
#include <voxshift/tensor/runtime.h>

#include <memory>

namespace voxshift {

/// Kernels on rows of features. All views of a call have the same count unless said otherwise; features are f32.
class RowKernels {
 public:
  virtual ~RowKernels() = default;

  /// Packs weight f32 [in_channels, out_channels] (device memory, row-major).
  virtual std::shared_ptr<const PackedWeights> pack(const float* weight, std::int64_t in_channels,
                                                    std::int64_t out_channels) const = 0;

  /// out[i] = act(in[i] W + bias + residual[i]), summed over input channels in order.
  virtual void linear(const Context&, const ConstRowView& in, const PackedWeights&, const Epilogue&,
                      const RowView& out) const = 0;

  /// out[i, c] = act(in[i, c] * scale[c] + shift[c]); a null scale is 1, a null shift is 0. in may be out.
  virtual void affine(const Context&, const ConstRowView& in, const float* scale, const float* shift, Activation,
                      const RowView& out) const = 0;

  /// out[i] = act(a[i] + b[i]). Either may be out.
  virtual void add(const Context&, const ConstRowView& a, const ConstRowView& b, Activation,
                   const RowView& out) const = 0;

  /// out[i, c] = 1 / (1 + exp(-in[i, c])). in may be out.
  virtual void sigmoid(const Context&, const ConstRowView& in, const RowView& out) const = 0;

  /// labels[i] = lowest c that maximises in[i, c].
  virtual void argmax(const Context&, const ConstRowView& in, std::uint8_t* labels) const = 0;

  /// out[i] = in[rows[i]] for the count of `out`; -1 gives zeros.
  virtual void gather(const Context&, const ConstRowView& in, const std::int32_t* rows, const RowView& out) const = 0;
};

namespace cpu {
const RowKernels& row_kernels();
}
namespace cuda {
const RowKernels& row_kernels();
}

inline const RowKernels& row_kernels(Device device) {
  return on<RowKernels>(device, cpu::row_kernels, cuda::row_kernels);
}

}  // namespace voxshift
