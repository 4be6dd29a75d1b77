// Convolutions on sparse tensors.
#pragma once

#include <voxshift/tensor/epilogue.h>
#include <voxshift/tensor/sparse_tensor.h>

#include <optional>
#include <vector>

namespace voxshift {

/// Options of a convolution. Lists hold one value per spatial axis, or one value for all.
struct ConvOptions {
  std::vector<std::int32_t> kernel_size{3};
  std::vector<std::int32_t> stride{1};
  std::vector<std::int32_t> dilation{1};
  std::vector<std::int32_t> padding{0};         ///< kBounded only
  std::vector<std::int32_t> output_padding{0};  ///< kBounded generative_conv_transpose only
  Semantics semantics = Semantics::kFloor;
  std::optional<Array> bias;             ///< f32 [Cout]
  std::optional<SparseTensor> residual;  ///< on the output's coordinates, Cout channels, x's dtype
  Activation activation;
};

/// The window of these options on D axes. Throws InvalidArgument with `op` in front.
Window make_window(const char* op, int dims, const ConvOptions& options);

/// Coordinates of conv(x) or pool(x) with this window, for tensors on `x`.
Coordinates output_coordinates(const Coordinates& x, const Window& window);

/// out[o] = act(sum_k x[i] W[k] + bias + residual[o]) over the pairs with i = o * stride + offset_k, correlation as in
/// all peers. weight f32 [K, Cin, Cout], offsets row-major with the last axis fastest, odd sizes centred, even sizes
/// 0..k-1. The result has the dtype of x, to which the weight is rounded, and with it the residual; sums are f32.
///
/// Stride 1 with kFloor is submanifold: the output has the input's coordinates (Graham et al., CVPR 2018). A larger
/// stride gives unique(floor(c / stride)) (MinkowskiEngine, torchsparse <= 2.0). kBounded is spconv's SparseConv: it
/// needs x.shape(), every output touched by a tap exists, also at stride 1. Throws InvalidArgument for wrong shapes,
/// dtypes or devices, more than 2^20 channels and outputs that leave 32 bits.
SparseTensor conv(const SparseTensor& x, const Array& weight, const ConvOptions& options = {});

/// The transpose: from coarse coordinates back to those that a convolution with the same stride came from, on its
/// kernel map with in and out exchanged and the same offset index k (SparseInverseConv of spconv, transposed Conv3d of
/// torchsparse). Throws InvalidArgument when no such convolution made x's coordinates.
SparseTensor conv_transpose(const SparseTensor& x, const Array& weight, const ConvOptions& options);

/// A transposed convolution that makes its output coordinates: all c * stride + offset_k
/// (MinkowskiGenerativeConvolutionTranspose). With kBounded (spconv's SparseConvTranspose) those within
/// (extent - 1) stride - 2 padding + dilation (size - 1) + 1 + output_padding cells, for which it needs x.shape().
SparseTensor generative_conv_transpose(const SparseTensor& x, const Array& weight, const ConvOptions& options);

/// The pairs that conv() with these options uses: int32 [P, 3] = (offset, input row, output row), by offset, then
/// output row.
Array kernel_map(const Coordinates& x, const ConvOptions& options);

}  // namespace voxshift
