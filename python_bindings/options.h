// Options as Python users write them: words for enumerators, one number for all axes.
#pragma once

#include <pybind11/stl.h>
#include <voxshift/point_voxel/voxelize.h>
#include <voxshift/sparse_conv/conv.h>
#include <voxshift/tasks/confusion.h>

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace voxshift::python {

using OptionalWord = std::optional<std::string>;

/// One value per spatial axis, or one for all.
using Axes = std::variant<std::int32_t, std::vector<std::int32_t>>;

std::vector<std::int32_t> list_of(const Axes& axes);

/// Extents of `dims` axes, 1 on the others. Throws InvalidArgument when the number of values is neither 1 nor `dims`.
SparseTensor::Extents extents_of(const char* op, const char* what, const Axes& axes, int dims);

/// What ops take that need no features: coordinates, or a tensor in their place.
using AnyCoordinates = std::variant<const Coordinates*, const SparseTensor*>;

inline const Coordinates& coordinates_of(const AnyCoordinates& x) {
  return std::visit([](const auto* given) -> const Coordinates& { return *given; }, x);
}

/// The clouds of an op's arguments; row_splits i32 or i64.
PointSet point_set(const Array& points, const std::optional<Array>& row_splits);

// The enumerator that a word stands for; another word is InvalidArgument, which names `op`. No word: kNone.
Activation activation_of(const char* op, const OptionalWord& word, float negative_slope);
Semantics semantics_of(const char* op, const std::string& word);
Reduce reduce_of(const char* op, const OptionalWord& word);
Rounding rounding_of(const char* op, const std::string& word);
bool from_lowest_of(const char* op, const std::string& origin);
CellAxes axes_of(const char* op, const std::string& axes);
AbsentClass absent_of(const char* op, const std::string& word);

// And back.
std::string word_of(Rounding rounding);
std::string word_of(CellAxes axes);
std::string word_of(Reduce reduce);
std::string origin_word(bool from_lowest);

}  // namespace voxshift::python
