#include <voxshift/graph/domain.h>

namespace voxshift {
namespace {

using DomainKind = Domain::Kind;

bool same_rows(const Domain& a, const Domain& b) {
  if (a.kind != b.kind || a.parent != b.parent) return false;
  return a.kind == DomainKind::kCoarser ? a.window.same_outputs(b.window) : a == b;
}

}  // namespace

const char* name(GraphInput input) {
  constexpr const char* kNames[]{"voxels", "points", "frames"};
  return kNames[static_cast<int>(input)];
}

int Domains::find_or_add(const Domain& wanted) {
  for (std::size_t d = 0; d < all_.size(); ++d)
    if (same_rows(all_[d], wanted)) return static_cast<int>(d);
  all_.push_back(wanted);
  return static_cast<int>(all_.size()) - 1;
}

bool Domains::is_voxels(int domain) const {
  const DomainKind kind = (*this)[domain].kind;
  return kind == DomainKind::kCoarser || (kind == DomainKind::kInput && input_ == GraphInput::kVoxels);
}

bool Domains::is_points(int domain) const {
  const DomainKind kind = (*this)[domain].kind;
  return kind == DomainKind::kSamples || (kind == DomainKind::kInput && input_ == GraphInput::kPoints);
}

bool Domains::is_images(int domain) const {
  const DomainKind kind = (*this)[domain].kind;
  return kind == DomainKind::kImages || kind == DomainKind::kBev ||
         (kind == DomainKind::kInput && input_ == GraphInput::kFrames);
}

std::int64_t Domains::rows_of_image(int domain) const {
  return is_images(domain) ? (*this)[domain].extent.pixels() : 1;
}

bool Domains::lead_to(int fine, int coarse) const {
  int above = coarse;
  while (above != fine && (*this)[above].kind == DomainKind::kCoarser &&
         (*this)[above].window.semantics == Semantics::kFloor)
    above = (*this)[above].parent;
  return above == fine && coarse != fine;
}

}  // namespace voxshift
