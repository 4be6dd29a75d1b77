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
  Scales scales = {};         ///< of i8: of the channels of all runs, one run after the other

  ChannelRuns() = default;
  ChannelRuns(const ConstRowView& rows) : dtype(rows.dtype), scales(rows.scales) {
    add({rows.base, rows.row_stride, rows.channels});
  }

  /// Runs without channels are left out.
  void add(const ChannelRun& run) {
    if (run.channels > 0) runs[static_cast<std::size_t>(count++)] = run;
  }

  /// Run r as `number` rows.
  ConstRowView rows(std::size_t r, std::int64_t number) const {
    const ChannelRun& run = runs[r];
    ConstRowView view{run.base, run.row_stride, number, run.channels, dtype};
    std::int64_t before = 0;
    for (std::size_t other = 0; other < r; ++other) before += runs[other].channels;
    if (scales.scale != nullptr) view.scales = {scales.scale + before, scales.inverse + before};
    return view;
  }

  std::int64_t channels() const {
    std::int64_t sum = 0;
    for (int r = 0; r < count; ++r) sum += runs[static_cast<std::size_t>(r)].channels;
    return sum;
  }
};

}  // namespace voxshift
