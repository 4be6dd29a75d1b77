// The window, made of Open3D's Visualizer. Its headers compile slowly: nothing else includes them.
#include <open3d/geometry/Image.h>
#include <open3d/geometry/PointCloud.h>
#include <open3d/utility/Logging.h>
#include <open3d/visualization/visualizer/Visualizer.h>

#include <chrono>
#include <cmath>
#include <optional>
#include <thread>

#include "point_window.h"

namespace voxshift {
namespace {

constexpr int kWidth = 1280, kHeight = 720;

std::optional<FilmKey> film_key(int key) {
  switch (key) {
    case GLFW_KEY_SPACE:
      return FilmKey::kPlay;
    case GLFW_KEY_RIGHT:
    case GLFW_KEY_N:
      return FilmKey::kNext;
    case GLFW_KEY_LEFT:
    case GLFW_KEY_B:
      return FilmKey::kBack;
    case GLFW_KEY_HOME:
      return FilmKey::kFirst;
    case GLFW_KEY_END:
      return FilmKey::kLast;
    case GLFW_KEY_Q:
    case GLFW_KEY_ESCAPE:
      return FilmKey::kClose;
    default:
      return {};
  }
}

/// Open3D's keys, but for those of the film and R.
class Visualizer final : public open3d::visualization::Visualizer {
 public:
  void put(const ColouredPoints& points, const std::string& title) {
    const std::size_t n = points.xyz.size() / 3;
    cloud_->points_.resize(n);
    cloud_->colors_.resize(n);
    for (std::size_t i = 0; i < 3 * n; ++i) {
      cloud_->points_[i / 3][static_cast<Eigen::Index>(i % 3)] = points.xyz[i];
      cloud_->colors_[i / 3][static_cast<Eigen::Index>(i % 3)] = points.rgb[i] / 255.0;
    }
    extent_ = points.extent;
    window_name_ = title;
    UpdateWindowTitle();
    const bool first = !HasGeometry() && n > 0;  // nothing of Open3D's takes a cloud without points
    if (first) {
      GetRenderOption().SetPointSize(n < 60'000 ? 3 : 2);
      AddGeometry(cloud_);
      look_from_behind();
    } else if (HasGeometry()) {
      UpdateGeometry(cloud_);
    }
    UpdateRender();
  }

  std::vector<FilmKey> pressed;

 private:
  void KeyPressCallback(GLFWwindow* window, int key, int scancode, int action, int mods) override {
    const auto ours = film_key(key);
    if (ours) {
      if (action != GLFW_RELEASE) pressed.push_back(*ours);
    } else if (key == GLFW_KEY_R) {
      if (action == GLFW_PRESS) look_from_behind();
    } else {
      open3d::visualization::Visualizer::KeyPressCallback(window, key, scancode, action, mods);
    }
  }

  /// Open3D's distances are parts of the box that it was given: here the extent, not the strays beyond.
  void look_from_behind() {
    const Eigen::Vector3d middle(extent_.x, extent_.y, extent_.z), half = Eigen::Vector3d::Constant(extent_.half);
    // of half: above the car that made a scan of a street, outside an object, a room or a tile of land
    const double distance = extent_.has_sensor && extent_.half > 5 ? 0.65 : 1.6;
    auto& control = GetViewControl();
    control.Reset();
    control.ResetBoundingBox();
    control.FitInGeometry(PointCloud({middle - half, middle + half}));
    control.SetFront({-1, 0, 0.5});
    control.SetUp({0, 0, 1});
    control.SetLookat(middle + Eigen::Vector3d(0.12 * extent_.half, 0, 0));
    control.SetZoom(distance / 2 * std::tan(control.GetFieldOfView() / 2 * M_PI / 180));
    UpdateRender();
  }

  using PointCloud = open3d::geometry::PointCloud;
  std::shared_ptr<PointCloud> cloud_ = std::make_shared<PointCloud>();
  ScanExtent extent_;
};

class Window final : public PointWindow {
 public:
  bool open(const std::string& title, bool visible) {
    if (!visualizer_.CreateVisualizerWindow(title, kWidth, kHeight, 50, 50, visible)) return false;
    // between sidewalk, the darkest of the large classes, and poles, the brightest
    visualizer_.GetRenderOption().background_color_ = Eigen::Vector3d(0.22, 0.23, 0.25);
    return true;
  }

  void show(const ColouredPoints& points, const std::string& title) override { visualizer_.put(points, title); }

  bool poll(std::vector<FilmKey>& pressed) override {
    std::this_thread::sleep_for(std::chrono::duration<double>(1.0 / 60));
    const bool stays = visualizer_.PollEvents();
    pressed.insert(pressed.end(), visualizer_.pressed.begin(), visualizer_.pressed.end());
    visualizer_.pressed.clear();
    return stays;
  }

  Image picture() override {
    const auto floats = visualizer_.CaptureScreenFloatBuffer();
    Image image{floats->height_, floats->width_, {}};
    const auto* const values = reinterpret_cast<const float*>(floats->data_.data());
    for (std::int64_t i = 0; i < 3 * image.height * image.width; ++i)
      image.pixels.push_back(static_cast<std::uint8_t>(std::lround(255 * values[i])));
    return image;
  }

 private:
  Visualizer visualizer_;
};

}  // namespace
}  // namespace voxshift

void voxshift_open3d_open(const std::string& title, bool visible, std::unique_ptr<voxshift::PointWindow>& window) {
  open3d::utility::SetVerbosityLevel(open3d::utility::VerbosityLevel::Error);
  auto opened = std::make_unique<voxshift::Window>();
  if (opened->open(title, visible)) window = std::move(opened);
}
