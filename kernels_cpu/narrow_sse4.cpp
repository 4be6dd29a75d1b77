// Products of i8 by SSE4: numbers are widened to i16, of which pmaddwd multiplies and sums two, exactly.
#include <immintrin.h>
#include <voxshift/kernels_cpu/narrow_sets.h>
#include <voxshift/kernels_cpu/narrow_tile.h>

namespace voxshift::cpu {
namespace {

struct Sse4Pairs {
  using Sum = __m128i;
  using Word = __m128i;
  using Weight = __m128i;
  static constexpr int kPanelVectors = 4;
  static constexpr int kMostPanels = 1;
  static constexpr int kNumberBytes = 1;
  static constexpr int rows(int) { return 3; }

  VOXSHIFT_INLINE Sum load(const std::byte* p) { return _mm_load_si128(reinterpret_cast<const __m128i*>(p)); }
  VOXSHIFT_INLINE void store(Sum sum, std::byte* p) { _mm_store_si128(reinterpret_cast<__m128i*>(p), sum); }
  VOXSHIFT_INLINE Sum zero() { return _mm_setzero_si128(); }
  VOXSHIFT_INLINE Sum start(Sum sum, const std::byte*) { return sum; }
  VOXSHIFT_INLINE Weight weight(const std::byte* p) { return load(p); }
  VOXSHIFT_INLINE Word broadcast(const std::byte* p) { return _mm_set1_epi32(narrow_word(p)); }
  VOXSHIFT_INLINE Sum multiply(Word x, Weight w, Sum sum) { return _mm_add_epi32(sum, _mm_madd_epi16(x, w)); }

  VOXSHIFT_INLINE void copy(const std::byte* from, std::int64_t channels, std::byte* to) {
    constexpr std::int64_t kStep = 8;
    std::int64_t c = 0;
    for (; c + kStep <= channels; c += kStep) widen(from + c, to + 2 * c);
    if (c == channels) return;
    alignas(16) std::byte some[kStep] = {};
    __builtin_memcpy(some, from + c, static_cast<std::size_t>(channels - c));
    widen(some, to + 2 * c);
  }
  VOXSHIFT_INLINE void widen(const std::byte* from, std::byte* to) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_cvtepi8_epi16(bytes));
  }
};

}  // namespace

const NarrowProduct kSse4I8 = narrow_table<Sse4Pairs>("SSE4", DType::kI8, 2, 2, 2, 0, 96);

}  // namespace voxshift::cpu
