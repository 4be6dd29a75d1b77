// Products of bf16 by the dot and matrix products of Armv8.6. BFDOT adds two numbers' products to a sum of f32, BFMMLA
// twice two of them, and each rounds both additions to odd, so that they err by up to twice what f32's would.
#include <voxshift/kernels_cpu/narrow_arm_tile.h>
#include <voxshift/kernels_cpu/narrow_sets.h>

namespace voxshift::cpu {
namespace {

struct ArmBfloats {
  using Sum = float;
  using Sums = float32x4_t;
  using Numbers = bfloat16x8_t;
  static constexpr int kNumberBytes = 2;

  VOXSHIFT_INLINE Numbers load(const std::byte* p) { return vld1q_bf16(reinterpret_cast<const bfloat16_t*>(p)); }
  VOXSHIFT_INLINE Sums zero() { return vdupq_n_f32(0); }
  VOXSHIFT_INLINE Sums load_sums(const Sum* p) { return vld1q_f32(p); }
  VOXSHIFT_INLINE void store_sums(Sums sums, Sum* p) { vst1q_f32(p, sums); }
};

struct ArmBfloatDot : ArmBfloats {
  VOXSHIFT_INLINE Numbers load_group(const std::byte* p) { return vreinterpretq_bf16_s32(vdupq_n_s32(narrow_word(p))); }
  template <int kLane>
  VOXSHIFT_INLINE Sums add(Sums sums, Numbers weight, Numbers x) {
    return vbfdotq_laneq_f32(sums, weight, x, kLane);
  }
};

struct ArmBfloatMatrix : ArmBfloats {
  using ArmBfloats::load;
  VOXSHIFT_INLINE Numbers load(const std::byte* low, const std::byte* high) {
    return vcombine_bf16(vld1_bf16(reinterpret_cast<const bfloat16_t*>(low)),
                         vld1_bf16(reinterpret_cast<const bfloat16_t*>(high)));
  }
  VOXSHIFT_INLINE Sums low_halves(Sums a, Sums b) { return vcombine_f32(vget_low_f32(a), vget_low_f32(b)); }
  VOXSHIFT_INLINE Sums high_halves(Sums a, Sums b) { return vcombine_f32(vget_high_f32(a), vget_high_f32(b)); }
  VOXSHIFT_INLINE Sums add(Sums sums, Numbers x, Numbers weight) { return vbfmmlaq_f32(sums, x, weight); }
};

struct ArmBfloatDotStage : NarrowArmStage<2, 4> {};
struct ArmBfloatMatrixStage : NarrowArmStage<2, 8> {};

}  // namespace

const NarrowProduct kNeonDotBf16{.name = "NEON BFDOT",
                                 .dtype = DType::kBF16,
                                 .group = 2,
                                 .staged_size = 2,
                                 .weight_size = 2,
                                 .zero = 0,
                                 .staged_rows = 96,
                                 .stage = narrow_stage<ArmBfloatDotStage>,
                                 .multiply = narrow_arm_multiply<NarrowArmDots<ArmBfloatDot>>,
                                 .fresh = true};
const NarrowProduct kNeonMatrixBf16{.name = "NEON BFMMLA",
                                    .dtype = DType::kBF16,
                                    .group = 4,
                                    .staged_size = 2,
                                    .weight_size = 2,
                                    .zero = 0,
                                    .staged_rows = 96,
                                    .stage = narrow_stage<ArmBfloatMatrixStage>,
                                    .multiply = narrow_arm_multiply<NarrowArmMatrices<ArmBfloatMatrix>>,
                                    .fresh = true};

}  // namespace voxshift::cpu
