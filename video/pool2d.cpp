#include <voxshift/tensor/runtime.h>
#include <voxshift/video/checks.h>
#include <voxshift/video/kernels.h>
#include <voxshift/video/pool2d.h>

namespace voxshift {
namespace {

Array pool2d(const char* op, const Array& x, const Window2d& window, decltype(&VideoKernels::max_pool) pool) {
  check_image(op, x);
  const Extent2d extent = checked_pool_out(op, window, extent_of(x));
  Array out({extent.height, extent.width, x.dim(2)}, DType::kF32, x.device());
  const Context context{x.device(), nullptr, num_threads(), nullptr};
  (video_kernels(x.device()).*pool)(context, window, extent_of(x), pixels_of(x), {nullptr, extent.pixels()},
                                    pixels_of(out));
  return out;
}

}  // namespace

Array max_pool2d(const Array& x, const Window2d& window) {
  return pool2d("max_pool2d", x, window, &VideoKernels::max_pool);
}

Array avg_pool2d(const Array& x, const Window2d& window) {
  return pool2d("avg_pool2d", x, window, &VideoKernels::avg_pool);
}

Array global_avg_pool2d(const Array& x) {
  check_image("global_avg_pool2d", x);
  Array out({x.dim(2)}, DType::kF32, x.device());
  const Context context{x.device(), nullptr, num_threads(), nullptr};
  video_kernels(x.device()).mean_rows(context, pixels_of(x), {out.memory(), x.dim(2), 1, x.dim(2), out.dtype()});
  return out;
}

}  // namespace voxshift
