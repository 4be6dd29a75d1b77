// Rows that numbers select, on the CPU.
#include <voxshift/kernels_cpu/number_rows.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/selection.h>

#include <cmath>
#include <numeric>

namespace voxshift::cpu {
namespace {

constexpr std::int64_t kSelectionGrain = 16384;

// Whether row a is chosen before row b; of NaN no order is asked but that of their rows.
bool goes_before(const ConstRowView& in, std::int32_t a, std::int32_t b) {
  const float x = number_at(in, a, 0), y = number_at(in, b, 0);
  if (std::isnan(x) || std::isnan(y)) return std::isnan(x) == std::isnan(y) ? a < b : std::isnan(y);
  return x != y ? x > y : a < b;
}

}  // namespace

void above(const Context& context, const ConstRowView& in, float threshold, std::uint8_t* mask) {
  check_numbers("above", in);
  parallel_ranges(context, in.count, kSelectionGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
    for (std::int64_t i = first; i < last; ++i) mask[i] = number_at(in, i, 0) > threshold;
  });
}

void top(const Context& context, const ConstRowView& in, const std::int32_t* segment, std::int64_t count,
         std::uint8_t* mask) {
  check_numbers("top", in);
  const Arena::Mark mark = context.arena->mark();
  auto* order = context.arena->allocate<std::int32_t>(in.count);
  std::iota(order, order + in.count, 0);
  std::fill_n(mask, in.count, std::uint8_t{0});
  for (std::int64_t first = 0; first < in.count;) {
    const std::int64_t last = std::upper_bound(segment + first, segment + in.count, segment[first]) - segment;
    const std::int64_t chosen = std::min(last, first + count);
    if (chosen < last)
      std::nth_element(order + first, order + chosen, order + last,
                       [&](std::int32_t a, std::int32_t b) { return goes_before(in, a, b); });
    for (std::int64_t i = first; i < chosen; ++i) mask[order[i]] = 1;
    first = last;
  }
  context.arena->rewind(mark);
}

}  // namespace voxshift::cpu
