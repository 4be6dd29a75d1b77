// The arithmetic of the emulated tensor cores, in a source of its own: most of an emulated network's time is spent
// there, so it is optimized and without sanitizers in every build.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace voxshift::cuda::emulated {

using Words = std::array<std::array<std::uint32_t, 12>, 32>;  ///< what the lanes of a warp hold
using Product = std::array<std::array<double, 8>, 16>;

/// The product a * b of a fragment [16, K] and one [K, 8], K = 32 bytes, whose words of lane l are lanes[l][..]
/// from `a` and `b` on. With k = P (4 h + p) + e, P elements to a word, lane 4 g + p holds in word 2 h + r / 8 of a the
/// elements e of row r, r % 8 = g, and in word h of b those of column g. Of floats, the TF32 part counts; bytes are i8.
Product product_of_halves(const Words& lanes, std::size_t a, std::size_t b);
Product product_of_floats(const Words& lanes, std::size_t a, std::size_t b);
Product product_of_bytes(const Words& lanes, std::size_t a, std::size_t b);

/// Adds a lane's part of a product, cut off to a float as tensor cores do it.
void add(float (&d)[4], const Product& product, std::size_t lane);

/// The same of whole numbers, exact.
void add(std::int32_t (&d)[4], const Product& product, std::size_t lane);

}  // namespace voxshift::cuda::emulated
