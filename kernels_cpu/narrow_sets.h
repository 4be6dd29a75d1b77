// The tables of narrow_product.h that are compiled in, one source each.
#pragma once

#include <voxshift/kernels_cpu/narrow_product.h>

namespace voxshift::cpu {

#if defined(__x86_64__)
extern const NarrowProduct kSse4I8, kAvx2I8, kAvx512I8, kAvxVnniI8, kAvx512VnniI8, kAvx512Bf16;
#elif defined(__aarch64__)
extern const NarrowProduct kNeonI8, kNeonDotI8, kNeonMatrixI8, kNeonDotBf16, kNeonMatrixBf16, kNeonF16;
#endif
extern const NarrowProduct kPortableI8;

/// Of the instruction set that kernels were chosen for.
const NarrowProduct& f16_in_f32();
const NarrowProduct& bf16_in_f32();

}  // namespace voxshift::cpu
