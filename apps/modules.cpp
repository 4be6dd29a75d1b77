// Loads the parts that need OpenCV or Open3D when they are first called. Linked directly, the 160 libraries behind
// OpenCV alone would cost every start of the command some 100 ms and 70 MB.
#include "modules.h"

#include <voxshift/tensor/error.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "canvas.h"
#include "own_files.h"
#include "point_window.h"
#include "system.h"
#include "video_files.h"

namespace voxshift {
namespace {

Module own_module(const char* name) {
  return load_module(
      own_file(std::filesystem::path(VOXSHIFT_MODULE_FOLDER) / name, std::filesystem::path("modules") / name));
}

template <class Function>
Function* module_function(const Module& module, const char* name, const std::string& needed_for) {
  check<BackendUnavailable>(module.handle != nullptr, needed_for, ", which this build does not have (", module.error,
                            ")");
  void* const function = function_of(module, name);
  check<BackendUnavailable>(function != nullptr, needed_for,
                            ", and the module beside this program is another version's");
  return reinterpret_cast<Function*>(function);
}

const Module& opencv_module() {
  static const Module module = own_module("libvoxshift_opencv.so");
  return module;
}

const Module& video_module() {
  static const Module module = own_module("libvoxshift_video.so");
  return module;
}

const Module& open3d_module() {
  static const Module module = own_module("libvoxshift_open3d.so");
  return module;
}

}  // namespace

bool has_opencv() { return opencv_module().handle != nullptr; }

bool has_video() { return video_module().handle != nullptr; }

bool has_open3d() { return open3d_module().handle != nullptr; }

std::unique_ptr<Canvas> make_canvas(int width, int height) {
  if (!has_opencv()) return plain_canvas(width, height);
  std::unique_ptr<Canvas> canvas;
  module_function<decltype(voxshift_opencv_canvas)>(opencv_module(), "voxshift_opencv_canvas", "pictures need OpenCV")(
      width, height, canvas);
  return canvas;
}

std::unique_ptr<FrameReader> open_frames(const std::string& source, const FrameSourceOptions& options) {
  std::unique_ptr<FrameReader> reader;
  module_function<decltype(voxshift_video_open)>(video_module(), "voxshift_video_open",
                                                 source + ": videos need OpenCV")(source, options, reader);
  return reader;
}

std::unique_ptr<FrameWriter> create_video(const std::filesystem::path& path, const VideoFormat& format) {
  std::unique_ptr<FrameWriter> writer;
  module_function<decltype(voxshift_video_create)>(video_module(), "voxshift_video_create",
                                                   path.string() + ": videos need OpenCV")(path, format, writer);
  return writer;
}

Image draw_frame(const RecognizedFrame& frame) {
  Image image;
  module_function<decltype(voxshift_video_draw)>(video_module(), "voxshift_video_draw",
                                                 "[draw_frame] videos need OpenCV")(frame, image);
  return image;
}

std::vector<std::uint8_t> encode_png(std::span<const std::uint8_t> pixels, Extent2d extent) {
  if (!has_video()) return plain_png(pixels, static_cast<int>(extent.width), static_cast<int>(extent.height));
  std::vector<std::uint8_t> png;
  module_function<decltype(voxshift_video_encode_png)>(video_module(), "voxshift_video_encode_png",
                                                       "[encode_png] .png needs OpenCV")(pixels, extent, png);
  return png;
}

std::unique_ptr<PointWindow> open_window(const std::string& title, bool visible) {
  const auto open = module_function<decltype(voxshift_open3d_open)>(
      open3d_module(), "voxshift_open3d_open",
      "[view] needs Open3D (Debian: libopen3d-dev, then build voxshift again)");
  std::unique_ptr<PointWindow> window;
  const bool has_display = std::getenv("DISPLAY") != nullptr || std::getenv("WAYLAND_DISPLAY") != nullptr;
  open(title, visible, window);
  check<BackendUnavailable>(window != nullptr, "[view] needs a display with OpenGL, and found ",
                            has_display ? "one that opens no window" : "none (DISPLAY is not set)",
                            "; pictures need no screen: xvfb-run voxshift view SCAN --save PICTURE.png");
  return window;
}

}  // namespace voxshift
