#include <voxshift/kernels_cuda/emulation/mma.h>

#include <cmath>
#include <cstring>
#include <stdexcept>

namespace voxshift::cuda::emulated {
namespace {

// The element e of a word that holds kPerWord.
template <std::size_t kPerWord, bool kBfloat>
double element(std::uint32_t word, std::size_t e) {
  if constexpr (kBfloat) {
    const std::uint32_t bits = word >> 16 * e << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
  } else if constexpr (kPerWord == 2) {
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

template <std::size_t kPerWord, bool kBfloat = false>
Product product_of(const Words& lanes, std::size_t a, std::size_t b) {
  constexpr std::size_t kDepth = 8 * kPerWord;
  double left[16][kDepth], right[kDepth][8];
  for (std::size_t k = 0; k < kDepth; ++k) {
    const std::size_t h = k / 4 / kPerWord, p = k / kPerWord % 4, e = k % kPerWord;
    for (std::size_t r = 0; r < 16; ++r)
      left[r][k] = element<kPerWord, kBfloat>(lanes[r % 8 * 4 + p][a + 2 * h + r / 8], e);
    for (std::size_t c = 0; c < 8; ++c) right[k][c] = element<kPerWord, kBfloat>(lanes[c * 4 + p][b + h], e);
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
Product product_of_bfloats(const Words& lanes, std::size_t a, std::size_t b) {
  return product_of<2, true>(lanes, a, b);
}
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

std::uint32_t SharedMatrix::row_bytes() const {
  const std::uint64_t layout = descriptor >> 62;
  if (layout != 1 && layout != 2) throw std::logic_error("a layout of wgmma that is not emulated");
  return layout == 1 ? 128 : 64;
}

const unsigned char* SharedMatrix::at(std::uint32_t linear) const {
  const std::uint32_t permuted = linear ^ (linear >> 7 & (row_bytes() / 16 - 1)) << 4;
  if (permuted < address || permuted - address + 16 > shared.size())
    throw std::logic_error("wgmma reads outside of shared memory");
  return shared.data() + (permuted - address);
}

const unsigned char* SharedMatrix::chunk_of_row(std::uint32_t r, std::uint32_t chunk) const {
  const auto start = static_cast<std::uint32_t>(descriptor & 0x3fff) * 16,
             stride = static_cast<std::uint32_t>(descriptor >> 32 & 0x3fff) * 16;
  return at(start + r / 8 * stride + r % 8 * row_bytes() + chunk * 16);
}

const unsigned char* SharedMatrix::chunk_of_depth(std::uint32_t k, std::uint32_t chunk) const {
  const auto start = static_cast<std::uint32_t>(descriptor & 0x3fff) * 16,
             leading = static_cast<std::uint32_t>(descriptor >> 16 & 0x3fff) * 16,
             stride = static_cast<std::uint32_t>(descriptor >> 32 & 0x3fff) * 16;
  const std::uint32_t of_row = row_bytes() / 16;
  return at(start + chunk / of_row * leading + k / 8 * stride + k % 8 * row_bytes() + chunk % of_row * 16);
}

void WarpgroupProduct::make() {
  if (!panels.empty()) return;
  const auto halves = [](const unsigned char* chunk, double* numbers) {
    _Float16 read[8];
    std::memcpy(read, chunk, sizeof(read));
    for (std::size_t i = 0; i < 8; ++i) numbers[i] = static_cast<float>(read[i]);
  };
  double left[16][16];
  for (std::uint32_t r = 0; r < 16; ++r)
    for (std::uint32_t c = 0; c < 2; ++c) halves(a.chunk_of_row(16 * warp + r, c), left[r] + 8 * c);
  for (std::uint32_t p = 0; p < columns / 8; ++p) {
    Product product{};
    for (std::uint32_t k = 0; k < 16; ++k) {
      double right[8];
      halves(b.chunk_of_depth(k, p), right);
      for (std::size_t r = 0; r < 16; ++r)
        for (std::size_t c = 0; c < 8; ++c) product[r][c] += left[r][k] * right[c];
    }
    panels.push_back(product);
  }
}

}  // namespace voxshift::cuda::emulated
