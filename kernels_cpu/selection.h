// Rows that numbers select.
#pragma once

#include <voxshift/tensor/row_view.h>
#include <voxshift/tensor/runtime.h>

namespace voxshift::cpu {

/// RowKernels::above.
void above(const Context&, const ConstRowView& in, float threshold, std::uint8_t* mask);

/// RowKernels::top.
void top(const Context&, const ConstRowView& in, const std::int32_t* segment, std::int64_t count, std::uint8_t* mask);

}  // namespace voxshift::cpu
