// Checks that the ops on images share.
#pragma once

#include <voxshift/tensor/array.h>
#include <voxshift/tensor/error.h>
#include <voxshift/tensor/features.h>
#include <voxshift/tensor/row_view.h>
#include <voxshift/video/window2d.h>

#include <cstdint>
#include <limits>

namespace voxshift {

/// Pixels are numbered in 32 bits.
constexpr std::int64_t kMostPixels = std::numeric_limits<std::int32_t>::max();

inline void check_image(const char* op, const Array& x) {
  check(x.dtype() == DType::kF32 && x.rank() == 3 && x.count() > 0, "[", op, "] x expects f32 [H, W, C], found ",
        name(x.dtype()), " ", x.shape());
}

/// An image [H, W, C], or a stack of them [N, H, W, C], f32 or, on cuda, f16 or bf16.
inline void check_images(const char* op, const Array& x) {
  check(takes_rows(x.device(), x.dtype()) && (x.rank() == 3 || x.rank() == 4) && x.count() > 0, "[", op, "] x expects ",
        row_dtypes(x.device()), " [H, W, C] or [N, H, W, C], found ", name(x.dtype()), " ", x.shape());
}

inline std::int64_t images_of(const Array& x) { return x.rank() == 4 ? x.dim(0) : 1; }
inline Extent2d extent_of(const Array& x) {
  const std::size_t first = x.rank() == 4 ? 1 : 0;
  return {x.dim(first), x.dim(first + 1)};
}
inline std::int64_t channels_of(const Array& x) { return x.shape().back(); }

/// The output's extent of a window of a valid kernel size, which must have pixels.
inline Extent2d checked_out(const char* op, const Window2d& window, Extent2d in) {
  check(in.height >= 1 && in.width >= 1 && in.height <= kMostPixels && in.width <= kMostPixels / in.height, "[", op,
        "] an image expects 1 to 2^31 - 1 pixels, found ", in.height, " x ", in.width);
  check(window.stride >= 1, "[", op, "] stride expects at least 1, found ", window.stride);
  check(window.padding >= 0 && window.padding <= kMostPixels, "[", op, "] padding expects 0 to 2^31 - 1, found ",
        window.padding);
  check(in.height + 2 * window.padding >= window.kernel && in.width + 2 * window.padding >= window.kernel, "[", op,
        "] kernel ", window.kernel, " is larger than the image ", in.height, " x ", in.width, " with padding ",
        window.padding);
  const Extent2d out = window.out(in);
  check(out.width <= kMostPixels / out.height, "[", op, "] an output expects at most 2^31 - 1 pixels, found ",
        out.height, " x ", out.width);
  return out;
}

/// Of a pooling: every window has a pixel inside the image.
inline Extent2d checked_pool_out(const char* op, const Window2d& window, Extent2d in) {
  check(window.kernel >= 1, "[", op, "] kernel_size expects at least 1, found ", window.kernel);
  check(window.padding <= window.kernel / 2, "[", op, "] padding expects at most half the kernel ", window.kernel,
        ", found ", window.padding);
  return checked_out(op, window, in);
}

/// An f32 image [out.height, out.width, channels] beside x.
inline void check_out(const char* op, const Array& out, Extent2d extent, std::int64_t channels, Device device) {
  const Shape shape{extent.height, extent.width, channels};
  check(out.dtype() == DType::kF32 && out.shape() == shape && out.device() == device, "[", op, "] out expects f32 ",
        shape, " on ", name(device), ", found ", name(out.dtype()), " ", out.shape(), " on ", name(out.device()));
}

/// The pixels of an image, or of all images of a stack, as rows.
inline RowView pixels_of(Array& x) {
  const std::int64_t channels = channels_of(x);
  return {x.memory(), channels, x.count() / channels, channels, x.dtype()};
}
inline ConstRowView pixels_of(const Array& x) {
  const std::int64_t channels = channels_of(x);
  return {x.memory(), channels, x.count() / channels, channels, x.dtype()};
}

}  // namespace voxshift
