// Products of i8 by the dot products of Armv8.2: SDOT multiplies four numbers and adds them to a sum.
#include <voxshift/kernels_cpu/narrow_arm_tile.h>
#include <voxshift/kernels_cpu/narrow_sets.h>

namespace voxshift::cpu {
namespace {

struct SignedDot {
  using Sum = std::int32_t;
  using Sums = int32x4_t;
  using Numbers = int8x16_t;
  static constexpr int kNumberBytes = 1;

  VOXSHIFT_INLINE Numbers load(const std::byte* p) { return vld1q_s8(reinterpret_cast<const std::int8_t*>(p)); }
  VOXSHIFT_INLINE Numbers load_group(const std::byte* p) { return vreinterpretq_s8_s32(vdupq_n_s32(narrow_word(p))); }
  VOXSHIFT_INLINE Sums zero() { return vdupq_n_s32(0); }
  VOXSHIFT_INLINE Sums load_sums(const Sum* p) { return vld1q_s32(p); }
  VOXSHIFT_INLINE void store_sums(Sums sums, Sum* p) { vst1q_s32(p, sums); }
  template <int kLane>
  VOXSHIFT_INLINE Sums add(Sums sums, Numbers weight, Numbers x) {
    return vdotq_laneq_s32(sums, weight, x, kLane);
  }
};

struct SignedDotStage : NarrowArmStage<1, 4> {};

}  // namespace

const NarrowProduct kNeonDotI8{.name = "NEON dot product",
                               .dtype = DType::kI8,
                               .group = 4,
                               .staged_size = 1,
                               .weight_size = 1,
                               .zero = 0,
                               .staged_rows = 96,
                               .stage = narrow_stage<SignedDotStage>,
                               .multiply = narrow_arm_multiply<NarrowArmDots<SignedDot>>,
                               .fresh = true};

}  // namespace voxshift::cpu
