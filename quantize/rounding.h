// What i8 makes of f32: rows and weights rounded to the numbers that they will stand for.
#pragma once

#include <voxshift/graph/graph.h>
#include <voxshift/tensor/row_view.h>

#include <cstdint>
#include <string>
#include <vector>

namespace voxshift {

/// Writes x as i8 would keep it, f32 to f32: to_i8(x, 1 / scale[c]) * scale[c]. x and y may be the same rows.
void round_rows(const ConstRowView& x, const std::vector<float>& scale, const RowView& y);

/// How the weights of an output channel find their scale: the largest becomes 127, or the least squared error.
enum class WeightScale { kMaximum, kLeastSquares };

/// A product's weight in i8, and what that stands for.
struct RoundedWeight {
  Array whole;                    ///< i8, in the shape of the node's tensor
  std::vector<float> multiplier;  ///< by output channel: tensor/narrow.h
  Array rounded;                  ///< f32: whole * multiplier / scale of the input
};

/// The weight of a product whose input has these scales, one per channel: numbers weight[i, o] * scale[i] are rounded
/// to n * multiplier[o]. Throws InvalidArgument naming the node for weights that are not finite.
RoundedWeight rounded_weight(const Node& node, const Parameters& parameters, const std::vector<float>& scale,
                             WeightScale how = WeightScale::kLeastSquares);

}  // namespace voxshift
