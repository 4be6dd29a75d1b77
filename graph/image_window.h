// Ops that move a window over images: conv2d, conv_transpose2d, max_pool2d.
#pragma once

#include <voxshift/graph/draft.h>
#include <voxshift/graph/step.h>
#include <voxshift/video/layers.h>

namespace voxshift {

constexpr std::int64_t kMostStride2d = 8;

/// The window that the attributes say.
Window2d image_window_of(const Node& node, std::int64_t kernel);

/// The images that the window makes of the node's input.
int inferred_images(Inference& node, const Window2d& window);

/// The images of this extent beside those of the node's input.
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

/// The end of a product of images: what its kernel cannot do with a sum is done after it.
class ImageProductStep : public ImageStep {
 public:
  ImageProductStep(Extent2d in, Extent2d out, const Draft& draft, bool kernel_adds);

 protected:
  /// The kernel's part.
  virtual void multiply(const Context& context, const ConstRowView& x, const ConstRowView& residual,
                        const RowView& y) const = 0;
  const Activation& kernel_activation() const { return in_kernel_; }

 private:
  void run_image(const Context& context, const ConstRowView& x, const ConstRowView& residual,
                 const RowView& y) const final;

  bool adds_after_;
  Activation in_kernel_, after_;
};

}  // namespace voxshift
