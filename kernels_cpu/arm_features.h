// What an Arm CPU has beyond NEON.
#pragma once

namespace voxshift::cpu {

struct ArmFeatures {
  bool dot = false;     ///< products of four bytes (FEAT_DotProd)
  bool matrix = false;  ///< products of 2 x 8 by 8 x 2 bytes (FEAT_I8MM)
  bool bf16 = false;    ///< FEAT_BF16
  bool f16 = false;     ///< arithmetic of f16 (FEAT_FP16)
};

/// By Linux, Android and Apple's systems; none where the system is another.
ArmFeatures arm_features();

}  // namespace voxshift::cpu
