#include <voxshift/engine/memory_plan.h>

#include <algorithm>
#include <numeric>

namespace voxshift {
namespace {

constexpr std::int64_t kBufferAlignment = 64;

std::int64_t aligned(std::int64_t bytes) {
  return (bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
}

bool alive_together(const Buffer& a, const Buffer& b) { return a.first <= b.last && b.first <= a.last; }

}  // namespace

std::int64_t MemoryPlan::place(const std::vector<Buffer>& buffers, const std::vector<std::int64_t>& bytes) {
  offsets_.assign(buffers.size(), 0);
  order_.resize(buffers.size());
  std::iota(order_.begin(), order_.end(), 0);
  const auto size = [&](int b) { return aligned(bytes[static_cast<std::size_t>(b)]); };
  const auto buffer = [&](int b) -> const Buffer& { return buffers[static_cast<std::size_t>(b)]; };
  std::sort(order_.begin(), order_.end(), [&](int a, int b) { return size(a) != size(b) ? size(a) > size(b) : a < b; });
  std::int64_t total = 0;
  for (std::size_t i = 0; i < order_.size(); ++i) {
    const int b = order_[i];
    std::int64_t at = 0;
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t j = 0; j < i; ++j) {
        const int placed = order_[j];
        const std::int64_t end = offset(placed) + size(placed);
        if (alive_together(buffer(b), buffer(placed)) && at < end && offset(placed) < at + size(b)) {
          at = end;
          moved = true;
        }
      }
    }
    offsets_[static_cast<std::size_t>(b)] = at;
    total = std::max(total, at + size(b));
  }
  return total;
}

}  // namespace voxshift
