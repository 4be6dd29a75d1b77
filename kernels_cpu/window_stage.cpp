#include <voxshift/kernels_cpu/window_stage.h>

#include <algorithm>
#include <cstring>

namespace voxshift::cpu {

// A piece of a row that is staged may end in zeros up to a multiple of 64 bytes: where it is not the first one of its
// row, they may reach beyond the row's end.
WindowStage::WindowStage(const NarrowProduct& product, const Window2d& window, Extent2d in, Extent2d out,
                         const ImageView& image, const std::byte* zeros)
    : product_(product), window_(window), in_(in), out_(out), image_(image), zeros_(zeros) {
  const std::int64_t pieces = window.kernel * window.kernel * image.rows.count;
  stride_ = product.row_bytes(window.kernel * window.kernel * image.rows.channels()) + (pieces > 1 ? 64 : 0);
  in_width_ = image.border > 0 ? image.pitch / image.rows.runs[0].row_stride : in.width;
}

void WindowStage::stage_run(const ChannelRun& run, const std::int32_t* rows, std::int64_t first, std::int64_t count,
                            std::byte* to) const {
  const auto size = static_cast<std::int64_t>(size_of(image_.rows.dtype));
  const auto* const from = static_cast<const std::byte*>(run.base) + first * run.row_stride * size;
  product_.stage({from, run.row_stride * size, rows, count, run.channels, to, stride_});
}

void WindowStage::stage_zeros(std::int64_t channels, std::byte* to) const {
  product_.stage({zeros_, 0, nullptr, 1, channels, to, stride_});
}

// Of the last group of a row, what its last piece has not written.
void WindowStage::stage_end(std::int64_t count, std::byte* at) const {
  const std::int64_t channels = window_.kernel * window_.kernel * image_.rows.channels();
  const std::int64_t left = product_.groups(channels) * product_.group - channels;
  for (std::int64_t n = 0; left > 0 && n < count; ++n)
    std::memset(at + n * stride_, 0, static_cast<std::size_t>(left * product_.staged_size));
}

void WindowStage::stage(const std::int32_t* pixels, std::int64_t first, std::int64_t count, std::int32_t* picks,
                        std::byte* to) const {
  const ChannelRuns& runs = image_.rows;
  std::byte* at = to;
  if (window_.pointwise()) {
    for (int r = 0; r < runs.count; ++r) {
      const ChannelRun& run = runs.runs[static_cast<std::size_t>(r)];
      stage_run(run, pixels != nullptr ? pixels + first : nullptr, pixels != nullptr ? 0 : first, count, at);
      at += run.channels * product_.staged_size;
    }
    return stage_end(count, at);
  }
  const auto row_of = [&](std::int64_t pixel, std::int64_t i, std::int64_t j, bool& inside) {
    const std::int64_t y = pixel / out_.width * window_.stride - window_.padding + i;
    const std::int64_t x = pixel % out_.width * window_.stride - window_.padding + j;
    inside = image_.border > 0 || (y >= 0 && y < in_.height && x >= 0 && x < in_.width);
    return inside ? static_cast<std::int32_t>(y * in_width_ + x) : 0;
  };
  for (std::int64_t i = 0; i < window_.kernel; ++i)
    for (std::int64_t j = 0; j < window_.kernel; ++j) {
      bool inside = true, all = true;
      for (std::int64_t n = 0; n < count; ++n, all = all && inside)
        picks[n] = row_of(pixels != nullptr ? pixels[first + n] : first + n, i, j, inside);
      for (int r = 0; r < runs.count; ++r) {
        const ChannelRun& run = runs.runs[static_cast<std::size_t>(r)];
        stage_run(run, picks, 0, count, at);
        for (std::int64_t n = 0; n < count && !all; ++n) {
          row_of(pixels != nullptr ? pixels[first + n] : first + n, i, j, inside);
          if (!inside) stage_zeros(run.channels, at + n * stride_);
        }
        at += run.channels * product_.staged_size;
      }
    }
  stage_end(count, at);
}

}  // namespace voxshift::cpu
