// Element-wise functions and functions of a row on the CPU.
#pragma once

#include <voxshift/tensor/elementwise.h>
#include <voxshift/tensor/epilogue.h>

#include <cstdint>

namespace voxshift::cpu {

/// out[c] = f(in[c]); in may be out.
void apply(const Elementwise& f, const float* in, std::int64_t count, float* out);

/// out = f(in), rows of `channels` > 0; in may be out.
void apply(const RowFunction& f, const float* in, std::int64_t channels, float* out);

/// Applies the function of an activation that is one to `rows`, which the vector code before it has left as they were.
void apply_function(const Activation& activation, const RowView& rows);

}  // namespace voxshift::cpu
