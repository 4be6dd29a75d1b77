// Products of i8 by the matrix products of Armv8.6: SMMLA multiplies two rows of eight numbers by two columns.
#include <voxshift/kernels_cpu/narrow_arm_tile.h>
#include <voxshift/kernels_cpu/narrow_sets.h>

namespace voxshift::cpu {
namespace {

struct SignedMatrix {
  using Sum = std::int32_t;
  using Sums = int32x4_t;
  using Numbers = int8x16_t;
  static constexpr int kNumberBytes = 1;

  VOXSHIFT_INLINE Numbers load(const std::byte* p) { return vld1q_s8(reinterpret_cast<const std::int8_t*>(p)); }
  VOXSHIFT_INLINE Numbers load(const std::byte* low, const std::byte* high) {
    return vcombine_s8(vld1_s8(reinterpret_cast<const std::int8_t*>(low)),
                       vld1_s8(reinterpret_cast<const std::int8_t*>(high)));
  }
  VOXSHIFT_INLINE Sums zero() { return vdupq_n_s32(0); }
  VOXSHIFT_INLINE Sums load_sums(const Sum* p) { return vld1q_s32(p); }
  VOXSHIFT_INLINE void store_sums(Sums sums, Sum* p) { vst1q_s32(p, sums); }
  VOXSHIFT_INLINE Sums low_halves(Sums a, Sums b) { return vcombine_s32(vget_low_s32(a), vget_low_s32(b)); }
  VOXSHIFT_INLINE Sums high_halves(Sums a, Sums b) { return vcombine_s32(vget_high_s32(a), vget_high_s32(b)); }
  VOXSHIFT_INLINE Sums add(Sums sums, Numbers x, Numbers weight) { return vmmlaq_s32(sums, x, weight); }
};

struct SignedMatrixStage : NarrowArmStage<1, 8> {};

}  // namespace

const NarrowProduct kNeonMatrixI8{.name = "NEON i8mm",
                                  .dtype = DType::kI8,
                                  .group = 8,
                                  .staged_size = 1,
                                  .weight_size = 1,
                                  .zero = 0,
                                  .staged_rows = 96,
                                  .stage = narrow_stage<SignedMatrixStage>,
                                  .multiply = narrow_arm_multiply<NarrowArmMatrices<SignedMatrix>>,
                                  .fresh = true};

}  // namespace voxshift::cpu
