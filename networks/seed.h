// What random weights come from.
#pragma once

#include <cstdint>
#include <optional>

namespace voxshift {

/// The seed of a network's random weights. None: its tensors have their shapes and no contents, for those who put
/// trained ones in their places.
using Seed = std::optional<std::uint64_t>;

}  // namespace voxshift
