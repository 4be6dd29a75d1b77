#include <voxshift/convert/unet.h>
#include <voxshift/networks/spvcnn.h>

#include <utility>

namespace voxshift {
namespace {

constexpr std::size_t kMostLevels = 16;  // more than there are bits in a coordinate's step

std::string kernel_of(const LayerNames& names) { return names.layer + "." + names.weight; }

}  // namespace

SketchedUNet::SketchedUNet(const Widths& widths, UNetNames names, UNetLevels kind)
    : widths_(widths),
      names_(std::move(names)),
      kind_(kind),
      net_(InputKind::kVoxels, widths.in(kernel_of(names_.stem.front())), std::nullopt) {
  while (levels_ < kMostLevels && widths_.has(kernel_of(names_.down(levels_ + 1)))) ++levels_;
}

std::string SketchedUNet::layer(const LayerNames& names, const std::string& x, int stride, const char* op) {
  const std::string kernel = kernel_of(names);
  const int size = stride == 1 ? widths_.cubic_size(kernel) : stride;
  Window window;
  window.size = {size, size, size, 1};
  window.stride = {stride, stride, stride, 1};
  if (stride > 1 && kind_ == UNetLevels::kBounded) window.semantics = Semantics::kBounded;
  const std::string y = net_.conv(names.layer, x, widths_.out(kernel), window, op, names.weight);
  return net_.relu(names.norm + ".relu", net_.norm(names.norm, y, names.eps));
}

std::string SketchedUNet::blocks(const std::function<std::string(std::size_t block)>& name, std::string x) {
  for (std::size_t b = 0;; ++b) {
    const ResidualNames names = names_.block(name(b));
    if (!widths_.has(kernel_of(names.first))) return x;
    const bool project = widths_.has(kernel_of(names.shortcut));
    x = residual(net_, names, x, widths_.out(kernel_of(names.first)), widths_.out(kernel_of(names.second)), project);
  }
}

std::string SketchedUNet::stem() {
  std::string x = kGraphInput;
  for (const LayerNames& names : names_.stem) x = layer(names, x, 1, "conv");
  return x;
}

std::string SketchedUNet::down(std::size_t level, const std::string& x) {
  return blocks([&](std::size_t b) { return names_.down_block(level, b); }, layer(names_.down(level), x, 2, "conv"));
}

std::string SketchedUNet::up(std::size_t step, const std::string& x, const std::string& skip) {
  const LayerNames names = names_.up(step);
  const std::string y = layer(names, x, 2, "conv_transpose");
  return blocks([&](std::size_t b) { return names_.up_block(step, b); },
                net_.add(names.layer + ".cat", "cat", {y, skip}));
}

std::string SketchedUNet::whole(std::vector<std::string>* values) {
  std::vector<std::string> all{stem()};
  for (std::size_t level = 1; level <= levels_; ++level) all.push_back(down(level, all.back()));
  for (std::size_t step = 1; step <= levels_; ++step) all.push_back(up(step, all.back(), all[levels_ - step]));
  if (values != nullptr) *values = all;
  return all.back();
}

std::string SketchedUNet::whole_with_points(const std::string& prefix) {
  const PointVoxelBlocks blocks{
      [&](std::size_t level, const std::string& x) { return down(level, x); },
      [&](std::size_t step, const std::string& x, const std::string& skip) { return up(step, x, skip); },
      [&](std::size_t branch) {
        const std::string name = prefix + std::to_string(branch);
        return LayerNames{name + ".0", name + ".1"};
      }};
  return point_voxel_unet(net_, stem(), blocks);
}

}  // namespace voxshift
