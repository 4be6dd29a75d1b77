#include <voxshift/streaming/camera_planes.h>
#include <voxshift/streaming/camera_rows.h>
#include <voxshift/streaming/frame_preparer.h>
#include <voxshift/streaming/scaled_rows.h>
#include <voxshift/tensor/error.h>
#include <voxshift/video/frame_cut.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

namespace voxshift {

/// Where pixels of the frame as it lies in memory go: (y, x) of what is cut out to `start` + y * row + x * column
/// bytes.
struct Placing {
  std::int64_t start = 0, row = 0, column = 0;
};

struct FramePlan {
  ScaledAxis y, x;  ///< of the frame as it lies in memory
  Placing placing;
};

namespace {

/// Sums of 16 bits have room for so many pixels.
constexpr std::int64_t kMostShrinking = 256;

Extent2d upright_extent(const CameraFrame& frame) {
  return frame.rotation % 180 == 0 ? Extent2d{frame.height, frame.width} : Extent2d{frame.width, frame.height};
}

/// Axes and places of a frame of that size and rotation. Turning clockwise by 90 degrees puts row y, column x of h x w
/// pixels to row x, column h - 1 - y.
void plan_picture(const CameraFrame& frame, const FrameProfile& profile, FramePlan& plan) {
  const Extent2d upright = upright_extent(frame), part{profile.height, profile.width};
  const std::int64_t shorter = std::min(upright.height, upright.width);
  const FrameCut cut = cut_middle(upright, profile.resize, part);
  const FrameScaling scaling = profile.resize < shorter    ? FrameScaling::kShrink
                               : profile.resize == shorter ? FrameScaling::kNone
                                                           : FrameScaling::kGrow;
  // upright axes, with their first output, and counted from the other end
  struct Side {
    std::int64_t from, to, first, count;
    std::int64_t from_end() const { return to - first - count; }
  };
  const Side down{upright.height, cut.scaled.height, cut.top, part.height};
  const Side right{upright.width, cut.scaled.width, cut.left, part.width};
  const bool turned = frame.rotation % 180 != 0;
  const Side &y = turned ? right : down, &x = turned ? down : right;
  const bool y_back = frame.rotation == 90 || frame.rotation == 180;
  const bool x_back = frame.rotation == 180 || frame.rotation == 270;
  const auto set = [&](ScaledAxis& axis, const Side& side, bool back) {
    axis.scaling = scaling;
    axis.from = side.from;
    axis.to = side.to;
    axis.first = back ? side.from_end() : side.first;
    axis.count = side.count;
    axis.plan();
  };
  set(plan.y, y, y_back);
  set(plan.x, x, x_back);
  const std::int64_t row = turned ? 3 : 3 * part.width, column = turned ? 3 * part.width : 3;
  plan.placing = {(y_back ? (y.count - 1) * row : 0) + (x_back ? (x.count - 1) * column : 0), y_back ? -row : row,
                  x_back ? -column : column};
}

void check_scaling(const CameraFrame& frame, const FrameProfile& profile) {
  const std::int64_t shorter = std::min(frame.width, frame.height), longer = std::max(frame.width, frame.height);
  check(longer <= kMostAspect * shorter, "[frame_preparer] expected no side of more than ", kMostAspect,
        " times the other, found ", frame.width, " x ", frame.height);
  const std::int64_t scaled = profile.resize * longer / shorter;
  check(longer <= kMostShrinking * scaled && shorter <= kMostShrinking * profile.resize,
        "[frame_preparer] expected sides of at most ", kMostShrinking, " times what they are scaled to, found ",
        frame.width, " x ", frame.height, " and a shorter side of ", profile.resize);
}

}  // namespace

struct FramePreparer::Impl {
  explicit Impl(const FrameProfile& given) : profile(given), pixels({given.height, given.width, 3}, DType::kU8) {}

  const Array& prepare(const CameraFrame& given) {
    const CameraFrame frame = complete_camera_frame(given);
    check_scaling(frame, profile);
    const std::array<std::int64_t, 3> asked{frame.width, frame.height, frame.rotation};
    if (planned != asked) plan_picture(frame, profile, plan);
    planned = asked;
    rows.open(frame, plan.x.begin(), plan.x.end());
    constexpr std::size_t kPadding = 4;  // scale_row reads on
    for (auto* row : {&sum, &next}) row->assign(static_cast<std::size_t>(rows.row_bytes()) + 2 * kPadding, 0);
    line.resize(static_cast<std::size_t>(4 * plan.x.count));
    switch (plan.y.scaling) {
      case FrameScaling::kNone:
        copy();
        break;
      case FrameScaling::kShrink:
        shrink();
        break;
      case FrameScaling::kGrow:
        grow();
        break;
    }
    return pixels;
  }

  void put(std::int64_t y, const std::uint8_t* row, int pixel_bytes) {
    const Placing& placing = plan.placing;
    put_pixels(row, pixel_bytes, plan.x.count, rows.order(),
               pixels.data<std::uint8_t>() + placing.start + y * placing.row, placing.column);
  }

  void put_scaled(std::int64_t y, float scale) {
    scale_row(sum.data(), rows.pixel_bytes(), plan.x, scale, line.data());
    put(y, line.data(), 4);
  }

  void copy() {
    for (std::int64_t y = 0; y < plan.y.count; ++y) put(y, rows.row(plan.y.at[y]), rows.pixel_bytes());
  }

  /// Every row is read once: what of it belongs to the output above is added, the rest begins the one below.
  void shrink() {
    const ScaledAxis &down = plan.y, &across = plan.x;
    int unit = 128;  // 255 * unit * from / to fits into 16 bits, rounding included
    while (down.from * unit > kMostShrinking * down.to) unit /= 2;
    const auto scale = static_cast<float>(static_cast<double>(down.to) * static_cast<double>(across.to) /
                                          (static_cast<double>(down.from) * static_cast<double>(across.from) * unit));
    const std::int64_t count = rows.row_bytes();
    split_row(rows.row(down.at[0]), count, unit, down.share[0], next.data(), sum.data());
    for (std::int64_t j = 0; j < down.count; ++j) {
      const std::int64_t last = down.at[j + 1];
      for (std::int64_t y = down.at[j] + 1; y < last; ++y) add_row(rows.row(y), count, unit, sum.data());
      if (last < down.end()) split_row(rows.row(last), count, unit, down.share[j + 1], sum.data(), next.data());
      put_scaled(j, scale);
      std::swap(sum, next);
    }
  }

  void grow() {
    for (std::int64_t j = 0; j < plan.y.count; ++j) {
      const std::int64_t y = plan.y.at[j];
      const std::uint8_t* row = rows.row(y);
      const std::uint8_t* below = plan.y.share[j] > 0 ? rows.row(y + 1) : row;
      mix_rows(row, below, rows.row_bytes(), plan.y.share[j], sum.data());
      put_scaled(j, 1.0f / 256);
    }
  }

  FrameProfile profile;
  Array pixels;
  FramePlan plan;
  std::array<std::int64_t, 3> planned{};  ///< width, height and rotation that the plan is for
  CameraRows rows;
  std::vector<std::uint16_t> sum, next;
  std::vector<std::uint8_t> line;
};

FramePreparer::FramePreparer(const FrameProfile& profile) {
  check(profile.height >= 1 && profile.width >= 1 && std::max(profile.height, profile.width) <= profile.resize &&
            profile.resize <= 4096,
        "[frame_preparer] expected a size of 1 to `resize` pixels and a resize of at most 4096, found ", profile.height,
        " x ", profile.width, " of ", profile.resize);
  impl_ = std::make_unique<Impl>(profile);
}

FramePreparer::~FramePreparer() = default;
FramePreparer::FramePreparer(FramePreparer&&) noexcept = default;
FramePreparer& FramePreparer::operator=(FramePreparer&&) noexcept = default;

const Array& FramePreparer::prepare(const CameraFrame& frame) { return impl_->prepare(frame); }

}  // namespace voxshift
