// Detection on CUDA. Counts stay on the device: kernels run over the room there is, and threads beyond a count end.
#include <voxshift/detection/kernels.h>
#include <voxshift/kernels_cuda/algorithms.h>
#include <voxshift/kernels_cuda/rows.h>

#include <cmath>

namespace voxshift::cuda {
namespace {

constexpr const char* kOp = "detection";
constexpr std::int64_t kNotOne = INT64_MAX;  // the key of what is no candidate
constexpr int kKeyBits = 63;
constexpr int kWordBits = 64;
constexpr int kSweepThreads = 256;
constexpr float kTwoPi = 6.28318530717958647692f;

// Ascends as numbers descend; 31 bits are the element's, so a key has 63.
__device__ inline std::int64_t key_of(float x, std::int64_t element) {
  const std::uint32_t bits = __float_as_uint(x == 0 ? 0.0f : x);
  const std::uint32_t ascending = (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
  return static_cast<std::int64_t>(~ascending) << 31 | element;
}

// Key of an element that is above `least` and, with a group, the first best of its neighbours.
template <class T>
__device__ std::int64_t candidate_key(Rows<const T> map, std::int64_t group, float least, std::int64_t i) {
  const std::int64_t row = i / map.channels, channel = i % map.channels;
  const float x = map.at(row, channel);
  if (!(x > least)) return kNotOne;
  if (group > 0) {
    const std::int64_t first = channel - channel % group;
    for (std::int64_t k = first; k < first + group; ++k) {
      const float other = map.at(row, k);
      if (other > x || (other == x && k < channel)) return kNotOne;
    }
  }
  return key_of(x, i);
}

template <class T>
void best_elements(const Queue& queue, Rows<const T> map, std::int64_t group, float least, bool logistic,
                   const CandidateView& out) {
  const std::int64_t n = map.count * map.channels, most = std::min(n, out.most);
  queue.fill(out.count, 0, sizeof(*out.count));
  if (n == 0) return;
  Arena& arena = queue.arena();
  const Arena::Mark mark = arena.mark();
  auto* keys = arena.allocate<std::int64_t>(n);
  auto* sorted = arena.allocate<std::int64_t>(n);
  for_each(queue, n, [=] __device__(std::int64_t i) { keys[i] = candidate_key(map, group, least, i); });
  sort_keys(queue, keys, sorted, n, kKeyBits);
  for_each(queue, most, [=] __device__(std::int64_t i) {
    if (sorted[i] == kNotOne) return;
    const std::int64_t element = sorted[i] & 0x7fffffff;
    const float x = map.at(element / map.channels, element % map.channels);
    out.element[i] = static_cast<std::int32_t>(element);
    out.score[i] = logistic ? 1 / (1 + expf(-x)) : x;
    if (i + 1 == most || sorted[i + 1] == kNotOne) *out.count = static_cast<std::int32_t>(i + 1);
  });
  arena.rewind(mark);
}

__device__ inline bool is_within(const BoxLimits& limits, const float* box) {
  for (int i = 0; i < kBoxColumns; ++i)
    if (!std::isfinite(box[i])) return false;
  for (int axis = 0; axis < 3; ++axis) {
    const float size = box[3 + axis];
    if (!(box[axis] >= limits.lowest[axis] && box[axis] <= limits.highest[axis])) return false;
    if (!(size >= limits.least_size && size <= limits.most_size)) return false;
  }
  return true;
}

__device__ inline float center_of(const MapGrid& grid, std::int64_t cell, int axis) {
  return grid.first[axis] + static_cast<float>(axis == 0 ? cell / grid.height : cell % grid.height) * grid.step[axis];
}

template <class T>
__device__ float turned_yaw(const AnchorMaps& maps, Rows<const T> directions, std::int64_t cell, std::int64_t anchor,
                            float yaw) {
  std::int64_t bin = 0;
  for (std::int64_t b = 1; b < maps.bins; ++b)
    if (directions.at(cell, anchor * maps.bins + b) > directions.at(cell, anchor * maps.bins + bin)) bin = b;
  const float period = kTwoPi / static_cast<float>(maps.bins), turned = yaw - maps.direction_offset;
  return turned - floorf(turned / period) * period + maps.direction_offset + period * static_cast<float>(bin);
}

template <class T>
void decode_from_anchors(const Queue& queue, const AnchorMaps& maps, const CandidateView& in, const BoxView& out) {
  const auto boxes = rows<T>(maps.boxes), directions = rows<T>(maps.directions);
  const std::int64_t columns = maps.boxes.channels / maps.anchor_count, channels = maps.anchor_count * maps.classes;
  for_each(queue, in.most, [=] __device__(std::int64_t i) {
    if (i >= *in.count) return;
    const std::int64_t cell = in.element[i] / channels, channel = in.element[i] % channels;
    const std::int64_t anchor = channel / maps.classes, first = anchor * columns;
    const float* a = maps.anchors + anchor * 5;
    const float diagonal = sqrtf(a[0] * a[0] + a[1] * a[1]);
    float* box = out.boxes + i * kBoxColumns;
    for (int axis = 0; axis < 2; ++axis)
      box[axis] = center_of(maps.grid, cell, axis) + boxes.at(cell, first + axis) * diagonal;
    box[2] = a[3] + boxes.at(cell, first + 2) * a[2];
    for (int k = 0; k < 3; ++k) box[3 + k] = expf(boxes.at(cell, first + 3 + k)) * a[k];
    const float yaw = a[4] + boxes.at(cell, first + 6);
    box[6] = directions.base != nullptr ? turned_yaw(maps, directions, cell, anchor, yaw) : yaw;
    for (std::int64_t k = 7; k < kBoxColumns; ++k) box[k] = k < columns ? boxes.at(cell, first + k) : 0.0f;
    out.classes[i] = is_within(maps.limits, box) ? static_cast<std::int32_t>(channel % maps.classes) : -1;
    out.scores[i] = in.score[i];
  });
}

template <class T>
void decode_from_centers(const Queue& queue, const CenterMaps& maps, const CandidateView& in, const BoxView& out) {
  const auto offset = rows<T>(maps.offset), height = rows<T>(maps.height), size = rows<T>(maps.size),
             rotation = rows<T>(maps.rotation), velocity = rows<T>(maps.velocity);
  const int sine = maps.sine_first ? 0 : 1;
  for_each(queue, in.most, [=] __device__(std::int64_t i) {
    if (i >= *in.count) return;
    const std::int64_t cell = in.element[i] / maps.class_count;
    float* box = out.boxes + i * kBoxColumns;
    for (int axis = 0; axis < 2; ++axis)
      box[axis] = center_of(maps.grid, cell, axis) + offset.at(cell, axis) * maps.grid.step[axis];
    box[2] = height.at(cell, 0);
    for (int k = 0; k < 3; ++k) box[3 + k] = expf(size.at(cell, k));
    box[6] = atan2f(rotation.at(cell, sine), rotation.at(cell, 1 - sine));
    for (int k = 0; k < 2; ++k) box[7 + k] = velocity.base != nullptr ? velocity.at(cell, k) : 0.0f;
    out.classes[i] = is_within(maps.limits, box) ? maps.classes[in.element[i] % maps.class_count] : -1;
    out.scores[i] = in.score[i];
  });
}

__device__ inline bool is_box(const float* box) {
  for (int i = 0; i < 7; ++i)
    if (!std::isfinite(box[i])) return false;
  return box[3] >= 0 && box[4] >= 0 && box[5] >= 0;
}

__device__ inline Rectangle seen_from_above(const float* box) {
  const double yaw = box[6];
  return {box[0], box[1], box[3] / 2.0, box[4] / 2.0, cos(yaw), sin(yaw)};
}

__device__ inline float overlap_of_boxes(const float* a, const float* b, bool volumes) {
  if (!is_box(a) || !is_box(b)) return 0;
  const Rectangle ra = seen_from_above(a), rb = seen_from_above(b);
  if (!volumes) return static_cast<float>(overlap_of(ra, rb));
  if (!may_overlap(ra, rb)) return 0;
  const double top = fmin(a[2] + a[5] / 2.0, b[2] + b[5] / 2.0);
  const double bottom = fmax(a[2] - a[5] / 2.0, b[2] - b[5] / 2.0);
  const double common = top > bottom ? common_area(ra, rb) * (top - bottom) : 0;
  const double all = area_of(ra) * a[5] + area_of(rb) * b[5] - common;
  return all > 0 ? static_cast<float>(common / all) : 0.0f;
}

// Bit j % 64 of word j / 64 of row i: box j comes after i and, kept, i suppresses it.
__device__ inline bool suppresses(const BoxView& boxes, const Rectangle* shapes, const Suppression& how, std::int64_t i,
                                  std::int64_t j) {
  if (boxes.classes[j] < 0 || (how.per_class && boxes.classes[i] != boxes.classes[j])) return false;
  const Rectangle& a = shapes[i];
  const Rectangle& b = shapes[j];
  if (how.radius < 0) return overlap_of(a, b) > how.overlap;
  const double dx = b.x - a.x, dy = b.y - a.y;
  return dx * dx + dy * dy <= double{how.radius} * how.radius;
}

// One block goes through the boxes from the best on; its threads share the words of what has been suppressed.
__global__ void sweep_kernel(const std::uint64_t* masks, std::int64_t words, const std::int32_t* classes,
                             const std::uint8_t* boxes, const std::int32_t* count, std::int64_t most,
                             std::uint64_t* removed, std::int32_t* kept, std::int32_t* kept_count) {
  std::int32_t found = 0;
  for (std::int32_t i = 0; i < *count && found < most; ++i) {
    const bool keep = classes[i] >= 0 && boxes[i] != 0 && (removed[i / kWordBits] >> (i % kWordBits) & 1) == 0;
    __syncthreads();  // all have read the word before some change it
    if (!keep) continue;
    if (threadIdx.x == 0) kept[found] = i;
    ++found;
    for (std::int64_t word = threadIdx.x; word < words; word += blockDim.x) removed[word] |= masks[i * words + word];
    __syncthreads();
  }
  if (threadIdx.x == 0) *kept_count = found;
}

class CudaDetectionKernels final : public DetectionKernels {
 public:
  void candidates(const Context& context, const ConstRowView& map, std::int64_t group, float least, bool logistic,
                  const CandidateView& out) const override {
    const Queue queue(context, kOp);
    with_type(kOp, map.dtype,
              [&](auto type) { best_elements(queue, rows<decltype(type)>(map), group, least, logistic, out); });
  }

  void decode_anchors(const Context& context, const AnchorMaps& maps, const CandidateView& in,
                      const BoxView& out) const override {
    const Queue queue(context, kOp);
    with_type(kOp, maps.boxes.dtype, [&](auto type) { decode_from_anchors<decltype(type)>(queue, maps, in, out); });
  }

  void decode_centers(const Context& context, const CenterMaps& maps, const CandidateView& in,
                      const BoxView& out) const override {
    const Queue queue(context, kOp);
    with_type(kOp, maps.offset.dtype, [&](auto type) { decode_from_centers<decltype(type)>(queue, maps, in, out); });
  }

  void suppress(const Context& context, const BoxView& boxes, const std::int32_t* count, const Suppression& how,
                std::int64_t most, std::int32_t* kept, std::int32_t* kept_count) const override {
    const Queue queue(context, kOp);
    Arena& arena = queue.arena();
    const Arena::Mark mark = arena.mark();
    const std::int64_t n = boxes.rows, words = ceil_div(n, std::int64_t{kWordBits});
    auto* shapes = arena.allocate<Rectangle>(n);
    auto* good = arena.allocate<std::uint8_t>(n);
    auto* masks = arena.allocate<std::uint64_t>(n * words);
    auto* removed = arena.allocate<std::uint64_t>(words);
    queue.fill(removed, 0, static_cast<std::size_t>(words) * sizeof(*removed));
    for_each(queue, n, [=] __device__(std::int64_t i) {
      if (i >= *count) return;
      const float* box = boxes.boxes + i * boxes.columns;
      good[i] = is_box(box) ? 1 : 0;
      if (good[i] != 0) shapes[i] = seen_from_above(box);
    });
    for_each(queue, n * words, [=] __device__(std::int64_t cell) {
      const std::int64_t i = cell / words, first = cell % words * kWordBits;
      if (i >= *count) return;
      std::uint64_t bits = 0;
      if (boxes.classes[i] >= 0 && good[i] != 0)
        for (std::int64_t j = first > i ? first : i + 1; j < first + kWordBits && j < *count; ++j)
          if (good[j] != 0 && suppresses(boxes, shapes, how, i, j)) bits |= std::uint64_t{1} << (j - first);
      masks[cell] = bits;
    });
    launch(queue, sweep_kernel, dim3(1), dim3(kSweepThreads), 0, masks, words, boxes.classes, good, count, most,
           removed, kept, kept_count);
    arena.rewind(mark);
  }

  void gather_boxes(const Context& context, const BoxView& in, const std::int32_t* picked, const std::int32_t* count,
                    const BoxView& out) const override {
    const Queue queue(context, kOp);
    for_each(queue, out.rows, [=] __device__(std::int64_t i) {
      const bool is_one = i < *count;
      out.scores[i] = is_one ? in.scores[picked[i]] : -1.0f;
      out.classes[i] = is_one ? in.classes[picked[i]] : -1;
      for (std::int64_t k = 0; is_one && k < out.columns; ++k)
        out.boxes[i * out.columns + k] = in.boxes[picked[i] * in.columns + k];
    });
  }

  void overlaps(const Context& context, const ConstRowView& a, const ConstRowView& b, bool volumes,
                float* out) const override {
    const Queue queue(context, kOp);
    const auto first = rows<float>(a), second = rows<float>(b);
    for_each_cell(queue, a.count, b.count, [=] __device__(std::int64_t i, std::int64_t j) {
      out[i * second.count + j] = overlap_of_boxes(first.row(i), second.row(j), volumes);
    });
  }
};

}  // namespace

const DetectionKernels& detection_kernels() {
  static const CudaDetectionKernels kernels;
  return kernels;
}

}  // namespace voxshift::cuda
