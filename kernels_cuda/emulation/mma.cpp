#include <voxshift/kernels_cuda/emulation/mma.h>

#include <cmath>
#include <cstring>

namespace voxshift::cuda::emulated {
namespace {

// The element e of a word that holds kPerWord.
template <std::size_t kPerWord>
double element(std::uint32_t word, std::size_t e) {
  if constexpr (kPerWord == 2) {
    const auto bits = static_cast<std::uint16_t>(word >> 16 * e);
    _Float16 value;
    std::memcpy(&value, &bits, 2);
    return static_cast<float>(value);
  } else if constexpr (kPerWord == 4) {
    return static_cast<std::int8_t>(word >> 8 * e);
  } else {
    const std::uint32_t bits = word & 0xffffe000u;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
  }
}

template <std::size_t kPerWord>
Product product_of(const Words& lanes, std::size_t a, std::size_t b) {
  constexpr std::size_t kDepth = 8 * kPerWord;
  double left[16][kDepth], right[kDepth][8];
  for (std::size_t k = 0; k < kDepth; ++k) {
    const std::size_t h = k / 4 / kPerWord, p = k / kPerWord % 4, e = k % kPerWord;
    for (std::size_t r = 0; r < 16; ++r) left[r][k] = element<kPerWord>(lanes[r % 8 * 4 + p][a + 2 * h + r / 8], e);
    for (std::size_t c = 0; c < 8; ++c) right[k][c] = element<kPerWord>(lanes[c * 4 + p][b + h], e);
  }
  Product result;
  for (std::size_t r = 0; r < 16; ++r) {
    double sums[8] = {};
    for (std::size_t k = 0; k < kDepth; ++k)
      for (std::size_t c = 0; c < 8; ++c) sums[c] += left[r][k] * right[k][c];
    for (std::size_t c = 0; c < 8; ++c) result[r][c] = sums[c];
  }
  return result;
}

}  // namespace

Product product_of_halves(const Words& lanes, std::size_t a, std::size_t b) { return product_of<2>(lanes, a, b); }
Product product_of_floats(const Words& lanes, std::size_t a, std::size_t b) { return product_of<1>(lanes, a, b); }
Product product_of_bytes(const Words& lanes, std::size_t a, std::size_t b) { return product_of<4>(lanes, a, b); }

void add(std::int32_t (&d)[4], const Product& product, std::size_t lane) {
  for (std::size_t i = 0; i < 4; ++i)
    d[i] += static_cast<std::int32_t>(product[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2]);
}

void add(float (&d)[4], const Product& product, std::size_t lane) {
  for (std::size_t i = 0; i < 4; ++i) {
    const double exact = double{d[i]} + product[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
    d[i] = static_cast<float>(exact);
    if (std::abs(double{d[i]}) > std::abs(exact)) d[i] = std::nextafter(d[i], 0.0f);
  }
}

}  // namespace voxshift::cuda::emulated
