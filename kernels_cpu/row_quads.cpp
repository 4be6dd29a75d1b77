#include <voxshift/kernels_cpu/narrow_product.h>
#include <voxshift/kernels_cpu/row_quads.h>

#include <string_view>

namespace voxshift::cpu {

const QuadKernels* quad_kernels() {
#if defined(__x86_64__)
  static const bool has = std::string_view(narrow_product(DType::kI8).name) == "AVX-512 VNNI";
  if (has) return &kVnniQuads;
#endif
  return nullptr;
}

}  // namespace voxshift::cpu
