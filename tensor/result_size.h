// How large a result may be whose size follows from a number, such as a batch index or voxels=, and not from arrays
// that the caller holds already: one wrong number must not take all memory.
#pragma once

#include <voxshift/tensor/error.h>

#include <algorithm>
#include <cstdint>
#include <limits>

namespace voxshift {

/// Clouds of a tensor are numbered 0, 1, 2, ...: at most so many, or as many as the tensor has rows.
inline constexpr std::int64_t kMostClouds = 1 << 16;

/// Of one result, 8 GiB as f32.
inline constexpr std::int64_t kMostNumbers = std::numeric_limits<std::int32_t>::max();

/// Throws InvalidArgument where the highest batch index of `rows` rows makes more than kMostClouds and `rows` clouds.
inline void check_clouds(const char* op, std::int64_t highest_batch, std::int64_t rows) {
  check(highest_batch < std::max(kMostClouds, rows), "[", op, "] batch index ", highest_batch, " of a tensor of ", rows,
        " rows is too high, expected 0 to ", std::max(kMostClouds, rows) - 1, "; number the clouds 0, 1, 2, ...");
}

/// Throws InvalidArgument where `count` times `each` numbers are more than kMostNumbers; `what` names the count.
inline void check_size(const char* op, const char* what, std::int64_t count, std::int64_t each) {
  check(count <= kMostNumbers / std::max<std::int64_t>(each, 1), "[", op, "] ", what, " ", count, " with ", each,
        " numbers each would make a result of more than 2^31 - 1 numbers");
}

}  // namespace voxshift
