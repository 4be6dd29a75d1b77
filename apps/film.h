// Playback of a folder's scans in `voxshift view`: which one is shown when.
#pragma once

#include <cstddef>
#include <iterator>
#include <optional>
#include <vector>

namespace voxshift {

enum class FilmKey { kPlay, kNext, kBack, kFirst, kLast, kClose };

/// Frames 0 to frames - 1. It plays to its last frame and stops there. Times are seconds of any clock.
class Film {
 public:
  Film(std::size_t frames, double frames_per_second);

  /// The frame that is to be shown.
  std::size_t wanted() const { return wanted_; }
  bool playing() const { return playing_; }
  /// Closed by key, or no frame is left.
  bool over() const { return over_; }

  /// Steps stop the film; play at its end begins it anew.
  void press(FilmKey key);

  /// The frame has been in the window since `now`.
  void shown(std::size_t frame, double now);

  /// The frame cannot be shown: from now on it is stepped over.
  void lose(std::size_t frame);

  /// Where the film plays, wants the next frame as soon as the one shown has had its time.
  void advance(double now);

 private:
  /// Nearest frame that can be shown, from `frame` on in the direction +1 or -1.
  std::optional<std::size_t> find(std::ptrdiff_t frame, std::ptrdiff_t direction) const;

  /// Wants the frame that find() finds; false where there is none.
  bool go(std::ptrdiff_t frame, std::ptrdiff_t direction);
  bool step(std::ptrdiff_t direction) { return go(static_cast<std::ptrdiff_t>(wanted_) + direction, direction); }

  std::vector<bool> lost_;
  double seconds_per_frame_;
  std::size_t wanted_ = 0;
  std::ptrdiff_t direction_ = 1;  ///< of the last step
  std::optional<double> shown_since_;
  bool playing_, over_;
};

}  // namespace voxshift
