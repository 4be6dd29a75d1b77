// Element-wise functions and functions of a row on the CPU.
#pragma once

#include <voxshift/tensor/elementwise.h>

#include <cstdint>

namespace voxshift::cpu {

/// out[c] = f(in[c]); in may be out.
void apply(const Elementwise& f, const float* in, std::int64_t count, float* out);

/// out = f(in), rows of `channels` > 0; in may be out.
void apply(const RowFunction& f, const float* in, std::int64_t channels, float* out);

}  // namespace voxshift::cpu
