// Ops on rows of features f32 [N, C].
#pragma once

#include <voxshift/tensor/epilogue.h>

#include <optional>

namespace voxshift {

/// act(x W + bias): x f32 [N, Cin], weight f32 [Cin, Cout], bias f32 [Cout]. Gives f32 [N, Cout]. Throws
/// InvalidArgument for other shapes, dtypes or mixed devices, more than 2^20 channels and more than 2^31 - 1 rows.
Array linear(const Array& x, const Array& weight, const std::optional<Array>& bias = {}, Activation activation = {});

/// act(x * scale + shift) per channel: batch normalisation at inference. scale and shift f32 [C], absent ones are 1 and
/// 0.
Array affine(const Array& x, const std::optional<Array>& scale, const std::optional<Array>& shift,
             Activation activation = {});

/// u8 [N]: the lowest channel that holds a row's maximum. At most 256 channels, at least one.
Array argmax(const Array& x);

}  // namespace voxshift
