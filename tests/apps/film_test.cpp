// Which frame a film wants, as time passes and keys are pressed.
#include "film.h"

#include <gtest/gtest.h>

#include <optional>

namespace voxshift {
namespace {

/// Shows every wanted frame at once, for `seconds` from `now` on in steps of 10 ms; returns what was wanted last.
std::size_t after(Film& film, double seconds, double& now) {
  std::optional<std::size_t> in_window;
  for (const double end = now + seconds; now < end; now += 0.01) {
    film.advance(now);
    if (in_window != film.wanted()) film.shown(film.wanted(), now);
    in_window = film.wanted();
  }
  return film.wanted();
}

std::size_t pressed(Film& film, FilmKey key) {
  film.press(key);
  return film.wanted();
}

TEST(Film, PlaysAtItsRateAndStopsAtTheEnd) {
  Film film(3, 2);
  EXPECT_FALSE(film.over());
  EXPECT_EQ(film.wanted(), 0u);
  film.shown(0, 5);
  film.advance(5.49);
  EXPECT_EQ(film.wanted(), 0u);
  film.advance(5.5);
  EXPECT_EQ(film.wanted(), 1u);
  film.advance(99);
  EXPECT_EQ(film.wanted(), 1u) << "a frame that is not shown yet is not passed over";
  film.shown(0, 99);
  film.advance(100);
  EXPECT_EQ(film.wanted(), 1u) << "another frame than the wanted one was shown";
  film.shown(1, 100);
  film.advance(100.5);
  EXPECT_EQ(film.wanted(), 2u);
  film.shown(2, 101);
  film.advance(102);
  EXPECT_EQ(film.wanted(), 2u);
  EXPECT_FALSE(film.playing());
  EXPECT_FALSE(film.over());
}

TEST(Film, PlayPausesAndAtTheEndBeginsAnew) {
  Film film(2, 10);
  film.press(FilmKey::kPlay);
  film.shown(0, 0);
  film.advance(50);
  EXPECT_EQ(film.wanted(), 0u);
  film.press(FilmKey::kPlay);
  film.advance(51);
  EXPECT_EQ(film.wanted(), 1u);
  film.shown(1, 51);
  film.advance(52);
  EXPECT_FALSE(film.playing());
  film.press(FilmKey::kPlay);
  EXPECT_EQ(film.wanted(), 0u);
  EXPECT_TRUE(film.playing());
  film.advance(60);
  EXPECT_EQ(film.wanted(), 0u) << "its first frame has not been shown again";
  double now = 60;
  EXPECT_EQ(after(film, 1, now), 1u);
}

TEST(Film, StepsStopItAndStayInside) {
  Film film(3, 10);
  double now = 0;
  EXPECT_EQ(pressed(film, FilmKey::kBack), 0u);
  EXPECT_EQ(after(film, 5, now), 0u);
  EXPECT_EQ(pressed(film, FilmKey::kNext), 1u);
  EXPECT_EQ(pressed(film, FilmKey::kLast), 2u);
  EXPECT_EQ(pressed(film, FilmKey::kNext), 2u);
  EXPECT_EQ(pressed(film, FilmKey::kBack), 1u);
  EXPECT_EQ(pressed(film, FilmKey::kFirst), 0u);
  EXPECT_EQ(after(film, 5, now), 0u);
}

TEST(Film, LostFramesAreSteppedOver) {
  Film film(5, 10);
  film.lose(0);
  EXPECT_EQ(film.wanted(), 1u);
  film.shown(1, 0);
  film.advance(1);
  film.lose(2);
  EXPECT_EQ(film.wanted(), 3u);
  EXPECT_EQ(pressed(film, FilmKey::kBack), 1u);
  EXPECT_EQ(pressed(film, FilmKey::kFirst), 1u);
  film.press(FilmKey::kLast);
  film.lose(4);
  EXPECT_EQ(film.wanted(), 3u) << "back, where the end is lost";
  film.lose(1);
  EXPECT_EQ(film.wanted(), 3u);
  EXPECT_FALSE(film.over());
  film.lose(3);
  EXPECT_TRUE(film.over());
}

TEST(Film, EndsByKeyAndWithoutFrames) {
  Film film(1, 10);
  EXPECT_FALSE(film.playing());
  film.press(FilmKey::kClose);
  EXPECT_TRUE(film.over());
  EXPECT_TRUE(Film(0, 10).over());
}

}  // namespace
}  // namespace voxshift
