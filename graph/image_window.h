// Ops that move a window over images: conv2d, conv_transpose2d, max_pool2d.
#pragma once

#include <voxshift/graph/draft.h>
#include <voxshift/graph/step.h>
#include <voxshift/video/layers.h>

namespace voxshift {

constexpr std::int64_t kMostStride2d = 8;
constexpr std::int64_t kMostImagePixels = std::int64_t{1} << 24;

/// The window that the attributes say.
Window2d image_window_of(const Node& node, std::int64_t kernel);

/// The images that the window makes of the node's input.
int inferred_images(Inference& node, const Window2d& window);

/// The images of this extent beside those of the node's input; of an unknown one where that of the input is.
int inferred_images(Inference& node, Extent2d extent);

/// The weight as it is, and the bias.
Weights image_weights(const Node& node, const Parameters& parameters);

/// A step that makes of each image one of `out`.
class ImageStep : public Step {
 public:
  ImageStep(Extent2d in, Extent2d out) : in_(in), out_(out) {}
  void run(const StepRun& run) const final;

 protected:
  Extent2d in() const { return in_; }

  /// One image; residual has a row for every pixel of y, or no base.
  virtual void run_image(const Context& context, const ConstRowView& x, const ConstRowView& residual,
                         const RowView& y) const = 0;

 private:
  Extent2d in_, out_;
};

/// The end of a product of images: a sum that its kernel cannot do is done after it.
struct ProductEnd {
  bool adds_after;
  Activation in_kernel, after;

  ProductEnd(const Draft& draft, bool kernel_adds);

  /// out[i] = after(out[i] + residual[p]) for p = pixels[i].
  void add(const Context& context, const ConstRowView& residual, Pixels pixels, const RowView& out) const;
};

/// A product that computes whole images.
class ImageProductStep : public ImageStep {
 public:
  ImageProductStep(Extent2d in, Extent2d out, const Draft& draft, bool kernel_adds)
      : ImageStep(in, out), end_(draft, kernel_adds) {}

 protected:
  /// The kernel's part.
  virtual void multiply(const Context& context, const ConstRowView& x, const ConstRowView& residual,
                        const RowView& y) const = 0;
  const Activation& kernel_activation() const { return end_.in_kernel; }

 private:
  void run_image(const Context& context, const ConstRowView& x, const ConstRowView& residual,
                 const RowView& y) const final;

  ProductEnd end_;
};

}  // namespace voxshift
