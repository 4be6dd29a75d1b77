// How several rows become one.
#pragma once

namespace voxshift {

/// Reduction of rows that share a coordinate or segment, taken in input order. kNone takes no repeats.
enum class Reduce { kNone, kFirst, kSum, kMean, kMax };

}  // namespace voxshift
