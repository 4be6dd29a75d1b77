// Memory plan: the offset of every buffer in one piece of memory, shared by those never alive at the same time.
#pragma once

#include <voxshift/engine/plan.h>

#include <cstdint>
#include <vector>

namespace voxshift {

/// Offsets of buffers whose lifetimes may overlap: largest first, each at the lowest place that no buffer alive at the
/// same time covers. Holds its memory from run to run.
class MemoryPlan {
 public:
  /// `bytes[b]` of 0 asks for no place. Returns the bytes needed in all; offsets are multiples of 64.
  std::int64_t place(const std::vector<Buffer>& buffers, const std::vector<std::int64_t>& bytes);

  std::int64_t offset(int buffer) const { return offsets_[static_cast<std::size_t>(buffer)]; }

 private:
  std::vector<std::int64_t> offsets_;
  std::vector<int> order_;
};

}  // namespace voxshift
