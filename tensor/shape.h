// Shapes of arrays.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

namespace voxshift {

using Shape = std::vector<std::int64_t>;

/// "[3, 32]".
std::string to_string(const Shape& shape);

/// The same, as check() prints it: a call that passes builds no text.
std::ostream& operator<<(std::ostream& out, const Shape& shape);

}  // namespace voxshift
