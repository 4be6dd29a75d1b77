#include <voxshift/temporal_shift/kernels.h>
#include <voxshift/temporal_shift/temporal_shift.h>
#include <voxshift/tensor/features.h>

#include <utility>
#include <vector>

namespace voxshift {
namespace {

// The channels [first, first + count) of rows, or zeros where there are no rows.
ChannelRun run_of(const ConstRowView& rows, std::int64_t first, std::int64_t count, const void* zeros) {
  if (rows.base == nullptr) return {zeros, 0, count};
  return {rows.columns(first, count).base, rows.row_stride, count};
}

void check_features(const char* op, const char* what, const Array& x, std::int64_t least_axes, const char* expected) {
  check(x.dtype() == DType::kF32 && x.rank() >= least_axes, "[", op, "] ", what, " expects f32 ", expected, ", found ",
        name(x.dtype()), " ", x.shape());
}

void check_shift_div(const char* op, const char* what, std::int64_t shift_div, std::int64_t least,
                     std::int64_t channels) {
  check(shift_div >= least && shift_div <= channels, "[", op, "] shift_div expects ", least, " to the ", channels,
        " channels of ", what, ", found ", shift_div);
}

// The pixels of all frames as rows.
template <class View, class SomeArray>
View pixels_of(SomeArray& x) {
  const std::int64_t channels = x.shape().back();
  return {x.memory(), channels, channels > 0 ? x.count() / channels : 0, channels, x.dtype()};
}

Array zeros_of(std::int64_t count, Device device) {
  return Array::from(std::vector<float>(static_cast<std::size_t>(count)), {count}).to(device);
}

enum class Time { kForwards, kBackwards };

// Every frame with its neighbours, which change places where time runs backwards: that transposes the shift.
Array shifted_clips(const char* op, const char* what, const Array& x, std::int64_t n_segment,
                    const TemporalShift& shift, Time time) {
  check(takes_rows(x.device(), x.dtype()) && x.rank() >= 2, "[", op, "] ", what, " expects ", row_dtypes(x.device()),
        " [N * n_segment, .., C], found ", name(x.dtype()), " ", x.shape());
  check(n_segment >= 1 && x.dim(0) % n_segment == 0, "[", op, "] n_segment expects a divisor of the ", x.dim(0),
        " frames of ", what, ", found ", n_segment);
  check_shift_div(op, what, shift.shift_div, shift.bidirectional ? 2 : 1, x.shape().back());

  Array out(x.shape(), x.dtype(), x.device());
  if (x.count() == 0) return out;
  const auto in_rows = pixels_of<ConstRowView>(x);
  const auto out_rows = pixels_of<RowView>(out);
  const std::int64_t frames = x.dim(0), pixels = in_rows.count / frames;
  const Array zeros = zeros_of(shift.fold(in_rows.channels), x.device());
  const Context context{x.device(), nullptr, num_threads(), nullptr};
  const auto frame = [&](std::int64_t f) { return in_rows.rows(f * pixels, pixels); };
  for (std::int64_t f = 0; f < frames; ++f) {
    ConstRowView previous, next;
    if (f % n_segment > 0) previous = frame(f - 1);
    if ((f + 1) % n_segment > 0) next = frame(f + 1);
    if (time == Time::kBackwards) std::swap(previous, next);
    const ChannelRuns runs = shifted_runs(shift, frame(f), previous, next, zeros.memory());
    temporal_shift_kernels(x.device()).gather_runs(context, runs, out_rows.rows(f * pixels, pixels));
  }
  return out;
}

}  // namespace

ChannelRuns shifted_runs(const TemporalShift& shift, const ConstRowView& frame, const ConstRowView& previous,
                         const ConstRowView& next, const void* zeros) {
  const std::int64_t fold = shift.fold(frame.channels), moved = shift.bidirectional ? 2 * fold : fold;
  ChannelRuns runs;
  runs.dtype = frame.dtype;
  runs.scales = frame.scales;
  if (shift.bidirectional) runs.add(run_of(next, 0, fold, zeros));
  runs.add(run_of(previous, moved - fold, fold, zeros));
  runs.add(run_of(frame, moved, frame.channels - moved, zeros));
  return runs;
}

Array temporal_shift(const Array& x, std::int64_t n_segment, const TemporalShift& shift) {
  return shifted_clips("temporal_shift", "x", x, n_segment, shift, Time::kForwards);
}

Array temporal_shift_backward(const Array& grad, std::int64_t n_segment, const TemporalShift& shift) {
  return shifted_clips("temporal_shift_backward", "grad", grad, n_segment, shift, Time::kBackwards);
}

StreamingShift::StreamingShift(std::int64_t shift_div) : shift_div_(shift_div) {
  check(shift_div >= 1, "[StreamingShift] shift_div expects at least 1, found ", shift_div);
}

Array StreamingShift::push(const Array& x) {
  check_features("StreamingShift", "x", x, 1, "[.., C]");
  check_shift_div("StreamingShift", "x", shift_div_, 1, x.shape().back());
  const bool first = shape_.empty();
  check(first || x.shape() == shape_, "[StreamingShift] x expects the stream's shape ", shape_, ", found ", x.shape(),
        "; reset() begins a new stream");
  check(first || x.device() == cache_.device(), "[StreamingShift] x expects the stream's device ",
        name(cache_.device()), ", found ", name(x.device()));

  const TemporalShift shift{shift_div_, false};
  const auto frame = pixels_of<ConstRowView>(x);
  const std::int64_t fold = shift.fold(frame.channels);
  Array out(x.shape(), DType::kF32, x.device());
  const Array zeros = zeros_of(first ? fold : 0, x.device());
  Array cache = first ? Array({frame.count, fold}, DType::kF32, x.device()) : cache_;
  const Context context{x.device(), nullptr, num_threads(), nullptr};
  const auto& kernels = temporal_shift_kernels(x.device());
  const ConstRowView previous = first ? ConstRowView() : rows_of(std::as_const(cache));
  kernels.gather_runs(context, shifted_runs(shift, frame, previous, {}, zeros.memory()), pixels_of<RowView>(out));
  kernels.remember(context, frame, nullptr, frame.count, rows_of(cache));
  shape_ = x.shape();
  cache_ = std::move(cache);
  return out;
}

void StreamingShift::reset() {
  shape_.clear();
  cache_ = Array();
}

}  // namespace voxshift
