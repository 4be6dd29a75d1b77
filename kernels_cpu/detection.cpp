// Detection on the CPU.
#include <voxshift/detection/kernels.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/with_type.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace voxshift::cpu {
namespace {

constexpr std::int64_t kScanGrain = 32768;  // elements of a map that one thread looks through
constexpr std::int64_t kPairGrain = 4096;   // pairs of boxes
constexpr float kTwoPi = 2 * std::numbers::pi_v<float>;

struct Candidate {
  float value;
  std::int32_t element;
  bool operator<(const Candidate& other) const {
    return value != other.value ? value > other.value : element < other.element;
  }
};

float at(const ConstRowView& map, std::int64_t row, std::int64_t channel) {
  return static_cast<const float*>(map.base)[row * map.row_stride + channel];
}

// The elements above `least` of the rows [first, last), in order; returns where they end.
Candidate* add_candidates(const ConstRowView& map, std::int64_t group, float least, std::int64_t first,
                          std::int64_t last, Candidate* end) {
  const std::int64_t channels = map.channels, width = group > 0 ? group : 1;
  for (std::int64_t row = first; row < last; ++row) {
    const float* x = static_cast<const float*>(map.base) + row * map.row_stride;
    bool any = false;  // without an exit, so that it becomes vector code: most rows have none
    for (std::int64_t c = 0; c < channels; ++c) any |= x[c] > least;
    if (!any) continue;
    for (std::int64_t c = 0; c < channels; c += width) {
      std::int64_t best = c;
      for (std::int64_t k = c + 1; k < c + width; ++k)
        if (x[k] > x[best] || std::isnan(x[best])) best = k;
      if (x[best] > least) *end++ = {x[best], static_cast<std::int32_t>(row * channels + best)};
    }
  }
  return end;
}

bool is_within(const BoxLimits& limits, const float* box) {
  for (int i = 0; i < kBoxColumns; ++i)
    if (!std::isfinite(box[i])) return false;
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const float size = box[3 + axis];
    if (!(box[axis] >= limits.lowest[axis] && box[axis] <= limits.highest[axis])) return false;
    if (!(size >= limits.least_size && size <= limits.most_size)) return false;
  }
  return true;
}

float center_of(const MapGrid& grid, std::int64_t cell, int axis) {
  return grid.first[static_cast<std::size_t>(axis)] +
         static_cast<float>(axis == 0 ? cell / grid.height : cell % grid.height) *
             grid.step[static_cast<std::size_t>(axis)];
}

// Relative to an anchor (l, w, h, z, yaw) of the cell.
void decode_anchor(const AnchorMaps& maps, std::int64_t cell, std::int64_t anchor, float* box) {
  const float* a = maps.anchors + anchor * 5;
  const std::int64_t columns = maps.boxes.channels / maps.anchor_count, first = anchor * columns;
  const float diagonal = std::sqrt(a[0] * a[0] + a[1] * a[1]);
  const auto t = [&](std::int64_t i) { return at(maps.boxes, cell, first + i); };
  box[0] = center_of(maps.grid, cell, 0) + t(0) * diagonal;
  box[1] = center_of(maps.grid, cell, 1) + t(1) * diagonal;
  box[2] = a[3] + t(2) * a[2];
  for (int i = 0; i < 3; ++i) box[3 + i] = std::exp(t(3 + i)) * a[i];
  float yaw = a[4] + t(6);
  if (maps.directions.base != nullptr) {
    std::int64_t bin = 0;
    for (std::int64_t b = 1; b < maps.bins; ++b)
      if (at(maps.directions, cell, anchor * maps.bins + b) > at(maps.directions, cell, anchor * maps.bins + bin))
        bin = b;
    const float period = kTwoPi / static_cast<float>(maps.bins), turned = yaw - maps.direction_offset;
    yaw = turned - std::floor(turned / period) * period + maps.direction_offset + period * static_cast<float>(bin);
  }
  box[6] = yaw;
  for (std::int64_t i = 7; i < kBoxColumns; ++i) box[i] = i < columns ? t(i) : 0.0f;
}

void decode_center(const CenterMaps& maps, std::int64_t cell, float* box) {
  for (int axis = 0; axis < 2; ++axis)
    box[axis] =
        center_of(maps.grid, cell, axis) + at(maps.offset, cell, axis) * maps.grid.step[static_cast<std::size_t>(axis)];
  box[2] = at(maps.height, cell, 0);
  for (int i = 0; i < 3; ++i) box[3 + i] = std::exp(at(maps.size, cell, i));
  const int sine = maps.sine_first ? 0 : 1;
  box[6] = std::atan2(at(maps.rotation, cell, sine), at(maps.rotation, cell, 1 - sine));
  for (int i = 0; i < 2; ++i) box[7 + i] = maps.velocity.base != nullptr ? at(maps.velocity, cell, i) : 0.0f;
}

bool is_box(const float* box) {
  bool good = true;
  for (int i = 0; i < 7; ++i) good &= std::isfinite(box[i]);
  return good && box[3] >= 0 && box[4] >= 0 && box[5] >= 0;
}

Rectangle seen_from_above(const float* box) {
  const double yaw = box[6];
  return {box[0], box[1], box[3] / 2.0, box[4] / 2.0, std::cos(yaw), std::sin(yaw)};
}

float overlap_of_boxes(const float* a, const float* b, const Rectangle& ra, const Rectangle& rb, bool volumes) {
  if (!volumes) return static_cast<float>(overlap_of(ra, rb));
  if (!may_overlap(ra, rb)) return 0;
  const double top = std::min(a[2] + a[5] / 2.0, b[2] + b[5] / 2.0);
  const double bottom = std::max(a[2] - a[5] / 2.0, b[2] - b[5] / 2.0);
  const double common = top > bottom ? common_area(ra, rb) * (top - bottom) : 0;
  const double all = area_of(ra) * a[5] + area_of(rb) * b[5] - common;
  return all > 0 ? static_cast<float>(common / all) : 0.0f;
}

// What suppression reads of a box, best first.
struct Rival {
  Rectangle shape;
  double radius;  // of the circle around it
  std::int32_t row, group;
  bool suppressed;
};

bool suppresses(const Suppression& how, const Rival& better, const Rival& other) {
  const double dx = other.shape.x - better.shape.x, dy = other.shape.y - better.shape.y;
  const double squared = dx * dx + dy * dy;
  if (how.radius >= 0) return squared <= double{how.radius} * how.radius;
  const double reach = better.radius + other.radius;
  return squared < reach * reach && overlap_of(better.shape, other.shape) > how.overlap;
}

class CpuDetectionKernels final : public DetectionKernels {
 public:
  void candidates(const Context& context, const ConstRowView& map, std::int64_t group, float least, bool logistic,
                  const CandidateView& out) const override {
    check_float("candidates", map);
    const std::int64_t rows = std::max<std::int64_t>(1, kScanGrain / std::max<std::int64_t>(1, map.channels));
    const std::int64_t pieces = (map.count + rows - 1) / rows;
    const Arena::Mark mark = context.arena->mark();
    auto* found = context.arena->allocate<Candidate>(map.count * map.channels);
    auto* counts = context.arena->allocate<std::int64_t>(pieces);
    parallel_ranges(context, map.count, rows, [&](std::int64_t first, std::int64_t last, std::int64_t piece) {
      Candidate* begin = found + first * map.channels;
      counts[piece] = add_candidates(map, group, least, first, last, begin) - begin;
    });
    Candidate* end = found;
    for (std::int64_t piece = 0; piece < pieces; ++piece)
      end = std::copy_n(found + piece * rows * map.channels, counts[piece], end);
    const std::int64_t kept = std::min<std::int64_t>(out.most, end - found);
    std::nth_element(found, found + kept, end);
    std::sort(found, found + kept);
    *out.count = static_cast<std::int32_t>(kept);
    for (std::int64_t i = 0; i < kept; ++i) {
      out.element[i] = found[i].element;
      out.score[i] = logistic ? 1 / (1 + std::exp(-found[i].value)) : found[i].value;
    }
    context.arena->rewind(mark);
  }

  void decode_anchors(const Context&, const AnchorMaps& maps, const CandidateView& in,
                      const BoxView& out) const override {
    check_float("decode_anchors", maps.boxes);
    const std::int64_t channels = maps.anchor_count * maps.classes;
    decode(in, channels, maps.limits, out, [&](std::int64_t cell, std::int64_t channel, float* box) {
      decode_anchor(maps, cell, channel / maps.classes, box);
      return static_cast<std::int32_t>(channel % maps.classes);
    });
  }

  void decode_centers(const Context&, const CenterMaps& maps, const CandidateView& in,
                      const BoxView& out) const override {
    check_float("decode_centers", maps.offset);
    decode(in, maps.class_count, maps.limits, out, [&](std::int64_t cell, std::int64_t channel, float* box) {
      decode_center(maps, cell, box);
      return maps.classes[channel];
    });
  }

  void suppress(const Context& context, const BoxView& boxes, const std::int32_t* count, const Suppression& how,
                std::int64_t most, std::int32_t* kept, std::int32_t* kept_count) const override {
    const Arena::Mark mark = context.arena->mark();
    auto* rivals = context.arena->allocate<Rival>(*count);
    std::int64_t n = 0;
    for (std::int32_t i = 0; i < *count; ++i) {
      const float* box = boxes.boxes + i * boxes.columns;
      if (boxes.classes[i] < 0 || !is_box(box)) continue;
      const Rectangle shape = seen_from_above(box);
      rivals[n++] = {shape, std::hypot(shape.half_length, shape.half_width), i, how.per_class ? boxes.classes[i] : 0,
                     false};
    }
    *kept_count = 0;
    for (std::int64_t i = 0; i < n && *kept_count < most; ++i) {
      const Rival& better = rivals[i];
      if (better.suppressed) continue;
      kept[(*kept_count)++] = better.row;
      for (std::int64_t j = i + 1; j < n; ++j) {
        Rival& other = rivals[j];
        if (!other.suppressed && other.group == better.group) other.suppressed = suppresses(how, better, other);
      }
    }
    context.arena->rewind(mark);
  }

  void gather_boxes(const Context&, const BoxView& in, const std::int32_t* rows, const std::int32_t* count,
                    const BoxView& out) const override {
    for (std::int64_t i = 0; i < out.rows; ++i) {
      out.scores[i] = i < *count ? in.scores[rows[i]] : -1;
      out.classes[i] = i < *count ? in.classes[rows[i]] : -1;
      if (i < *count) std::copy_n(in.boxes + rows[i] * in.columns, out.columns, out.boxes + i * out.columns);
    }
  }

  void overlaps(const Context& context, const ConstRowView& a, const ConstRowView& b, bool volumes,
                float* out) const override {
    const Arena::Mark mark = context.arena->mark();
    auto* shapes = context.arena->allocate<Rectangle>(b.count);
    for (std::int64_t j = 0; j < b.count; ++j) shapes[j] = seen_from_above(row(b, j));
    const std::int64_t grain = std::max<std::int64_t>(1, kPairGrain / std::max<std::int64_t>(1, b.count));
    parallel_ranges(context, a.count, grain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
      for (std::int64_t i = first; i < last; ++i) {
        const float* box = row(a, i);
        const Rectangle shape = seen_from_above(box);
        for (std::int64_t j = 0; j < b.count; ++j) {
          const float* other = row(b, j);
          const bool both = is_box(box) && is_box(other);
          out[i * b.count + j] = both ? overlap_of_boxes(box, other, shape, shapes[j], volumes) : 0;
        }
      }
    });
    context.arena->rewind(mark);
  }

 private:
  static void check_float(const char* op, const ConstRowView& map) {
    with_type<float>(op, map.dtype, [](auto) {});
  }

  static const float* row(const ConstRowView& boxes, std::int64_t i) {
    return static_cast<const float*>(boxes.base) + i * boxes.row_stride;
  }

  template <class DecodeOne>
  static void decode(const CandidateView& in, std::int64_t channels, const BoxLimits& limits, const BoxView& out,
                     const DecodeOne& decode_one) {
    for (std::int64_t i = 0; i < *in.count; ++i) {
      float* box = out.boxes + i * kBoxColumns;
      const std::int32_t class_id = decode_one(in.element[i] / channels, in.element[i] % channels, box);
      out.classes[i] = is_within(limits, box) ? class_id : -1;
      out.scores[i] = in.score[i];
    }
  }
};

}  // namespace

const DetectionKernels& detection_kernels() {
  static const CpuDetectionKernels kernels;
  return kernels;
}

}  // namespace voxshift::cpu
