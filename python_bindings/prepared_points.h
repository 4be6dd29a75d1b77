// What functions that take a scan's points know of them.
#pragma once

#include <voxshift/tasks/prepare_points.h>
#include <voxshift/tensor/shape.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace voxshift::python {

using Origin = std::array<double, 3>;

/// Throws InvalidArgument, which names `op`, for an unknown sensor and a scale that is not above 0.
PrepareOptions prepare_options(const std::string& op, const std::optional<std::string>& sensor,
                               std::optional<float> remission_scale, const std::optional<Origin>& origin);

/// Throws InvalidArgument for a shape that looks like a column per point.
void check_points_are_rows(const std::string& op, const Shape& shape, std::int64_t columns);

/// A UserWarning for each note. With the GIL.
void warn(const std::string& op, const std::vector<std::string>& notes);

}  // namespace voxshift::python
