// The windows of output pixels as staged rows of a narrow product.
#pragma once

#include <voxshift/kernels_cpu/narrow_product.h>
#include <voxshift/video/kernels.h>

#include <cstddef>
#include <cstdint>

namespace voxshift::cpu {

/// Row by row the numbers that a convolution multiplies, tap by tap and run by run.
class WindowStage {
 public:
  /// zeros: as many numbers of the dtype as a run has channels.
  WindowStage(const NarrowProduct& product, const Window2d& window, Extent2d in, Extent2d out, const ImageView& image,
              const std::byte* zeros);

  /// Bytes from staged row to staged row, and of `count` of them.
  std::int64_t stride() const { return stride_; }
  std::int64_t bytes(std::int64_t count) const { return count * stride_; }

  /// Rows of output pixels [first, first + count), or of pixels[first ..] where it is not null; picks: room for
  /// `count`.
  void stage(const std::int32_t* pixels, std::int64_t first, std::int64_t count, std::int32_t* picks,
             std::byte* to) const;

 private:
  void stage_run(const ChannelRun& run, const std::int32_t* rows, std::int64_t first, std::int64_t count,
                 std::byte* to) const;
  void stage_zeros(std::int64_t channels, std::byte* to) const;
  void stage_end(std::int64_t count, std::byte* at) const;

  const NarrowProduct& product_;
  Window2d window_;
  Extent2d in_, out_;
  const ImageView& image_;
  const std::byte* zeros_;
  std::int64_t stride_, in_width_;
};

}  // namespace voxshift::cpu
