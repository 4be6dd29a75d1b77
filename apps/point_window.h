// The window of `voxshift view`. The boundary to Open3D, which lives in a shared library of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "film.h"
#include "scan_extent.h"
#include "video_files.h"

namespace voxshift {

/// N points as a window draws them.
struct ColouredPoints {
  std::vector<float> xyz;         ///< [N, 3], metres, finite
  std::vector<std::uint8_t> rgb;  ///< [N, 3]
  ScanExtent extent;
};

class PointWindow {
 public:
  virtual ~PointWindow() = default;

  /// Puts the points in place of those before. The camera stands behind and above the first ones, looks along +x, and
  /// stays where the user moves it.
  virtual void show(const ColouredPoints& points, const std::string& title) = 0;

  /// Waits for a sixtieth of a second, does what the mouse wants, draws, and appends the keys that were pressed. False
  /// where the window was closed.
  virtual bool poll(std::vector<FilmKey>& pressed) = 0;

  /// What the window shows, RGB.
  virtual Image picture() = 0;
};

/// Throws BackendUnavailable where this build has no Open3D, and where there is no display.
std::unique_ptr<PointWindow> open_window(const std::string& title, bool visible);

}  // namespace voxshift

/// What libvoxshift_open3d exports. No window where none can be opened.
extern "C" void voxshift_open3d_open(const std::string& title, bool visible,
                                     std::unique_ptr<voxshift::PointWindow>& window);
