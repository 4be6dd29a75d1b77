// Length and duration from the header of a video container, which OpenCV does not tell.
#pragma once

#include <cstdint>
#include <filesystem>

namespace voxshift {

/// 0 where the file does not say.
struct VideoContainer {
  std::uintmax_t claimed_bytes = 0;  ///< where its last element ends: beyond the file's end where that was cut off
  double shown_seconds = 0;          ///< MP4 and its kin: of the pictures that its edit list shows
};

/// Of MP4, MOV (ISO 14496-12), Matroska, WebM (RFC 9559) and AVI; other files say nothing.
VideoContainer read_container(const std::filesystem::path& file);

}  // namespace voxshift
