// Products of f16 by the f16 arithmetic of Armv8.2. Within a stage of kStage channels all is f16: from 0 on, sum =
// fma(x, w, sum), rounded to f16, in the order of the channels. Where a stage ends, its sum is added to the one of f32.
#include <voxshift/kernels_cpu/narrow_arm_tile.h>
#include <voxshift/kernels_cpu/narrow_sets.h>

#include <utility>

namespace voxshift::cpu {
namespace {

/// 16 sums of 8 outputs, 8 rows and 2 weights take 26 registers. FMLA picks lanes of the first 16 registers only.
struct HalfProducts {
  using Sum = float;
  static constexpr int kNumberBytes = 2, kRows = 8, kRowStep = 1;
  static constexpr std::int64_t kStage = 64;

  template <int kHeight>
  VOXSHIFT_INLINE void run(NarrowArmRows<Sum, kHeight>& rows, std::int64_t channels) {
    for (; channels > 0; channels -= kStage) run_stage(rows, channels < kStage ? channels : kStage);
  }

 private:
  static constexpr std::int64_t kChannelBytes = kPanel * 2;

  template <int kHeight>
  VOXSHIFT_INLINE void run_stage(NarrowArmRows<Sum, kHeight>& rows, std::int64_t channels) {
    float16x8_t sums[kHeight][2];
#pragma GCC unroll 16
    for (int r = 0; r < kHeight; ++r) sums[r][0] = sums[r][1] = vdupq_n_f16(0);
    for (; channels >= 8; channels -= 8) {
      float16x8_t x[kHeight];
#pragma GCC unroll 16
      for (int r = 0; r < kHeight; ++r) {
        x[r] = load(rows.x[r]);
        asm("" : "+x"(x[r]));
        rows.x[r] += 16;
      }
      add_channels(sums, x, rows.weight, std::integer_sequence<int, 0, 1, 2, 3, 4, 5, 6, 7>());
      rows.weight += 8 * kChannelBytes;
    }
    for (; channels > 0; --channels) {
      float16x8_t x[kHeight];
#pragma GCC unroll 16
      for (int r = 0; r < kHeight; ++r) {
        x[r] = vld1q_dup_f16(reinterpret_cast<const float16_t*>(rows.x[r]));
        rows.x[r] += 2;
      }
      add_channels(sums, x, rows.weight, std::integer_sequence<int, 0>());
      rows.weight += kChannelBytes;
    }
#pragma GCC unroll 16
    for (int r = 0; r < kHeight; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < 2; ++v) {
        float* const to = rows.sums[r] + 8 * v;
        const float32x4_t low = rows.fresh ? vdupq_n_f32(0) : vld1q_f32(to);
        const float32x4_t high = rows.fresh ? vdupq_n_f32(0) : vld1q_f32(to + 4);
        vst1q_f32(to, vaddq_f32(low, vcvt_f32_f16(vget_low_f16(sums[r][v]))));
        vst1q_f32(to + 4, vaddq_f32(high, vcvt_high_f32_f16(sums[r][v])));
      }
    rows.fresh = false;
  }

  template <int kHeight, int... kLanes>
  VOXSHIFT_INLINE void add_channels(float16x8_t (&sums)[kHeight][2], const float16x8_t (&x)[kHeight],
                                    const std::byte* weight, std::integer_sequence<int, kLanes...> /*lanes*/) {
    (add_channel<kLanes>(sums, x, weight + kLanes * kChannelBytes), ...);
  }

  template <int kLane, int kHeight>
  VOXSHIFT_INLINE void add_channel(float16x8_t (&sums)[kHeight][2], const float16x8_t (&x)[kHeight],
                                   const std::byte* weight) {
    const float16x8_t w[2] = {load(weight), load(weight + 16)};
#pragma GCC unroll 16
    for (int r = 0; r < kHeight; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < 2; ++v) sums[r][v] = add<kLane>(sums[r][v], w[v], x[r]);
  }

  /// vfmaq_laneq_f16, for which GCC copies a lane that is used twice to a register of its own first.
  template <int kLane>
  VOXSHIFT_INLINE float16x8_t add(float16x8_t sums, float16x8_t weight, float16x8_t x) {
    asm("fmla %0.8h, %1.8h, %2.h[%3]" : "+w"(sums) : "w"(weight), "x"(x), "i"(kLane));
    return sums;
  }

  VOXSHIFT_INLINE float16x8_t load(const std::byte* p) { return vld1q_f16(reinterpret_cast<const float16_t*>(p)); }
};

struct HalfStage : NarrowArmStage<2, 2> {};

}  // namespace

const NarrowProduct kNeonF16{.name = "NEON f16",
                             .dtype = DType::kF16,
                             .group = 1,
                             .staged_size = 2,
                             .weight_size = 2,
                             .zero = 0,
                             .staged_rows = 96,
                             .stage = narrow_stage<HalfStage>,
                             .multiply = narrow_arm_multiply<HalfProducts>,
                             .fresh = true};

}  // namespace voxshift::cpu
