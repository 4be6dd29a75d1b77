#include "film.h"

namespace voxshift {

Film::Film(std::size_t frames, double frames_per_second)
    : lost_(frames), seconds_per_frame_(1 / frames_per_second), playing_(frames > 1), over_(frames == 0) {}

std::optional<std::size_t> Film::find(std::ptrdiff_t frame, std::ptrdiff_t direction) const {
  for (; frame >= 0 && frame < std::ssize(lost_); frame += direction)
    if (!lost_[static_cast<std::size_t>(frame)]) return static_cast<std::size_t>(frame);
  return {};
}

bool Film::go(std::ptrdiff_t frame, std::ptrdiff_t direction) {
  const auto found = find(frame, direction);
  if (!found) return false;
  if (*found != wanted_) shown_since_.reset();
  wanted_ = *found;
  direction_ = direction;
  return true;
}

void Film::press(FilmKey key) {
  if (key == FilmKey::kPlay) {
    const bool at_end = !find(static_cast<std::ptrdiff_t>(wanted_) + 1, 1);
    if (!playing_ && at_end) go(0, 1);
    playing_ = !playing_;
    return;
  }
  playing_ = false;
  if (key == FilmKey::kNext) step(1);
  if (key == FilmKey::kBack) step(-1);
  if (key == FilmKey::kFirst) go(0, 1);
  if (key == FilmKey::kLast) go(std::ssize(lost_) - 1, -1);
  if (key == FilmKey::kClose) over_ = true;
}

void Film::shown(std::size_t frame, double now) {
  if (frame == wanted_) shown_since_ = now;
}

void Film::lose(std::size_t frame) {
  lost_[frame] = true;
  if (frame == wanted_ && !step(direction_) && !step(-direction_)) over_ = true;
}

void Film::advance(double now) {
  if (playing_ && shown_since_ && now >= *shown_since_ + seconds_per_frame_ && !step(1)) playing_ = false;
}

}  // namespace voxshift
