#include <voxshift/graph/domain.h>

#include <algorithm>

namespace voxshift {
namespace {

using DomainKind = Domain::Kind;

bool same_rows(const Domain& a, const Domain& b) {
  if (a.kind != b.kind || a.parent != b.parent) return false;
  return a.kind == DomainKind::kCoarser ? a.window.same_outputs(b.window) : a == b;
}

}  // namespace

const char* name(InputKind input) {
  constexpr const char* kNames[]{"voxels", "points", "frames"};
  return kNames[static_cast<int>(input)];
}

int Domains::add_input(InputKind kind, Extent2d frame) {
  Domain& added = all_.emplace_back();
  added.input = kind;
  added.extent = frame;
  return static_cast<int>(all_.size()) - 1;
}

bool Domains::is_input(int domain, InputKind kind) const {
  return (*this)[domain].kind == DomainKind::kInput && (*this)[domain].input == kind;
}

bool Domains::only_frames() const {
  return std::all_of(all_.begin(), all_.end(), [](const Domain& domain) {
    return domain.kind != DomainKind::kInput || domain.input == InputKind::kFrames;
  });
}

int Domains::find_or_add(const Domain& wanted) {
  for (std::size_t d = 0; d < all_.size(); ++d)
    if (same_rows(all_[d], wanted)) return static_cast<int>(d);
  all_.push_back(wanted);
  return static_cast<int>(all_.size()) - 1;
}

bool Domains::is_voxels(int domain) const {
  const DomainKind kind = (*this)[domain].kind;
  return kind == DomainKind::kCoarser || kind == DomainKind::kGenerated || kind == DomainKind::kUnion ||
         kind == DomainKind::kOfPoints || is_selection(domain) || is_input(domain, InputKind::kVoxels);
}

bool Domains::is_selection(int domain) const {
  const DomainKind kind = (*this)[domain].kind;
  return kind == DomainKind::kAbove || kind == DomainKind::kTop;
}

bool Domains::are_of_points(int voxels, int points) const {
  return (*this)[voxels].kind == DomainKind::kOfPoints && (*this)[voxels].parent == points;
}

bool Domains::is_points(int domain) const {
  const DomainKind kind = (*this)[domain].kind;
  return kind == DomainKind::kSamples || is_input(domain, InputKind::kPoints);
}

bool Domains::is_images(int domain) const {
  const DomainKind kind = (*this)[domain].kind;
  return kind == DomainKind::kImages || kind == DomainKind::kBev || is_input(domain, InputKind::kFrames);
}

bool Domains::same_stride(int a, int b) const {
  const Stride left = stride(a), right = stride(b);
  for (std::size_t axis = 0; axis < left.down.size(); ++axis)
    if (left.down[axis] * right.up[axis] != right.down[axis] * left.up[axis]) return false;
  return true;
}

Domains::Stride Domains::stride(int domain) const {
  Stride result;
  for (int d = domain; d >= 0; d = (*this)[d].parent) {
    const Domain& at = (*this)[d];
    if (at.kind != DomainKind::kCoarser && at.kind != DomainKind::kGenerated) continue;
    auto& product = at.kind == DomainKind::kCoarser ? result.down : result.up;
    for (std::size_t axis = 0; axis < product.size(); ++axis) product[axis] *= at.window.stride[axis];
  }
  return result;
}

int Domains::view_of(int images) const {
  int above = images;
  while (above >= 0 && (*this)[above].kind == DomainKind::kImages) above = (*this)[above].parent;
  return above >= 0 && (*this)[above].kind == DomainKind::kBev ? above : -1;
}

std::int64_t Domains::rows_of_image(int domain) const {
  return is_images(domain) ? (*this)[domain].extent.pixels() : 1;
}

bool Domains::lead_to(int fine, int coarse) const {
  int above = coarse;
  while (above != fine && (*this)[above].kind == DomainKind::kCoarser) above = (*this)[above].parent;
  return above == fine && coarse != fine;
}

}  // namespace voxshift
