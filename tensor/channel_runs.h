// Views of rows whose channels lie in up to three arrays: a concatenation without a copy.
#pragma once

#include <voxshift/tensor/row_view.h>

#include <array>
#include <cstdint>

namespace voxshift {

/// `channels` elements of every row; row i starts i * row_stride elements after `base`. A row stride of 0 gives every
/// row the same ones.
struct ChannelRun {
  const void* base = nullptr;
  std::int64_t row_stride = 0;
  std::int64_t channels = 0;

  template <class T>
  const T* row(std::int64_t i) const {
    return static_cast<const T*>(base) + i * row_stride;
  }
};

/// Rows whose channels are those of up to three runs, one run after the other: a concatenation that is never written
/// down.
struct ChannelRuns {
  std::array<ChannelRun, 3> runs;
  int count = 0;
  DType dtype = DType::kF32;  ///< of all runs

  ChannelRuns() = default;
  ChannelRuns(const ConstRowView& rows) : dtype(rows.dtype) { add({rows.base, rows.row_stride, rows.channels}); }

  /// Runs without channels are left out.
  void add(const ChannelRun& run) {
    if (run.channels > 0) runs[static_cast<std::size_t>(count++)] = run;
  }

  std::int64_t channels() const {
    std::int64_t sum = 0;
    for (int r = 0; r < count; ++r) sum += runs[static_cast<std::size_t>(r)].channels;
    return sum;
  }
};

}  // namespace voxshift
