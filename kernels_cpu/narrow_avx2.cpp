// Products of i8 by AVX2: numbers are widened to i16, of which vpmaddwd multiplies and sums two, exactly.
#include <immintrin.h>
#include <voxshift/kernels_cpu/narrow_sets.h>
#include <voxshift/kernels_cpu/narrow_tile.h>

namespace voxshift::cpu {
namespace {

// 12 sums, 2 vectors of weights, a word and a product: 16 registers.
struct Avx2Pairs {
  using Sum = __m256i;
  using Word = __m256i;
  using Weight = __m256i;
  static constexpr int kPanelVectors = 2;
  static constexpr int kMostPanels = 1;
  static constexpr int kNumberBytes = 1;
  static constexpr int rows(int) { return 6; }

  VOXSHIFT_INLINE Sum load(const std::byte* p) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(p)); }
  VOXSHIFT_INLINE void store(Sum sum, std::byte* p) { _mm256_store_si256(reinterpret_cast<__m256i*>(p), sum); }
  VOXSHIFT_INLINE Sum zero() { return _mm256_setzero_si256(); }
  VOXSHIFT_INLINE Sum start(Sum sum, const std::byte*) { return sum; }
  VOXSHIFT_INLINE Weight weight(const std::byte* p) { return load(p); }
  VOXSHIFT_INLINE Word broadcast(const std::byte* p) { return _mm256_set1_epi32(narrow_word(p)); }
  VOXSHIFT_INLINE Sum multiply(Word x, Weight w, Sum sum) { return _mm256_add_epi32(sum, _mm256_madd_epi16(x, w)); }

  VOXSHIFT_INLINE void copy(const std::byte* from, std::int64_t channels, std::byte* to) {
    constexpr std::int64_t kStep = 16;
    std::int64_t c = 0;
    for (; c + kStep <= channels; c += kStep) widen(from + c, to + 2 * c);
    if (c == channels) return;
    alignas(16) std::byte some[kStep] = {};
    __builtin_memcpy(some, from + c, static_cast<std::size_t>(channels - c));
    widen(some, to + 2 * c);
  }
  VOXSHIFT_INLINE void widen(const std::byte* from, std::byte* to) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_cvtepi8_epi16(bytes));
  }
};

}  // namespace

const NarrowProduct kAvx2I8 = narrow_table<Avx2Pairs>("AVX2", DType::kI8, 2, 2, 2, 0, 96);

}  // namespace voxshift::cpu
