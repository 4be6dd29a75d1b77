// Reductions of rows: first, sum, mean and maximum.
#pragma once

namespace voxshift {

/// Reduction of rows that share a coordinate or segment, taken in input order. kNone takes no repeats.
enum class Reduce { kNone, kFirst, kSum, kMean, kMax };

/// Whether x takes the place of `best` as the maximum: among equal ones the first stays, and a NaN is the largest of
/// all, so that the maximum of rows with one is NaN, as in torch, in any order and on any device.
constexpr bool exceeds(float x, float best) { return best < x || (x != x && best == best); }

}  // namespace voxshift
