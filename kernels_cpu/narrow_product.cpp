#include <voxshift/kernels_cpu/arm_features.h>
#include <voxshift/kernels_cpu/narrow_product.h>
#include <voxshift/kernels_cpu/narrow_sets.h>
#include <voxshift/kernels_cpu/targets.h>
#include <voxshift/kernels_cpu/x86_features.h>
#include <voxshift/tensor/error.h>

#include <cstdlib>
#include <string>
#include <vector>

namespace voxshift::cpu {
namespace {

/// A table, and what it needs: of a CPU, and of the instruction set that VOXSHIFT_CPU names.
struct Candidate {
  const NarrowProduct* product;
  bool has;
  const char* target;
  bool plain = true;  ///< every CPU with `target` has it
};

// The fastest first.
std::vector<Candidate> candidates() {
  std::vector<Candidate> all;
#if defined(__x86_64__)
  const X86Features x86 = x86_features();
  all.push_back({&kAvx512VnniI8, x86.avx512_vnni, "avx512"});
  all.push_back({&kAvxVnniI8, x86.avx_vnni, "avx2", false});
  all.push_back({&kAvx512I8, x86.avx512, "avx512"});
  all.push_back({&kAvx2I8, x86.avx2, "avx2"});
  all.push_back({&kSse4I8, x86.sse4, "sse4"});
  all.push_back({&kAvx512Bf16, x86.avx512_bf16, "avx512"});
#elif defined(__aarch64__)
  const ArmFeatures arm = arm_features();
  all.push_back({&kNeonMatrixI8, arm.matrix, "neon"});
  all.push_back({&kNeonDotI8, arm.dot, "neon"});
  all.push_back({&kNeonI8, true, "neon"});
  all.push_back({&kNeonMatrixBf16, arm.bf16, "neon"});
  all.push_back({&kNeonDotBf16, arm.bf16, "neon"});
  all.push_back({&kNeonF16, arm.f16, "neon"});
#endif
  all.push_back({&kPortableI8, true, ""});
  all.push_back({&bf16_in_f32(), true, ""});
  all.push_back({&f16_in_f32(), true, ""});
  return all;
}

/// Whether code for `target` may run where kernels run on `chosen`.
bool allowed(const std::string& target, const std::string& chosen) {
  const auto rank = [](const std::string& name) {
    return name == "avx512" ? 3 : name == "avx2" ? 2 : name == "sse4" ? 1 : 0;
  };
  return target.empty() || target == chosen || (rank(target) > 0 && rank(target) <= rank(chosen));
}

const NarrowProduct& pick_product(DType dtype) {
  const char* const wanted = std::getenv("VOXSHIFT_CPU");
  const bool forced = wanted != nullptr && *wanted != '\0';
  for (const Candidate& candidate : candidates())
    if (candidate.has && candidate.product->dtype == dtype && allowed(candidate.target, target_name()) &&
        (candidate.plain || !forced))
      return *candidate.product;
  throw InvalidArgument(std::string("[cpu] products of narrow numbers expect i8, bf16 or f16, found ") + name(dtype));
}

}  // namespace

const NarrowProduct& narrow_product(DType dtype) {
  static const NarrowProduct &i8 = pick_product(DType::kI8), &bf16 = pick_product(DType::kBF16),
                             &f16 = pick_product(DType::kF16);
  if (dtype == DType::kI8) return i8;
  return dtype == DType::kBF16 ? bf16 : dtype == DType::kF16 ? f16 : pick_product(dtype);
}

std::span<const NarrowProduct* const> narrow_products() {
  static const auto products = [] {
    std::vector<const NarrowProduct*> have;
    for (const Candidate& candidate : candidates())
      if (candidate.has) have.push_back(candidate.product);
    return have;
  }();
  return products;
}

}  // namespace voxshift::cpu
