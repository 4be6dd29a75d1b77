// Products of i8 by AVX-512BW: numbers are widened to i16, of which vpmaddwd multiplies and sums two, exactly.
#include <immintrin.h>
#include <voxshift/kernels_cpu/narrow_sets.h>
#include <voxshift/kernels_cpu/narrow_tile.h>

namespace voxshift::cpu {
namespace {

struct Avx512Pairs {
  using Sum = __m512i;
  using Word = __m512i;
  using Weight = __m512i;
  static constexpr int kPanelVectors = 1;
  static constexpr int kMostPanels = 4;
  static constexpr int kNumberBytes = 1;
  static constexpr int rows(int panels) { return panels == 4 ? 6 : 8; }

  VOXSHIFT_INLINE Sum load(const std::byte* p) { return _mm512_load_si512(p); }
  VOXSHIFT_INLINE void store(Sum sum, std::byte* p) { _mm512_store_si512(p, sum); }
  VOXSHIFT_INLINE Sum zero() { return _mm512_setzero_si512(); }
  VOXSHIFT_INLINE Sum start(Sum sum, const std::byte*) { return sum; }
  VOXSHIFT_INLINE Weight weight(const std::byte* p) { return load(p); }
  VOXSHIFT_INLINE Word broadcast(const std::byte* p) { return _mm512_set1_epi32(narrow_word(p)); }
  VOXSHIFT_INLINE Sum multiply(Word x, Weight w, Sum sum) { return _mm512_add_epi32(sum, _mm512_madd_epi16(x, w)); }

  VOXSHIFT_INLINE void copy(const std::byte* from, std::int64_t channels, std::byte* to) {
    constexpr std::int64_t kStep = 32;
    std::int64_t c = 0;
    for (; c + kStep <= channels; c += kStep)
      _mm512_storeu_si512(to + 2 * c,
                          _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + c))));
    if (c == channels) return;
    const auto left = static_cast<__mmask32>((std::uint32_t{1} << (channels - c)) - 1);
    _mm512_storeu_si512(to + 2 * c, _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(left, from + c)));
  }
};

}  // namespace

const NarrowProduct kAvx512I8 = narrow_table<Avx512Pairs>("AVX-512BW", DType::kI8, 2, 2, 2, 0, 96);

}  // namespace voxshift::cpu
