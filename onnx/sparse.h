// Coordinates of voxels, and sparse convolutions as NVIDIA's and Autoware's exporters write them.
#pragma once

#include <voxshift/onnx/call.h>

namespace voxshift::onnx {

/// The elements of numbers at these indices, one list per axis.
Constant taken(const Call& call, const Constant& from, const std::vector<std::vector<std::int64_t>>& indices);

/// Some columns of the call's coordinates; `flat`: of a single one [rows].
void give_columns(Call& call, const std::vector<std::int64_t>& columns, bool flat);

/// Coordinates, and zeros for a batch, side by side.
void give_joined_coordinates(Call& call);

/// A row per frame for all pixels of images of this extent.
Part spread_over(const Call& call, const Part& part, Extent2d extent);

/// Whether the file has sparse convolutions, and then what its inputs are.
bool is_sparse(const onnx_file::Graph& graph);
void take_sparse_inputs(Reading& reading, const onnx_file::Graph& graph);

/// The image of a grid of voxels, seen along the axis that lies among the channels.
Part seen_from_above(const Call& call, const Part& part);

}  // namespace voxshift::onnx
