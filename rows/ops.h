// Ops on rows of features [N, C], f32 unless said otherwise.
#pragma once

#include <voxshift/tensor/epilogue.h>

#include <optional>

namespace voxshift {

/// act(x W + bias): x [N, Cin] f32, f16 or bf16, weight f32 [Cin, Cout], bias f32 [Cout]. Gives [N, Cout]
/// of the dtype of x, to which the weight is rounded; sums are f32. Throws InvalidArgument for other shapes, dtypes or
/// mixed devices, more than 2^20 channels and more than 2^31 - 1 rows.
Array linear(const Array& x, const Array& weight, const std::optional<Array>& bias = {}, Activation activation = {});

/// act(x * scale + shift) per channel: batch normalisation at inference. scale and shift f32 [C], absent ones are 1 and
/// 0.
Array affine(const Array& x, const std::optional<Array>& scale, const std::optional<Array>& shift,
             Activation activation = {});

/// u8 [N]: the lowest channel that holds a row's maximum. At most 256 channels, at least one.
Array argmax(const Array& x);

}  // namespace voxshift
