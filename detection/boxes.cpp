#include <voxshift/detection/boxes.h>
#include <voxshift/detection/kernels.h>
#include <voxshift/tensor/error.h>
#include <voxshift/tensor/result_size.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace voxshift {
namespace {

constexpr std::int64_t kLeastColumns = 7;

void check_boxes(const char* op, const char* what, const Array& boxes) {
  check(boxes.dtype() == DType::kF32 && boxes.rank() == 2 && boxes.dim(1) >= kLeastColumns, "[", op, "] ", what,
        " expects f32 [N, C] with C >= ", kLeastColumns, ", found ", name(boxes.dtype()), " ", boxes.shape());
}

Array overlaps(const char* op, const Array& a, const Array& b, bool volumes) {
  check_boxes(op, "a", a);
  check_boxes(op, "b", b);
  check(a.device() == b.device(), "[", op, "] a is on ", name(a.device()), ", b on ", name(b.device()));
  check_size(op, "boxes:", a.dim(0), b.dim(0));
  Array result({a.dim(0), b.dim(0)}, DType::kF32, a.device());
  if (result.count() == 0) return result;
  Arena scratch(a.device());
  detection_kernels(a.device())
      .overlaps({a.device(), nullptr, num_threads(), &scratch}, rows_of(a), rows_of(b), volumes, result.data<float>());
  return result;
}

void check_of_boxes(const char* op, const char* what, const Array& values, DType dtype, const Array& boxes) {
  check(values.dtype() == dtype && values.shape() == Shape{boxes.dim(0)}, "[", op, "] ", what, " expects ", name(dtype),
        " ", Shape{boxes.dim(0)}, ", found ", name(values.dtype()), " ", values.shape());
  check(values.device() == boxes.device(), "[", op, "] ", what, " is on ", name(values.device()), ", boxes on ",
        name(boxes.device()));
}

// Rows of the boxes that remain; `how` without classes knows one.
Array remaining(const char* op, const Array& boxes, const Array& scores, Suppression how, const NmsOptions& options) {
  check_boxes(op, "boxes", boxes);
  check_of_boxes(op, "scores", scores, DType::kF32, boxes);
  if (options.classes) check_of_boxes(op, "classes", *options.classes, DType::kI32, boxes);
  check(options.candidates >= 1 && options.candidates <= kMostCandidates, "[", op, "] candidates expects 1 to ",
        kMostCandidates, ", found ", options.candidates);
  check(options.most >= 1, "[", op, "] most expects at least 1, found ", options.most);
  const Device device = boxes.device();
  const std::int64_t n = boxes.dim(0), room = std::min(n, options.candidates), most = std::min(room, options.most);
  check(n <= std::numeric_limits<std::int32_t>::max(), "[", op, "] expects at most 2^31 - 1 boxes, found ", n);
  if (n == 0) return {{0}, DType::kI32, device};

  Arena scratch(device);
  const Context context{device, nullptr, num_threads(), &scratch};
  const DetectionKernels& kernels = detection_kernels(device);
  const auto indices = [&](std::int64_t count) { return scratch.allocate<std::int32_t>(count); };
  const CandidateView best{room, indices(1), indices(room), scratch.allocate<float>(room)};
  const ConstRowView column{scores.memory(), 1, n, 1, DType::kF32};
  kernels.candidates(context, column, 0, std::nextafter(0.0f, -1.0f), false, best);

  // The candidates' boxes in their order: what suppression takes.
  Array classes({n}, DType::kI32, device);
  if (options.classes) {
    classes = *options.classes;
  } else {
    runtime(device).fill(device, classes.memory(), 0, classes.bytes());
  }
  const BoxView all{n, boxes.dim(1), const_cast<float*>(boxes.data<float>()), const_cast<float*>(scores.data<float>()),
                    classes.data<std::int32_t>()};
  const BoxView sorted{room, kLeastColumns, scratch.allocate<float>(room * kLeastColumns),
                       scratch.allocate<float>(room), indices(room)};
  kernels.gather_boxes(context, all, best.element, best.count, sorted);
  std::int32_t *kept = indices(most), *count = indices(1);
  kernels.suppress(context, sorted, best.count, how, most, kept, count);

  std::vector<std::int32_t> order(static_cast<std::size_t>(room)), chosen(static_cast<std::size_t>(most));
  std::int32_t found = 0;
  runtime(device).copy_to_host(device, &found, count, sizeof(found));
  runtime(device).copy_to_host(device, order.data(), best.element, order.size() * sizeof(std::int32_t));
  runtime(device).copy_to_host(device, chosen.data(), kept, chosen.size() * sizeof(std::int32_t));
  chosen.resize(static_cast<std::size_t>(found));
  for (std::int32_t& row : chosen) row = order[static_cast<std::size_t>(row)];
  return Array::from(chosen, {found}).to(device);
}

}  // namespace

Array boxes_iou_bev(const Array& a, const Array& b) { return overlaps("boxes_iou_bev", a, b, false); }
Array boxes_iou3d(const Array& a, const Array& b) { return overlaps("boxes_iou3d", a, b, true); }

Array nms_bev(const Array& boxes, const Array& scores, float threshold, const NmsOptions& options) {
  check(threshold >= 0 && threshold <= 1, "[nms_bev] threshold expects 0 to 1, found ", threshold);
  return remaining("nms_bev", boxes, scores, {threshold, -1, options.classes.has_value()}, options);
}

Array circle_nms(const Array& boxes, const Array& scores, float radius, const NmsOptions& options) {
  check(std::isfinite(radius) && radius >= 0, "[circle_nms] radius expects metres of at least 0, found ", radius);
  return remaining("circle_nms", boxes, scores, {0, radius, options.classes.has_value()}, options);
}

}  // namespace voxshift
