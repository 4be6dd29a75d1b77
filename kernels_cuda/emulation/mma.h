// The arithmetic of the emulated tensor cores, in a source of its own: most of an emulated network's time is spent
// there, so it is optimized and without sanitizers in every build.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace voxshift::cuda::emulated {

using Words = std::array<std::array<std::uint32_t, 12>, 32>;  ///< what the lanes of a warp hold
using Product = std::array<std::array<double, 8>, 16>;

/// The product a * b of a fragment [16, K] and one [K, 8], K = 32 bytes, whose words of lane l are lanes[l][..]
/// from `a` and `b` on. With k = P (4 h + p) + e, P elements to a word, lane 4 g + p holds in word 2 h + r / 8 of a the
/// elements e of row r, r % 8 = g, and in word h of b those of column g. Of floats, the TF32 part counts; bytes are i8.
Product product_of_halves(const Words& lanes, std::size_t a, std::size_t b);
Product product_of_bfloats(const Words& lanes, std::size_t a, std::size_t b);
Product product_of_floats(const Words& lanes, std::size_t a, std::size_t b);
Product product_of_bytes(const Words& lanes, std::size_t a, std::size_t b);

/// Adds a lane's part of a product, cut off to a float as tensor cores do it.
void add(float (&d)[4], const Product& product, std::size_t lane);

/// The same of whole numbers, exact.
void add(std::int32_t (&d)[4], const Product& product, std::size_t lane);

/// A matrix of halves in the shared memory of a block, as a descriptor of wgmma says: bits 0 to 13 the start, 16 to 29
/// the leading, 32 to 45 the stride offset, each in 16 bytes, 62 and 63 the layout, 1: rows of 128, 2: of 64 bytes
/// whose 16-byte chunks are permuted by bits 7 and on of their addresses.
struct SharedMatrix {
  std::span<const unsigned char> shared;
  std::uint32_t address;  ///< of shared[0]
  std::uint64_t descriptor;

  /// Eight elements: (r, 8 chunk) and on of a left matrix, (k, 8 chunk) and on of a right one. std::logic_error outside
  /// of shared memory.
  const unsigned char* chunk_of_row(std::uint32_t r, std::uint32_t chunk) const;
  const unsigned char* chunk_of_depth(std::uint32_t k, std::uint32_t chunk) const;

 private:
  std::uint32_t row_bytes() const;
  const unsigned char* at(std::uint32_t linear) const;
};

/// Rows 16 warp .. 16 warp + 15 of a product of a warpgroup, made by the first lane that needs it.
struct WarpgroupProduct {
  SharedMatrix a, b;  ///< 64 x 16 and 16 x columns
  std::uint32_t warp, columns;
  std::vector<Product> panels;  ///< of 8 columns; empty: not made yet

  void make();
};

}  // namespace voxshift::cuda::emulated
