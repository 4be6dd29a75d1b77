// The colour of each class, in files, pictures and the window.
#pragma once

#include <voxshift/tasks/classes.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

namespace voxshift {

using Rgb = std::array<std::uint8_t, 3>;

inline constexpr Rgb kUnlabelledColour = {128, 128, 128};

/// Row = train id; grey where a label has no class.
inline std::array<Rgb, 256> colours_of(std::span<const ClassInfo> classes) {
  std::array<Rgb, 256> colours;
  colours.fill(kUnlabelledColour);
  for (std::size_t id = 0; id < std::min(classes.size(), std::size_t{kUnlabelled}); ++id) colours[id] = classes[id].rgb;
  return colours;
}

}  // namespace voxshift
