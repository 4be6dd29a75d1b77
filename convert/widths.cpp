#include <voxshift/convert/widths.h>
#include <voxshift/graph/op.h>

#include <algorithm>
#include <cmath>

namespace voxshift {
namespace {

int channels(const std::string& tensor, std::int64_t count) {
  check(count >= 1 && count <= kMostChannels, "\"", tensor, "\" has ", count, " channels, expected 1 to ",
        kMostChannels);
  return static_cast<int>(count);
}

}  // namespace

const Shape& Widths::kernel_shape(const std::string& kernel) const {
  const Shape& shape = state_->shape(kernel);
  const std::size_t least = has_flat_taps(layout_) ? 2 : 3;
  check(shape.size() >= least, "\"", kernel, "\" is ", shape, ", expected the kernel of a sparse convolution");
  return shape;
}

int Widths::in(const std::string& kernel) const {
  const Shape& shape = kernel_shape(kernel);
  const bool last = layout_ == KernelLayout::kSpconv20 || layout_ == KernelLayout::kSpconv22;
  return channels(kernel, shape[shape.size() - (last ? 1 : 2)]);
}

int Widths::out(const std::string& kernel) const {
  const Shape& shape = kernel_shape(kernel);
  const KernelLayout layout = layout_of(shape, layout_);
  if (layout == KernelLayout::kSpconv22) return channels(kernel, shape.front());
  return channels(kernel, shape[shape.size() - (layout == KernelLayout::kSpconv20 ? 2 : 1)]);
}

int Widths::cubic_size(const std::string& kernel) const {
  const Shape& shape = kernel_shape(kernel);
  std::int64_t taps = 1;
  if (!has_flat_taps(layout_)) {
    taps = shape[1];  // the second axis is one of the window in every layout of spconv
  } else if (shape.size() == 3) {
    taps = std::lround(std::cbrt(static_cast<double>(shape[0])));
    check(taps * taps * taps == shape[0], "\"", kernel, "\" is ", shape, ", expected the taps of a cube");
  }
  return channels(kernel, taps);
}

int Widths::rows(const std::string& tensor) const {
  const Shape& shape = state_->shape(tensor);
  check(!shape.empty(), "\"", tensor, "\" is a number, expected a vector or a matrix");
  return channels(tensor, shape.front());
}

}  // namespace voxshift
