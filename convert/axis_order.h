// Arrays whose axes lie in another order.
#pragma once

#include <voxshift/tensor/array.h>

#include <vector>

namespace voxshift {

/// The axes of an array in another order: axis i of the result is axis order[i] of the array. f32.
Array permuted(const Array& array, const std::vector<std::size_t>& order);

}  // namespace voxshift
