// Synthetic clips: what moves, how far, and that nothing else tells the label.
#include <gtest/gtest.h>
#include <voxshift/synth/video.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <cstdlib>
#include <limits>
#include <numbers>
#include <set>
#include <string>

namespace voxshift {
namespace {

constexpr double kPi = std::numbers::pi;
constexpr int kSide = 112;  // half of what motions are said for
constexpr double kScale = kSide / 224.0;

SynthVideoOptions quiet(const std::string& name, std::int64_t frames = 32, std::int64_t side = kSide) {
  SynthVideoOptions options;
  options.frames = frames;
  options.height = options.width = side;
  options.noise = 0;
  const auto& classes = synth_video_classes();
  options.label = static_cast<int>(std::ranges::find(classes, name) - classes.begin());
  return options;
}

const std::uint8_t* frame_of(const SynthClip& clip, std::int64_t frame) {
  return clip.frames.data() + frame * clip.height * clip.width * 3;
}

bool same_frames(const SynthClip& a, std::int64_t i, const SynthClip& b, std::int64_t j, int tolerance = 0) {
  return std::equal(frame_of(a, i), frame_of(a, i) + a.height * a.width * 3, frame_of(b, j),
                    [&](int x, int y) { return std::abs(x - y) <= tolerance; });
}

/// The shape: light pixels where most are dark, and the reverse.
struct Shape {
  Shape(const SynthClip& clip, std::int64_t frame)
      : side(static_cast<int>(clip.height)), mask(static_cast<std::size_t>(clip.height * clip.width)) {
    const std::uint8_t* pixel = frame_of(clip, frame);
    for (std::size_t i = 0; i < mask.size(); ++i, pixel += 3) mask[i] = pixel[0] + pixel[1] + pixel[2] > 3 * 127;
    if (2 * std::ranges::count(mask, true) > std::ssize(mask)) mask.flip();
    std::complex<double> along_x, along_y;
    for (int y = 0; y < side; ++y)
      for (int x = 0; x < side; ++x) {
        if (!is_shape(x, y)) continue;
        area += 1;
        along_x += std::polar(1.0, 2 * kPi * x / side);
        along_y += std::polar(1.0, 2 * kPi * y / side);
      }
    centre_x = std::arg(along_x) * side / (2 * kPi);
    centre_y = std::arg(along_y) * side / (2 * kPi);
  }

  /// By direction from the centre, in degrees: the sum of the squared distances, so that corners count most.
  std::array<double, 360> profile() const {
    std::array<double, 360> sectors{};
    for (int y = 0; y < side; ++y)
      for (int x = 0; x < side; ++x) {
        if (!is_shape(x, y)) continue;
        const double dx = std::remainder(x - centre_x, side), dy = std::remainder(y - centre_y, side);
        const int direction = static_cast<int>(std::floor(std::atan2(dy, dx) * 180 / kPi));
        for (int spread = -4; spread <= 4; ++spread)
          sectors[static_cast<std::size_t>((direction + spread + 360) % 360)] += dx * dx + dy * dy;
      }
    return sectors;
  }

  bool is_shape(int x, int y) const {
    return mask[static_cast<std::size_t>(y) * static_cast<std::size_t>(side) + static_cast<std::size_t>(x)];
  }

  int side;
  std::vector<bool> mask;
  double area = 0, centre_x = 0, centre_y = 0;
};

/// Degrees, clockwise on the screen, by which `to` is turned against `from`.
int turn_between(const Shape& from, const Shape& to) {
  const auto a = from.profile(), b = to.profile();
  double best = std::numeric_limits<double>::infinity();
  int found = 0;
  for (int turn = -25; turn <= 25; ++turn) {
    double error = 0;
    for (int i = 0; i < 360; ++i) {
      const double difference = a[static_cast<std::size_t>(i)] - b[static_cast<std::size_t>((i + turn + 360) % 360)];
      error += difference * difference;
    }
    if (error < best) {
      best = error;
      found = turn;
    }
  }
  return found;
}

double changed_share(const SynthClip& clip, std::int64_t i, std::int64_t j) {
  double changed = 0;
  for (std::int64_t p = 0; p < clip.height * clip.width; ++p)
    if (!std::equal(frame_of(clip, i) + 3 * p, frame_of(clip, i) + 3 * p + 3, frame_of(clip, j) + 3 * p)) ++changed;
  return changed / static_cast<double>(clip.height * clip.width);
}

TEST(SynthVideo, ShapeAndLabels) {
  const auto& classes = synth_video_classes();
  EXPECT_EQ(classes.size(), 9U);
  EXPECT_EQ(std::set<std::string>(classes.begin(), classes.end()).size(), 9U);
  SynthVideoOptions options;
  options.frames = 3;
  options.height = 32;
  options.width = 48;
  std::set<int> labels;
  for (std::uint64_t seed = 0; seed < 9; ++seed) {
    const SynthClip clip = synth_video(seed, options);
    EXPECT_EQ(clip.count, 3);
    EXPECT_EQ(clip.height, 32);
    EXPECT_EQ(clip.width, 48);
    EXPECT_EQ(clip.frames.size(), 3U * 32 * 48 * 3);
    labels.insert(clip.label);
  }
  EXPECT_EQ(labels.size(), 9U) << "seeds in a row take the labels in turn";
  options.label = 7;
  EXPECT_EQ(synth_video(1, options).label, 7);
}

TEST(SynthVideo, SameSeedSameBits) {
  SynthVideoOptions options;
  options.frames = 2;
  options.height = options.width = 64;
  EXPECT_EQ(synth_video(5, options).frames, synth_video(5, options).frames);
  EXPECT_NE(synth_video(5, options).frames, synth_video(14, options).frames);
}

TEST(SynthVideo, AtALowerRateThereAreFewerFramesOfTheSameScene) {
  for (const std::string& name : synth_video_classes()) {
    SynthVideoOptions options = quiet(name, 9);
    options.panning_camera = true;
    const SynthClip all = synth_video(4, options);
    options.frames = 3;
    options.frames_per_second /= 4;
    const SynthClip few = synth_video(4, options);
    for (const std::int64_t i : {0, 1, 2}) EXPECT_TRUE(same_frames(few, i, all, 4 * i)) << name << " " << i;
  }
}

TEST(SynthVideo, MovesAsItsLabelSays) {
  const struct {
    const char* name;
    int x, y;
  } motions[] = {{"moving left", -1, 0}, {"moving right", 1, 0}, {"moving up", 0, -1}, {"moving down", 0, 1}};
  for (const auto& motion : motions)
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      SCOPED_TRACE(std::string(motion.name) + ", seed " + std::to_string(seed));
      const SynthClip clip = synth_video(seed, quiet(motion.name, 9));
      const Shape first(clip, 0), last(clip, 8);
      const double dx = std::remainder(last.centre_x - first.centre_x, kSide) / 8;
      const double dy = std::remainder(last.centre_y - first.centre_y, kSide) / 8;
      EXPECT_GT(dx * motion.x + dy * motion.y, 0.95 * kScale);
      EXPECT_LT(dx * motion.x + dy * motion.y, 4.05 * kScale);
      EXPECT_NEAR(dx * motion.y + dy * motion.x, 0, 0.05) << "across";
      EXPECT_NEAR(last.area / first.area, 1, 0.05);
    }
}

TEST(SynthVideo, TurnsAsItsLabelSays) {
  for (const auto& [name, sign] : {std::pair{"turning clockwise", 1}, std::pair{"turning counterclockwise", -1}})
    for (std::uint64_t seed = 0; seed < 6; ++seed) {
      SCOPED_TRACE(name + std::string(", seed ") + std::to_string(seed));
      const SynthClip clip = synth_video(seed, quiet(name, 4, 224));
      const int turn = sign * turn_between(Shape(clip, 0), Shape(clip, 3));
      EXPECT_GE(turn, 3 * 2 - 2);
      EXPECT_LE(turn, 3 * 6 + 2);
    }
}

TEST(SynthVideo, GrowsAsItsLabelSays) {
  for (const auto& [name, sign] : {std::pair{"growing", 1}, std::pair{"shrinking", -1}})
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      SCOPED_TRACE(name + std::string(", seed ") + std::to_string(seed));
      const SynthClip clip = synth_video(seed, quiet(name));
      const double growth = sign * std::log(Shape(clip, 31).area / Shape(clip, 0).area) / 2 / 31;  // of the radius
      EXPECT_GT(growth, 0.009);
      EXPECT_LT(growth, 0.031);
    }
}

TEST(SynthVideo, StillIsStill) {
  const SynthClip clip = synth_video(3, quiet("still", 5));
  for (std::int64_t frame = 1; frame < 5; ++frame) EXPECT_TRUE(same_frames(clip, 0, clip, frame));
}

// What one frame shows is distributed alike for all labels: the scene does not depend on the label, and a growing clip
// is a shrinking one backwards.
TEST(SynthVideo, NoFrameTellsTheLabel) {
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    const SynthClip still = synth_video(seed, quiet("still", 8));
    for (std::size_t label = 0; label < 6; ++label)
      EXPECT_TRUE(same_frames(still, 0, synth_video(seed, quiet(synth_video_classes()[label], 8)), 0)) << label;
    const SynthClip growing = synth_video(seed, quiet("growing", 8));
    const SynthClip shrinking = synth_video(seed, quiet("shrinking", 8));
    for (std::int64_t frame = 0; frame < 8; ++frame)
      EXPECT_TRUE(same_frames(growing, frame, shrinking, 7 - frame, 1)) << frame;
    EXPECT_LE(Shape(growing, 0).area, 1.02 * Shape(still, 0).area);
    EXPECT_GE(Shape(growing, 7).area, 0.98 * Shape(still, 0).area);
  }
  int large = 0;
  for (std::uint64_t seed = 0; seed < 8; ++seed)
    if (Shape(synth_video(seed, quiet("still", 24)), 0).area > Shape(synth_video(seed, quiet("growing", 24)), 12).area)
      ++large;
  EXPECT_GE(large, 2) << "a shape that keeps its size is often larger than a growing one half-way";
  EXPECT_LE(large, 6) << "and often smaller";
}

TEST(SynthVideo, APanningCameraMovesTheGroundAlone) {
  SynthVideoOptions options = quiet("still", 9);
  options.panning_camera = true;
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    const SynthClip clip = synth_video(seed, options);
    EXPECT_GT(changed_share(clip, 0, 8), 0.6);
    const Shape first(clip, 0), last(clip, 8);
    EXPECT_NEAR(std::remainder(last.centre_x - first.centre_x, kSide), 0, 0.2);
    EXPECT_NEAR(std::remainder(last.centre_y - first.centre_y, kSide), 0, 0.2);
    EXPECT_LT(changed_share(synth_video(seed, quiet("moving left", 9)), 0, 8), 0.5) << "a static camera";
  }
}

TEST(SynthVideo, NoiseIsNormalAndFresh) {
  constexpr double kNoise = 4;
  SynthVideoOptions options = quiet("still", 3);
  const SynthClip clean = synth_video(11, options);
  options.noise = kNoise;
  const SynthClip noisy = synth_video(11, options);
  const auto values = static_cast<double>(noisy.height * noisy.width * 3);
  std::array<double, 3> sum{}, squares{};
  double fourth = 0, product = 0, neighbours = 0;
  for (std::int64_t i = 0; i < noisy.height * noisy.width * 3; ++i) {
    std::array<double, 3> noise{};
    for (std::size_t f = 0; f < 3; ++f) {
      const auto frame = static_cast<std::int64_t>(f);
      noise[f] = frame_of(noisy, frame)[i] - frame_of(clean, frame)[i];
      sum[f] += noise[f];
      squares[f] += noise[f] * noise[f];
    }
    fourth += std::pow(noise[0], 4);
    product += noise[0] * noise[1];
    if (i > 0) neighbours += noise[0] * (frame_of(noisy, 0)[i - 1] - frame_of(clean, 0)[i - 1]);
  }
  // five standard errors; both clips are rounded to whole levels, 1 / 12 each
  const double variance = kNoise * kNoise, error = 5 / std::sqrt(values);
  for (std::size_t f = 0; f < 3; ++f) {
    EXPECT_NEAR(sum[f] / values, 0, error * kNoise);
    EXPECT_NEAR(squares[f] / values, variance + 2 / 12.0, error * std::sqrt(2.0) * variance);
  }
  EXPECT_NEAR(product / values, 0, error * variance) << "between frames";
  EXPECT_NEAR(neighbours / values, 0, error * variance) << "between neighbours";
  // the kurtosis of a sum of 8 uniform numbers is 3 - 6 / 5 / 8
  EXPECT_NEAR(fourth / values / std::pow(squares[0] / values, 2), 2.85, 0.12);
}

TEST(SynthVideo, RefusesOptionsOutOfRange) {
  const auto refuses = [](auto change) {
    SynthVideoOptions options;
    options.frames = 1;
    options.height = options.width = 16;
    EXPECT_NO_THROW(synth_video(0, options));
    change(options);
    EXPECT_THROW(synth_video(0, options), InvalidArgument);
  };
  refuses([](auto& options) { options.frames = 0; });
  refuses([](auto& options) { options.height = 15; });
  refuses([](auto& options) { options.width = 5000; });
  refuses([](auto& options) { options.label = 9; });
  refuses([](auto& options) { options.label = -2; });
  refuses([](auto& options) { options.noise = -1; });
  refuses([](auto& options) { options.noise = std::nan(""); });
  refuses([](auto& options) { options.frames_per_second = 0; });
  refuses([](auto& options) {
    options.frames = 100000;
    options.height = options.width = 4096;
  });
}

}  // namespace
}  // namespace voxshift
