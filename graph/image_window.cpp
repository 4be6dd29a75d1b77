#include <voxshift/graph/image_window.h>
#include <voxshift/rows/kernels.h>

#include <algorithm>

namespace voxshift {

Window2d image_window_of(const Node& node, std::int64_t kernel) {
  return {kernel, node.whole("stride"), node.whole("padding")};
}

int inferred_images(Inference& node, const Window2d& window) {
  const int in = node.expect_images(0);
  node.expect(window.padding <= window.kernel / 2, "expects a padding of 0 to ", window.kernel / 2,
              ", half its kernel, found ", window.padding);
  const Extent2d extent = node.domains()[in].extent;
  if (extent.pixels() > 0) {
    node.expect(std::min(extent.height, extent.width) + 2 * window.padding >= window.kernel, "needs images of ",
                window.kernel - 2 * window.padding, " pixels at least, found ", extent.height, " x ", extent.width);
    return inferred_images(node, window.out(extent));
  }
  // floor((n + 2 padding - kernel) / stride) + 1 is n where nothing is lost at the edges
  return window.stride == 1 && window.kernel == 2 * window.padding + 1 ? in : inferred_images(node, extent);
}

int inferred_images(Inference& node, Extent2d extent) {
  int root = node.expect_images(0);
  Domain images;
  images.kind = Domain::Kind::kImages;
  images.parent = root;
  if (node.domains()[root].extent.pixels() == 0) return node.domains().find_or_add(images);
  if (node.domains()[root].kind == Domain::Kind::kImages) root = node.domains()[root].parent;
  node.expect(extent.height <= kMostImagePixels / extent.width, "makes images of ", extent.height, " x ", extent.width,
              " pixels, expected at most ", kMostImagePixels);
  if (node.domains()[root].extent == extent) return root;
  images.parent = root;
  images.extent = extent;
  return node.domains().find_or_add(images);
}

Weights image_weights(const Node& node, const Parameters& parameters) {
  return {parameters.at(node.parameters.at("weight")), bias_of(node, parameters),
          parameter_of(node, parameters, kWeightScale)};
}

void ImageStep::run(const StepRun& run) const {
  const std::int64_t from = in_.pixels(), to = out_.pixels();
  for (std::int64_t i = 0; i * to < run.y.count; ++i)
    run_image(run.context, run.x.rows(i * from, from),
              run.other.base != nullptr ? run.other.rows(i * to, to) : ConstRowView(), run.y.rows(i * to, to));
}

ProductEnd::ProductEnd(const Draft& draft, bool kernel_adds)
    : adds_after(!draft.residual.empty() && (!kernel_adds || draft.residual_last)),
      in_kernel(adds_after && !draft.residual_last ? Activation{} : draft.activation),
      after(draft.residual_last ? Activation{} : draft.activation) {}

void ProductEnd::add(const Context& context, const ConstRowView& residual, Pixels pixels, const RowView& out) const {
  const RowKernels& kernels = row_kernels(context.device);
  if (pixels.rows == nullptr) return kernels.affine(context, out, nullptr, nullptr, residual, after, out);
  const Arena::Mark mark = context.arena->mark();
  const auto bytes = static_cast<std::size_t>(out.count * out.channels) * size_of(residual.dtype);
  const RowView taken{
      context.arena->allocate_bytes(bytes), out.channels, out.count, out.channels, residual.dtype, residual.scales};
  kernels.gather(context, residual, pixels.rows, taken);
  kernels.affine(context, out, nullptr, nullptr, taken, after, out);
  context.arena->rewind(mark);
}

void ImageProductStep::run_image(const Context& context, const ConstRowView& x, const ConstRowView& residual,
                                 const RowView& y) const {
  multiply(context, x, end_.adds_after ? ConstRowView() : residual, y);
  if (end_.adds_after) end_.add(context, residual, {nullptr, y.count}, y);
}

}  // namespace voxshift
