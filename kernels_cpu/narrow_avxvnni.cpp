// Products of i8 by AVX-VNNI, of processors without AVX-512; see narrow_vnni.cpp.
#include <immintrin.h>
#include <voxshift/kernels_cpu/narrow_sets.h>
#include <voxshift/kernels_cpu/narrow_tile.h>

namespace voxshift::cpu {
namespace {

struct AvxVnni {
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
  VOXSHIFT_INLINE Sum start(Sum sum, const std::byte* head) { return _mm256_add_epi32(sum, load(head)); }
  VOXSHIFT_INLINE Weight weight(const std::byte* p) { return load(p); }
  VOXSHIFT_INLINE Word broadcast(const std::byte* p) { return _mm256_set1_epi32(narrow_word(p)); }
  VOXSHIFT_INLINE Sum multiply(Word x, Weight w, Sum sum) { return _mm256_dpbusd_avx_epi32(sum, x, w); }

  VOXSHIFT_INLINE void copy(const std::byte* from, std::int64_t channels, std::byte* to) {
    constexpr std::int64_t kStep = 32;
    std::int64_t c = 0;
    for (; c + kStep <= channels; c += kStep) flip(from + c, to + c);
    if (c == channels) return;
    alignas(32) std::byte some[kStep] = {};
    __builtin_memcpy(some, from + c, static_cast<std::size_t>(channels - c));
    flip(some, to + c);
  }
  VOXSHIFT_INLINE void flip(const std::byte* from, std::byte* to) {
    const __m256i sign = _mm256_set1_epi8(static_cast<char>(0x80));
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_xor_si256(bytes, sign));
  }
};

}  // namespace

const NarrowProduct kAvxVnniI8 = narrow_table<AvxVnni>("AVX-VNNI", DType::kI8, 4, 1, 1, 128, 96);

}  // namespace voxshift::cpu
