#include <voxshift/kernels_cpu/targets.h>
#include <voxshift/tensor/error.h>

#include <cstdint>
#include <cstdlib>
#include <mutex>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/targets.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

std::int64_t this_target() { return HWY_TARGET; }

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(this_target);
namespace {

struct Target {
  const char* name;
  std::int64_t bit;
};

constexpr Target kTargets[] = {{"avx512", HWY_AVX3}, {"avx2", HWY_AVX2}, {"sse4", HWY_SSE4}, {"neon", HWY_NEON}};

void force_target(const std::string& wanted) {
  std::string known;
  for (const Target& target : kTargets) {
    if ((HWY_TARGETS & hwy::SupportedTargets() & target.bit) == 0) continue;
    if (wanted == target.name) return hwy::DisableTargets(~target.bit);
    if (!known.empty()) known += ", ";
    known += target.name;
  }
  throw InvalidArgument("[cpu] VOXSHIFT_CPU=" + wanted + ": this build on this CPU has " + known);
}

}  // namespace

// Leaves Highway's choice made: before that, a pointer from HWY_DYNAMIC_DISPATCH would make it anew at every call.
void choose_target() {
  static std::once_flag chosen;
  std::call_once(chosen, [] {
    check_cpu(HWY_TARGETS);
    if (const char* wanted = std::getenv("VOXSHIFT_CPU"); wanted != nullptr && *wanted != '\0') force_target(wanted);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  });
}

std::string target_name() {
  choose_target();
  const std::int64_t bit = HWY_DYNAMIC_DISPATCH(this_target)();
  for (const Target& target : kTargets)
    if (target.bit == bit) return target.name;
  return "scalar";
}

}  // namespace voxshift::cpu
#endif
