// Shapes in motion: a textured polygon over a textured background, seen by a noisy camera.
#include <voxshift/synth/random.h>
#include <voxshift/synth/video.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <random>

namespace voxshift {
namespace {

constexpr double kPi = std::numbers::pi;

// The scene is described for a shorter side of 224 pixels and grows with the frame.
constexpr double kSide = 224;
constexpr double kSmallest = 20, kLargest = 50;  // radius of the shape, pixels
constexpr double kFrameRate = 25;                // speeds are described for so many frames a second

struct Point {
  double x = 0, y = 0;
};

struct Colour {
  double red = 0, green = 0, blue = 0;
};

Colour mix(const Colour& a, const Colour& b, double t) {
  return {a.red + (b.red - a.red) * t, a.green + (b.green - a.green) * t, a.blue + (b.blue - a.blue) * t};
}

/// Smooth values in [0, 1], periodic in both directions: value noise of several octaves on a grid of texels.
class Texture {
 public:
  /// The coarsest octave changes every `cell` texels, each following one twice as often at half the height.
  Texture(Random& random, int cell, int octaves) : values_(kTexels * kTexels) {
    double height = 1;
    for (int octave = 0; octave < octaves; ++octave, cell /= 2, height /= 2) add_octave(random, cell, height);
    const auto [low, high] = std::ranges::minmax(values_);
    for (double& value : values_) value = (value - low) / (high - low);
  }

  /// Bilinear between the texels.
  double at(double x, double y) const {
    const double left = std::floor(x), top = std::floor(y);
    const int column = static_cast<int>(left), row = static_cast<int>(top);
    const double tx = x - left, ty = y - top;
    return (1 - ty) * ((1 - tx) * texel(row, column) + tx * texel(row, column + 1)) +
           ty * ((1 - tx) * texel(row + 1, column) + tx * texel(row + 1, column + 1));
  }

 private:
  static constexpr int kTexels = 256;  // a power of two, so that wrapping is a mask

  static std::size_t index(int row, int column) {
    return static_cast<std::size_t>(row & (kTexels - 1)) * kTexels + static_cast<std::size_t>(column & (kTexels - 1));
  }
  double texel(int row, int column) const { return values_[index(row, column)]; }

  void add_octave(Random& random, int cell, double height) {
    const auto nodes = static_cast<std::size_t>(kTexels / cell);
    std::vector<double> grid(nodes * nodes);
    for (double& value : grid) value = random.uniform(0, 1);
    const auto node = [&](int row, int column) {
      return grid[static_cast<std::size_t>(row) % nodes * nodes + static_cast<std::size_t>(column) % nodes];
    };
    const auto ease = [&](int texel) {
      const double t = static_cast<double>(texel % cell) / cell;
      return t * t * (3 - 2 * t);
    };
    for (int y = 0; y < kTexels; ++y)
      for (int x = 0; x < kTexels; ++x) {
        const int row = y / cell, column = x / cell;
        const double tx = ease(x), ty = ease(y);
        values_[index(y, x)] += height * ((1 - ty) * ((1 - tx) * node(row, column) + tx * node(row, column + 1)) +
                                          ty * ((1 - tx) * node(row + 1, column) + tx * node(row + 1, column + 1)));
      }
  }

  std::vector<double> values_;
};

/// Corners of a shape of radius 1 about the origin: an ellipse, a rectangle, a regular polygon, a star.
std::vector<Point> random_polygon(Random& random) {
  const int kind = random.integer(0, 3);
  const int corners = random.integer(3, 6);
  const double flatness = random.uniform(0.45, 0.75);
  const auto on_circle = [](double turn, double radius) {
    return Point{radius * std::cos(2 * kPi * turn), radius * std::sin(2 * kPi * turn)};
  };
  std::vector<Point> polygon;
  if (kind == 0) {
    for (int i = 0; i < 32; ++i) {
      const Point point = on_circle(i / 32.0, 1);
      polygon.push_back({point.x, flatness * point.y});
    }
  } else if (kind == 1) {
    const double half_width = 1 / std::hypot(1, flatness), half_height = flatness * half_width;
    polygon = {
        {-half_width, -half_height}, {half_width, -half_height}, {half_width, half_height}, {-half_width, half_height}};
  } else {
    const int points = kind == 2 ? corners : 2 * corners;
    for (int i = 0; i < points; ++i)
      polygon.push_back(on_circle(static_cast<double>(i) / points, kind == 3 && i % 2 == 1 ? flatness * 0.8 : 1));
  }
  return polygon;
}

/// Distance of `at` from the border of the polygon, negative inside (even-odd rule).
double signed_distance(const std::vector<Point>& polygon, Point at) {
  double squared = std::numeric_limits<double>::infinity();
  bool inside = false;
  Point from = polygon.back();
  for (const Point& to : polygon) {
    const Point edge{to.x - from.x, to.y - from.y}, there{at.x - from.x, at.y - from.y};
    const double along = (there.x * edge.x + there.y * edge.y) / (edge.x * edge.x + edge.y * edge.y);
    const double t = std::clamp(along, 0.0, 1.0);
    const double dx = there.x - t * edge.x, dy = there.y - t * edge.y;
    squared = std::min(squared, dx * dx + dy * dy);
    if ((from.y > at.y) != (to.y > at.y) && there.x < edge.x * there.y / edge.y) inside = !inside;
    from = to;
  }
  return inside ? -std::sqrt(squared) : std::sqrt(squared);
}

/// x - centre on a circle of `period`: in [-period / 2, period / 2).
double around(double x, double centre, double period) {
  const double distance = x - centre;
  return distance - period * std::floor(distance / period + 0.5);
}

/// Where the shape and the background are in one frame.
struct Pose {
  Point centre;      ///< of the shape, pixels; the frame is a torus
  double angle = 0;  ///< radians, clockwise on the screen
  double radius = 0;
  Point pan;  ///< of the background, pixels
};

/// All that a seed decides. Whatever the label, the same numbers are drawn: clips of one seed and several labels differ
/// in the motion alone. A frame taken at random does not tell the label: place and angle are uniform on circles that
/// the motion turns, and the sizes of the shapes that keep theirs are those that a growing one passes through.
struct Scene {
  Scene(std::uint64_t seed, int motion, const SynthVideoOptions& options)
      : random(seed),
        height(static_cast<double>(options.height)),
        width(static_cast<double>(options.width)),
        scale(std::min(height, width) / kSide),
        pace(kFrameRate / options.frames_per_second),
        last(static_cast<double>(std::max<std::int64_t>(options.frames - 1, 1)) * pace),
        label(motion) {
    start.x = random.uniform(0, width);
    start.y = random.uniform(0, height);
    start_angle = random.uniform(0, 2 * kPi);
    speed = random.uniform(1, 4) * scale;
    turn = random.uniform(2, 6) * kPi / 180;
    const double range = std::log(kLargest / kSmallest);
    travel = std::min(range, random.uniform(0.01, 0.03) * last);
    start_size = random.uniform(0, range - travel);
    kept_size = random.uniform(0, 1);
    const double heading = random.uniform(0, 2 * kPi), pan_speed = random.uniform(0.5, 2) * scale;
    if (options.panning_camera) pan = {pan_speed * std::cos(heading), pan_speed * std::sin(heading)};
    // light on dark or dark on light, each of two colours
    const bool light_shape = random.chance(0.5);
    for (auto* colours : {&ground_colours, &shape_colours}) {
      const bool light = light_shape == (colours == &shape_colours);
      for (Colour& colour : *colours)
        for (double* channel : {&colour.red, &colour.green, &colour.blue})
          *channel = light ? random.uniform(140, 240) : random.uniform(15, 115);
    }
    polygon = random_polygon(random);
  }

  Pose pose(std::int64_t frame) const {
    const double t = static_cast<double>(frame) * pace;
    const auto is = [&](const char* motion) {
      return synth_video_classes()[static_cast<std::size_t>(label)] == motion;
    };
    const auto sign = [&](const char* forward, const char* backward) {
      return is(forward) ? 1.0 : is(backward) ? -1.0 : 0.0;
    };
    const double passed = is("growing") ? t / last : is("shrinking") ? 1 - t / last : kept_size;
    return {{start.x + sign("moving right", "moving left") * speed * t,
             start.y + sign("moving down", "moving up") * speed * t},
            start_angle + sign("turning clockwise", "turning counterclockwise") * turn * t,
            kSmallest * scale * std::exp(start_size + travel * passed),
            {pan.x * t, pan.y * t}};
  }

  Random random;
  double height, width, scale;
  double pace;  ///< time from frame to frame, in 1 / kFrameRate seconds
  double last;  ///< time of the last frame
  int label;
  Point start;
  double start_angle = 0, speed = 0, turn = 0;          ///< radians, pixels and radians per unit of time
  double start_size = 0, travel = 0, kept_size = 0;     ///< logarithms of the size; share of the travel
  Point pan;                                            ///< pixels per unit of time
  std::array<Colour, 2> ground_colours, shape_colours;  ///< where the texture is 0 and 1
  std::vector<Point> polygon;                           ///< of radius 1
};

/// Normal by the central limit: the sum of 8 bytes of one draw, within 4.9 standard deviations.
double normal_of(std::uint64_t bits) {
  constexpr std::uint64_t kLow = 0x00FF00FF00FF00FF;
  const std::uint64_t pairs = (bits & kLow) + ((bits >> 8) & kLow);
  const auto sum = static_cast<double>((pairs * 0x0001000100010001) >> 48);
  constexpr double kMean = 8 * 127.5, kDeviation = 209.02312;  // sqrt(8 (256^2 - 1) / 12)
  return (sum - kMean) / kDeviation;
}

void check_options(const SynthVideoOptions& options) {
  check(options.frames >= 1 && options.frames <= 100000, "[synth_video] expected 1 to 100000 frames, found ",
        options.frames);
  check(options.height >= 16 && options.height <= 4096 && options.width >= 16 && options.width <= 4096,
        "[synth_video] expected 16 to 4096 pixels of height and width, found ", options.height, " x ", options.width);
  check(options.frames * options.height * options.width <= std::int64_t{1} << 30,
        "[synth_video] expected at most 2^30 pixels in all, found ", options.frames, " frames of ", options.height,
        " x ", options.width);
  check(std::isfinite(options.frames_per_second) && options.frames_per_second > 0,
        "[synth_video] expected a frame rate above 0, found ", options.frames_per_second);
  const auto classes = static_cast<int>(synth_video_classes().size());
  check(options.label >= -1 && options.label < classes, "[synth_video] expected a label from 0 to ", classes - 1,
        ", or -1, found ", options.label);
  check(options.noise >= 0 && options.noise <= 255, "[synth_video] expected noise of 0 to 255 grey levels, found ",
        options.noise);
}

}  // namespace

const std::vector<std::string>& synth_video_classes() {
  static const std::vector<std::string> classes{"moving left", "moving right",      "moving up",
                                                "moving down", "turning clockwise", "turning counterclockwise",
                                                "growing",     "shrinking",         "still"};
  return classes;
}

SynthClip synth_video(std::uint64_t seed, const SynthVideoOptions& options) {
  check_options(options);
  const int label = options.label >= 0 ? options.label : static_cast<int>(seed % synth_video_classes().size());
  Scene scene(seed, label, options);
  const Texture ground(scene.random, 64, 4), skin(scene.random, 16, 2);
  std::mt19937_64 noise(seed);

  SynthClip clip{{}, options.frames, options.height, options.width, label};
  clip.frames.resize(static_cast<std::size_t>(clip.count * clip.height * clip.width * 3));
  std::uint8_t* out = clip.frames.data();
  std::vector<Point> outline(scene.polygon.size());
  for (std::int64_t frame = 0; frame < clip.count; ++frame) {
    const Pose pose = scene.pose(frame);
    const double c = std::cos(pose.angle), s = std::sin(pose.angle);
    std::ranges::transform(scene.polygon, outline.begin(), [&](Point p) {
      return Point{pose.radius * (c * p.x - s * p.y), pose.radius * (s * p.x + c * p.y)};
    });
    for (std::int64_t row = 0; row < clip.height; ++row)
      for (std::int64_t column = 0; column < clip.width; ++column) {
        const double x = static_cast<double>(column) + 0.5, y = static_cast<double>(row) + 0.5;
        Colour colour = mix(scene.ground_colours[0], scene.ground_colours[1],
                            ground.at((x + pose.pan.x) / scene.scale, (y + pose.pan.y) / scene.scale));
        const Point offset{around(x, pose.centre.x, scene.width), around(y, pose.centre.y, scene.height)};
        if (std::max(std::abs(offset.x), std::abs(offset.y)) < pose.radius + 1) {
          const double coverage = std::clamp(0.5 - signed_distance(outline, offset), 0.0, 1.0);
          constexpr double kTexelsPerRadius = 24;
          const double texels = kTexelsPerRadius / pose.radius;
          const double value = skin.at(texels * (c * offset.x + s * offset.y), texels * (c * offset.y - s * offset.x));
          colour = mix(colour, mix(scene.shape_colours[0], scene.shape_colours[1], value), coverage);
        }
        for (const double channel : {colour.red, colour.green, colour.blue}) {
          const double level = options.noise > 0 ? channel + options.noise * normal_of(noise()) : channel;
          *out++ = static_cast<std::uint8_t>(std::clamp(level + 0.5, 0.0, 255.0));
        }
      }
  }
  return clip;
}

}  // namespace voxshift
