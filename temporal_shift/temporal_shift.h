// The temporal shift of TSM (Lin et al., ICCV 2019): a few channels of every frame are those of its neighbours in time.
#pragma once

#include <voxshift/tensor/array.h>
#include <voxshift/tensor/channel_runs.h>

#include <cstdint>

namespace voxshift {

/// fold = C / shift_div channels move. Bidirectional (offline): channels [0, fold) come from the next frame and
/// [fold, 2 fold) from the previous one. One direction (online): channels [0, fold) come from the previous frame. The
/// others stay. Before the first frame and after the last one everything is 0.
struct TemporalShift {
  std::int64_t shift_div = 8;
  bool bidirectional = false;

  /// Channels that move in one direction.
  std::int64_t fold(std::int64_t channels) const { return channels / shift_div; }

  bool operator==(const TemporalShift&) const = default;
};

/// The shifted rows of one frame as runs of channels, nothing copied. `previous` needs the rows' first fold (online) or
/// first 2 fold (offline) channels; a null base stands for a frame of zeros, which are read from `zeros` [fold]. All
/// are of the frame's dtype.
ChannelRuns shifted_runs(const TemporalShift& shift, const ConstRowView& frame, const ConstRowView& previous,
                         const ConstRowView& next, const void* zeros);

/// Shifts clips: x [N * n_segment, .., C], f32 or, on CUDA, f16 or bf16, holds n_segment frames of each clip one after
/// the other, channels last. Throws InvalidArgument for another dtype, fewer than two axes, a number of frames that
/// n_segment does not divide, or shift_div outside 1..C (2..C when bidirectional).
Array temporal_shift(const Array& x, std::int64_t n_segment, const TemporalShift& shift = {8, true});

/// Gradient of x, of grad's shape, for grad, that of temporal_shift(x, n_segment, shift): every channel goes back to
/// the frame it came from, which is the same shift of the clip played backwards. Throws InvalidArgument as
/// temporal_shift.
Array temporal_shift_backward(const Array& grad, std::int64_t n_segment, const TemporalShift& shift = {8, true});

/// The online shift frame by frame: keeps the first fold channels of the last frame.
class StreamingShift {
 public:
  explicit StreamingShift(std::int64_t shift_div = 8);

  /// x f32 [.., C] of one frame, channels last; every frame of a stream has the same shape. The first one after a reset
  /// is shifted against zeros. Throws InvalidArgument.
  Array push(const Array& x);

  /// Forgets the last frame, and with it the shape.
  void reset();

 private:
  std::int64_t shift_div_;
  Shape shape_;
  Array cache_;
};

}  // namespace voxshift
