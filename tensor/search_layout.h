// The key layout for building a kernel map: wide enough for every coordinate that the window reaches.
#pragma once

#include <voxshift/tensor/level.h>

namespace voxshift {

/// A layout that keeps every sought coordinate coarse * stride + offset apart from the present ones: the fine one where
/// it does, else one that holds both. Throws InvalidArgument where a sought coordinate leaves 32 bits.
KeyLayout search_layout(const Level& fine, const Level& coarse, const Window& window);

}  // namespace voxshift
