#include <voxshift/graph/image_window.h>

namespace voxshift {

Window2d image_window_of(const Node& node, std::int64_t kernel) {
  return {kernel, node.whole("stride"), node.whole("padding")};
}

int inferred_images(Inference& node, const Window2d& window) {
  const int in = node.expect_images(0);
  node.expect(window.padding <= window.kernel / 2, "expects a padding of 0 to ", window.kernel / 2,
              ", half its kernel, found ", window.padding);
  // floor((n + 2 padding - kernel) / stride) + 1 is n where nothing is lost at the edges
  if (window.stride == 1 && window.kernel == 2 * window.padding + 1) return in;
  Domain images;
  images.kind = Domain::Kind::kImages;
  images.parent = in;
  images.window2d = {window.kernel - 2 * window.padding, window.stride, 0};
  return node.domains().find_or_add(images);
}

}  // namespace voxshift
