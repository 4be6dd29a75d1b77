// Maxima and sums of rows of numbers of any dtype.
#include <voxshift/kernels_cpu/narrow_sums.h>

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/narrow_sums.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/numbers.h>

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// merge_rows() for one kind of numbers.
struct MergeNumbers {
  const ConstRowView& in;
  Merging merging;
  const std::int32_t* in_rows;
  const std::int32_t* out_rows;
  std::int64_t count, first_out;
  const MergedRows& merged;

  template <DType kType>
  HWY_INLINE void run() const {
    if (merging.max) {
      each_pair([&](std::int64_t i, bool first, void* to)
                    HWY_ATTR { add<kType, true>(i, first, static_cast<float*>(to)); });
    } else if (merging.whole) {
      each_pair([&](std::int64_t i, bool first, void* to)
                    HWY_ATTR { add_whole(i, first, static_cast<std::int32_t*>(to)); });
    } else {
      each_pair([&](std::int64_t i, bool first, void* to)
                    HWY_ATTR { add<kType, false>(i, first, static_cast<float*>(to)); });
    }
  }

 private:
  template <class Add>
  HWY_INLINE void each_pair(const Add& add) const {
    constexpr std::int64_t kAhead = 4, kLine = 64;  // rows lie anywhere: they are asked for before they are needed
    const std::int64_t bytes = in.channels * static_cast<std::int64_t>(size_of(in.dtype));
    for (std::int64_t p = 0; p < count; ++p) {
      if (p + kAhead < count)
        for (std::int64_t b = 0; b < bytes; b += kLine)
          hwy::Prefetch(row_bytes<const std::byte>(in, in_rows[p + kAhead]) + b);
      const std::int64_t r = out_rows ? out_rows[p] - first_out : 0;
      add(in_rows[p], merged.present[r]++ == 0, static_cast<float*>(merged.rows) + r * merged.stride);
    }
  }

  template <DType kType, bool kMax>
  HWY_INLINE void add(std::int64_t i, bool first, float* to) const {
    const TypedRow<kType> row(in, i);
    for (std::int64_t c = 0; c < in.channels; c += kLanes) {
      const std::int64_t n = std::min<std::int64_t>(kLanes, in.channels - c);
      FloatVector x = row(c, n);
      if (!first) {
        const FloatVector so_far = load_lanes(to + c, n);
        x = kMax ? hn::IfThenElse(exceeding(x, so_far), x, so_far) : hn::Add(so_far, x);
      }
      store_lanes(x, to + c, n);
    }
  }

  HWY_INLINE void add_whole(std::int64_t i, bool first, std::int32_t* to) const {
    const auto* const row = row_bytes<const std::int8_t>(in, i);
    std::int64_t c = 0;
    for (; c + kLanes <= in.channels; c += kLanes) {
      auto x = whole_bytes(row + c);
      if (!first) x = hn::Add(x, hn::LoadU(Ints(), to + c));
      hn::StoreU(x, Ints(), to + c);
    }
    for (; c < in.channels; ++c) to[c] = (first ? 0 : to[c]) + row[c];
  }
};

void merge_numbers(const ConstRowView& in, Merging merging, const std::int32_t* in_rows, const std::int32_t* out_rows,
                   std::int64_t count, std::int64_t first_out, const MergedRows& merged) {
  with_numbers(in.dtype, MergeNumbers{in, merging, in_rows, out_rows, count, first_out, merged});
}

void finish_numbers(const MergedRows& merged, const ConstRowView& in, Merging merging, bool mean, const RowView& out,
                    std::int64_t first, std::int64_t rows) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const NumberWriter write(out, first + r);
    const std::int32_t present = merged.present[r];
    const auto* const numbers = static_cast<const float*>(merged.rows) + r * merged.stride;
    const FloatVector divisor = hn::Set(Floats(), static_cast<float>(present));
    for (std::int64_t c = 0; c < out.channels; c += kLanes) {
      const std::int64_t n = std::min<std::int64_t>(kLanes, out.channels - c);
      FloatVector x = hn::Zero(Floats());
      if (present > 0) x = load_lanes(numbers + c, n);
      if (merging.whole && present > 0)
        x = hn::Mul(hn::ConvertTo(Floats(), hn::BitCast(Ints(), x)), load_lanes(in.scales.scale + c, n));
      if (mean && present > 1) x = hn::Div(x, divisor);
      write(x, c, n);
    }
  }
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(merge_numbers);
HWY_EXPORT(finish_numbers);

void merge_rows(const ConstRowView& in, Merging merging, const std::int32_t* in_rows, const std::int32_t* out_rows,
                std::int64_t count, std::int64_t first_out, const MergedRows& merged) {
  HWY_DYNAMIC_DISPATCH(merge_numbers)(in, merging, in_rows, out_rows, count, first_out, merged);
}

void finish_merged(const MergedRows& merged, const ConstRowView& in, Merging merging, bool mean, const RowView& out,
                   std::int64_t first, std::int64_t rows) {
  HWY_DYNAMIC_DISPATCH(finish_numbers)(merged, in, merging, mean, out, first, rows);
}

}  // namespace voxshift::cpu
#endif
