#include <immintrin.h>
#include <voxshift/kernels_cpu/row_quads.h>

namespace voxshift::cpu {
namespace {

constexpr std::int64_t kPixelBytes = 64, kPanelChannels = 16;

struct End {
  __m512 multiplier, bias, inverse, low, high;

  End(const QuadEnd& end, std::int64_t panel) {
    const std::int64_t first = panel * kPanelChannels, left = end.channels - first;
    const auto present = static_cast<__mmask16>(left >= kPanelChannels ? 0xFFFF : (1 << left) - 1);
    multiplier = end.multiplier != nullptr ? _mm512_loadu_ps(end.multiplier + first) : _mm512_setzero_ps();
    bias = end.bias != nullptr ? _mm512_loadu_ps(end.bias + first) : _mm512_setzero_ps();
    inverse = _mm512_maskz_loadu_ps(present, end.inverse + first);
    // clamp(x) * inverse = clamp(x * inverse) with bounds times inverse, since products are rounded monotonously
    const __m512 most = _mm512_set1_ps(127);
    low = _mm512_max_ps(_mm512_sub_ps(_mm512_setzero_ps(), most), _mm512_mul_ps(_mm512_set1_ps(end.low), inverse));
    high = _mm512_min_ps(most, _mm512_mul_ps(_mm512_set1_ps(end.high), inverse));
  }

  /// In each lane a number whose last byte is the result + 128: 1.5 * 2^23 has an ulp of 1.
  __m512i operator()(__m512i sum) const {
    const __m512 value = _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), multiplier), bias);
    return rounded(_mm512_min_ps(high, _mm512_max_ps(low, _mm512_mul_ps(value, inverse))));
  }
  __m512i of_value(__m512 value) const {
    const __m512 most = _mm512_set1_ps(127), scaled = _mm512_mul_ps(value, inverse);
    const __mmask16 number = _mm512_cmp_ps_mask(scaled, scaled, _CMP_ORD_Q);
    const __m512 least = _mm512_sub_ps(_mm512_setzero_ps(), most);
    return rounded(_mm512_min_ps(most, _mm512_max_ps(least, _mm512_maskz_mov_ps(number, scaled))));
  }
  static __m512i rounded(__m512 x) { return _mm512_castps_si512(_mm512_add_ps(x, _mm512_set1_ps(0x1.8p23f + 128))); }
};

void start(const QuadRing& ring, std::int64_t panels) {
  const __m512i zero = _mm512_set1_epi8(static_cast<char>(0x80));
  for (std::int64_t p = 0; p < panels; ++p) {
    _mm512_storeu_si512(ring.panel(p), zero);
    _mm512_storeu_si512(ring.panel(p) + (ring.width + 1) * kPixelBytes, zero);
  }
}

/// Calls run(entry, pixel, count) for entries that are neighbours in one row.
template <class Run>
inline void for_runs(const QuadFill& fill, std::int64_t width, const Run& run) {
  for (std::int64_t i = 0; i < fill.count;) {
    const std::int64_t pixel = fill.pixels != nullptr ? fill.pixels[i] : fill.first + i;
    const std::int64_t row_left = width - pixel % width, left = fill.count - i;
    const std::int64_t most = left < row_left ? left : row_left;
    std::int64_t n = fill.pixels != nullptr ? 1 : most;
    while (n < most && fill.pixels[i + n] == pixel + n) ++n;
    run(i, pixel, n);
    i += n;
  }
}

template <bool kValues>
void fill_rows(const QuadRing& ring, const QuadFill& fill) {
  for (std::int64_t p = 0; p < fill.panels; ++p) {
    const End end(fill.end, p);
    std::byte* const panel = ring.panel(p) + kPixelBytes;
    const auto* const numbers = static_cast<const std::int32_t*>(fill.sums) + p * kPanelChannels;
    const std::int64_t stride = fill.stride;
    for_runs(fill, ring.width, [&](std::int64_t entry, std::int64_t pixel, std::int64_t count) {
      const int slot = static_cast<int>(pixel / ring.width & 3);
      const __m128i shift = _mm_cvtsi32_si128(8 * slot);
      const __mmask64 bytes = _cvtu64_mask64(std::uint64_t{0x1111111111111111} << slot);
      const std::int32_t* from = numbers + entry * stride;
      std::byte* to = panel + pixel % ring.width * kPixelBytes;
      for (std::int64_t n = 0; n < count; ++n, from += stride, to += kPixelBytes) {
        const __m512i sum = _mm512_loadu_si512(from);
        const __m512i number = kValues ? end.of_value(_mm512_castsi512_ps(sum)) : end(sum);
        const __m512i moved = _mm512_sll_epi32(number, shift);
        _mm512_mask_storeu_epi8(to, bytes, moved);
      }
    });
  }
}

void filter_row(const QuadRing& ring, const QuadFilter& f) {
  const std::int64_t top = f.y * f.step - 1;
  std::uint32_t rows = 0;
  for (int i = 0; i < 3; ++i)
    if (top + i >= 0 && top + i < f.height) rows |= 0xFFu << 8 * i;
  const __m512i present = _mm512_set1_epi32(static_cast<int>(rows)), zero = _mm512_set1_epi8(static_cast<char>(0x80));
  const __m512i rotation = _mm512_set1_epi32(static_cast<int>(8 * (top & 3)));
  for (std::int64_t p = 0; p < f.panels; ++p) {
    const End end(f.end, p);
    __m512i weight[3], zeros = _mm512_setzero_si512();
    for (int j = 0; j < 3; ++j) {
      weight[j] = _mm512_and_si512(present, _mm512_loadu_si512(f.weights + p * kQuadPanelBytes + j * 64));
      zeros = _mm512_dpbusd_epi32(zeros, zero, weight[j]);
      weight[j] = _mm512_rolv_epi32(weight[j], rotation);
    }
    const __m512i head = _mm512_sub_epi32(_mm512_setzero_si512(), zeros);
    const std::byte* const panel = ring.panel(p);
    std::byte* to = f.to + p * kPanelChannels;
    const auto output = [&](std::int64_t x) {
      const std::byte* const from = panel + x * f.step * kPixelBytes;
      __m512i sum = _mm512_dpbusd_epi32(head, _mm512_loadu_si512(from), weight[0]);
      sum = _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(from + kPixelBytes), weight[1]);
      sum = _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(from + 2 * kPixelBytes), weight[2]);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(end(sum)));
      to += f.to_stride;
    };
    if (f.pixels == nullptr) {
      for (std::int64_t x = 0; x < f.count; ++x) output(x);
    } else {
      for (std::int64_t i = 0; i < f.count; ++i) output(f.pixels[i] - f.y * f.out_width);
    }
  }
}

}  // namespace

const QuadKernels kVnniQuads{start, fill_rows<false>, fill_rows<true>, filter_row};

}  // namespace voxshift::cpu
