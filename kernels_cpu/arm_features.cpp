#include <voxshift/kernels_cpu/arm_features.h>

#if defined(__linux__)
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>

#include <cstddef>
#endif

namespace voxshift::cpu {

#if defined(__linux__)

ArmFeatures arm_features() {
  const unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
  return {(first & HWCAP_ASIMDDP) != 0, (second & HWCAP2_I8MM) != 0, (second & HWCAP2_BF16) != 0,
          (first & HWCAP_ASIMDHP) != 0};
}

#elif defined(__APPLE__)

namespace {

bool has_feature(const char* name) {
  int value = 0;
  std::size_t bytes = sizeof(value);
  return sysctlbyname(name, &value, &bytes, nullptr, 0) == 0 && value != 0;
}

}  // namespace

ArmFeatures arm_features() {
  return {has_feature("hw.optional.arm.FEAT_DotProd"), has_feature("hw.optional.arm.FEAT_I8MM"),
          has_feature("hw.optional.arm.FEAT_BF16"), has_feature("hw.optional.arm.FEAT_FP16")};
}

#else

ArmFeatures arm_features() { return {}; }

#endif

}  // namespace voxshift::cpu
