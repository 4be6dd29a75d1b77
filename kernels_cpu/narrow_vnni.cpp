// Products of i8 by AVX-512 VNNI: vpdpbusd multiplies and sums four numbers of u8 and i8. Features are staged as
// x + 128, and the head of a panel takes 128 times the sum of its weights off again.
#include <immintrin.h>
#include <voxshift/kernels_cpu/narrow_sets.h>
#include <voxshift/kernels_cpu/narrow_tile.h>

namespace voxshift::cpu {
namespace {

struct Avx512Vnni {
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
  VOXSHIFT_INLINE Sum start(Sum sum, const std::byte* head) { return _mm512_add_epi32(sum, load(head)); }
  VOXSHIFT_INLINE Weight weight(const std::byte* p) { return load(p); }
  VOXSHIFT_INLINE Word broadcast(const std::byte* p) { return _mm512_set1_epi32(narrow_word(p)); }
  VOXSHIFT_INLINE Sum multiply(Word x, Weight w, Sum sum) { return _mm512_dpbusd_epi32(sum, x, w); }

  VOXSHIFT_INLINE void copy(const std::byte* from, std::int64_t channels, std::byte* to) {
    constexpr std::int64_t kStep = 64;
    const __m512i sign = _mm512_set1_epi8(static_cast<char>(0x80));
    std::int64_t c = 0;
    for (; c + kStep <= channels; c += kStep)
      _mm512_storeu_si512(to + c, _mm512_xor_si512(_mm512_loadu_si512(from + c), sign));
    if (c == channels) return;
    const __mmask64 left = (std::uint64_t{1} << (channels - c)) - 1;
    _mm512_storeu_si512(to + c, _mm512_xor_si512(_mm512_maskz_loadu_epi8(left, from + c), sign));
  }
};

}  // namespace

const NarrowProduct kAvx512VnniI8 = narrow_table<Avx512Vnni>("AVX-512 VNNI", DType::kI8, 4, 1, 1, 128, 96);

}  // namespace voxshift::cpu
