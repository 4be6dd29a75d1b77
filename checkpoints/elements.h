// Elements of stored tensors as f32.
#pragma once

#include <voxshift/checkpoints/value.h>

namespace voxshift {

/// Rounds `count` elements, little-endian at any address, to f32.
void to_floats(const std::byte* from, ScalarType type, std::size_t count, float* to);

/// Writes the tensor's elements in row-major order. `first` is element 0 of the tensor, whose other elements lie after
/// it, as its strides say.
void gather_elements(const StoredTensor& tensor, const std::byte* first, std::byte* to);

}  // namespace voxshift
