// Products of i8 by what every 64-bit Arm CPU has. Two products of -127..127 fit i16: SMULL and SMLAL add those of two
// pairs of channels there, and SADALP adds the two channels of a pair to sums of int32.
#include <voxshift/kernels_cpu/narrow_arm_tile.h>
#include <voxshift/kernels_cpu/narrow_sets.h>

namespace voxshift::cpu {
namespace {

/// 16 sums, 4 weights, two pairs of a row and 4 products take 26 registers.
struct NeonPairs {
  using Sum = std::int32_t;
  static constexpr int kNumberBytes = 1, kRows = 4, kRowStep = 1;

  template <int kHeight>
  VOXSHIFT_INLINE void run(NarrowArmRows<Sum, kHeight>& rows, std::int64_t pairs) {
    int32x4_t sums[kHeight][4];
#pragma GCC unroll 16
    for (int r = 0; r < kHeight; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < 4; ++v) sums[r][v] = rows.fresh ? vdupq_n_s32(0) : vld1q_s32(rows.sums[r] + 4 * v);
    for (; pairs >= 2; pairs -= 2) {
      int8x16_t w[4];
#pragma GCC unroll 16
      for (int v = 0; v < 4; ++v) w[v] = vld1q_s8(reinterpret_cast<const std::int8_t*>(rows.weight) + 16 * v);
      rows.weight += kPanelBytes;
#pragma GCC unroll 16
      for (int r = 0; r < kHeight; ++r) {
        const int8x16_t a = pair(rows.x[r]), b = pair(rows.x[r] + 2);
        rows.x[r] += 4;
#pragma GCC unroll 16
        for (int v = 0; v < 2; ++v) {
          const int16x8_t low = vmull_s8(vget_low_s8(w[v]), vget_low_s8(a)), high = vmull_high_s8(w[v], a);
          sums[r][2 * v] = vpadalq_s16(sums[r][2 * v], vmlal_s8(low, vget_low_s8(w[v + 2]), vget_low_s8(b)));
          sums[r][2 * v + 1] = vpadalq_s16(sums[r][2 * v + 1], vmlal_high_s8(high, w[v + 2], b));
        }
      }
    }
    if (pairs > 0) add_pair(sums, rows);
#pragma GCC unroll 16
    for (int r = 0; r < kHeight; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < 4; ++v) vst1q_s32(rows.sums[r] + 4 * v, sums[r][v]);
  }

 private:
  /// The last one of an odd number.
  template <int kHeight>
  VOXSHIFT_INLINE void add_pair(int32x4_t (&sums)[kHeight][4], const NarrowArmRows<Sum, kHeight>& rows) {
#pragma GCC unroll 16
    for (int v = 0; v < 2; ++v) {
      const int8x16_t w = vld1q_s8(reinterpret_cast<const std::int8_t*>(rows.weight) + 16 * v);
#pragma GCC unroll 16
      for (int r = 0; r < kHeight; ++r) {
        const int8x16_t a = pair(rows.x[r]);
        sums[r][2 * v] = vpadalq_s16(sums[r][2 * v], vmull_s8(vget_low_s8(w), vget_low_s8(a)));
        sums[r][2 * v + 1] = vpadalq_s16(sums[r][2 * v + 1], vmull_high_s8(w, a));
      }
    }
  }

  /// The two numbers at p, eight times.
  VOXSHIFT_INLINE int8x16_t pair(const std::byte* p) {
    return vreinterpretq_s8_s16(vld1q_dup_s16(reinterpret_cast<const std::int16_t*>(p)));
  }
};

struct NeonPairsStage : NarrowArmStage<1, 2> {};

}  // namespace

const NarrowProduct kNeonI8{.name = "NEON",
                            .dtype = DType::kI8,
                            .group = 2,
                            .staged_size = 1,
                            .weight_size = 1,
                            .zero = 0,
                            .staged_rows = 96,
                            .stage = narrow_stage<NeonPairsStage>,
                            .multiply = narrow_arm_multiply<NeonPairs>,
                            .fresh = true};

}  // namespace voxshift::cpu
