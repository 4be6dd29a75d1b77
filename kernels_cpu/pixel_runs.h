// Output pixels run by run, and the taps of a window that lie inside an image.
#pragma once

#include <voxshift/video/kernels.h>

#include <algorithm>
#include <cstdint>

namespace voxshift::cpu {

/// Consecutive pixels of one image row: entries [first, first + count) of a list are (y, x) .. (y, x + count - 1).
struct PixelRun {
  std::int64_t first, y, x, count;
};

/// Calls body(run) for the entries [first, last) of `pixels` of an image, in order.
template <class Body>
void for_pixel_runs(Pixels pixels, std::int64_t width, std::int64_t first, std::int64_t last, const Body& body) {
  if (first >= last) return;
  std::int64_t y = (pixels.rows ? pixels.rows[first] : first) / width, begin = y * width;  // of the image row
  while (first < last) {
    const std::int64_t p = pixels.rows ? pixels.rows[first] : first;
    for (; p >= begin + width; begin += width) ++y;
    const std::int64_t most = std::min(last - first, begin + width - p);
    std::int64_t count = pixels.rows ? 1 : most;
    while (count < most && pixels.rows[first + count] == p + count) ++count;
    body(PixelRun{first, y, p - begin, count});
    first += count;
  }
}

/// Taps [first, last) of a window that starts at `start` lie inside [0, n).
struct TapRange {
  std::int64_t first, last;

  TapRange(std::int64_t start, std::int64_t kernel, std::int64_t n)
      : first(std::max<std::int64_t>(0, -start)), last(std::min(kernel, n - start)) {}
  std::int64_t count() const { return last - first; }
};

}  // namespace voxshift::cpu
