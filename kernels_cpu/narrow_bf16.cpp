// Products of bf16 by AVX512-BF16: vdpbf16ps multiplies two numbers and adds them to a sum of f32.
#include <immintrin.h>
#include <voxshift/kernels_cpu/narrow_sets.h>
#include <voxshift/kernels_cpu/narrow_tile.h>

namespace voxshift::cpu {
namespace {

struct Avx512Bf16Pairs {
  using Sum = __m512;
  using Word = __m512i;
  using Weight = __m512i;
  static constexpr int kPanelVectors = 1;
  static constexpr int kMostPanels = 4;
  static constexpr int kNumberBytes = 2;
  static constexpr int rows(int panels) { return panels == 4 ? 6 : 8; }

  VOXSHIFT_INLINE Sum load(const std::byte* p) { return _mm512_load_ps(p); }
  VOXSHIFT_INLINE void store(Sum sum, std::byte* p) { _mm512_store_ps(p, sum); }
  VOXSHIFT_INLINE Sum zero() { return _mm512_setzero_ps(); }
  VOXSHIFT_INLINE Sum start(Sum sum, const std::byte*) { return sum; }
  VOXSHIFT_INLINE Weight weight(const std::byte* p) { return _mm512_load_si512(p); }
  VOXSHIFT_INLINE Word broadcast(const std::byte* p) { return _mm512_set1_epi32(narrow_word(p)); }
  VOXSHIFT_INLINE Sum multiply(Word x, Weight w, Sum sum) { return _mm512_dpbf16_ps(sum, (__m512bh)x, (__m512bh)w); }

  VOXSHIFT_INLINE void copy(const std::byte* from, std::int64_t channels, std::byte* to) {
    constexpr std::int64_t kStep = 32;
    std::int64_t c = 0;
    for (; c + kStep <= channels; c += kStep) _mm512_storeu_si512(to + 2 * c, _mm512_loadu_si512(from + 2 * c));
    if (c == channels) return;
    const auto left = static_cast<__mmask32>((std::uint32_t{1} << (channels - c)) - 1);
    _mm512_storeu_si512(to + 2 * c, _mm512_maskz_loadu_epi16(left, from + 2 * c));
  }
};

}  // namespace

const NarrowProduct kAvx512Bf16 = narrow_table<Avx512Bf16Pairs>("AVX512-BF16", DType::kBF16, 2, 2, 2, 0, 96);

}  // namespace voxshift::cpu
