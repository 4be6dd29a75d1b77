// Two operands of a sum or a product.
#pragma once

#include <voxshift/onnx/call.h>

namespace voxshift::onnx {

enum class Arithmetic { kAdd, kSubtract, kMultiply, kDivide };

/// Numbers of the file as one for each channel of the part. Throws where they differ between pixels or rows.
std::vector<float> channel_numbers_of(const Call& call, const Constant& numbers, const Part& part);

/// The call's two inputs together: tensors of the same shape, one of which may be a row per frame or have one channel,
/// or one of them numbers of the file.
void give_combined(Call& call, Arithmetic arithmetic);

}  // namespace voxshift::onnx
