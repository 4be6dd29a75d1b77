#include <voxshift/onnx/view.h>

#include <algorithm>

namespace voxshift::onnx {
namespace {

/// The channel that each index of the axis' channels begins at.
std::vector<std::int64_t> channel_offsets(const Axis& axis) {
  std::vector<std::int64_t> offsets{0};
  for (const Atom& atom : axis) {
    if (atom.kind != Atom::Kind::kChannels) continue;
    std::vector<std::int64_t> finer;
    for (const std::int64_t offset : offsets)
      for (std::int64_t i = 0; i < atom.extent; ++i) finer.push_back(offset + i * atom.step);
    offsets = std::move(finer);
  }
  return offsets;
}

std::vector<std::int64_t> sums_of(const std::vector<std::vector<std::int64_t>>& axes) {
  std::vector<std::int64_t> all{0};
  for (const std::vector<std::int64_t>& axis : axes) {
    if (axis.size() == 1 && axis.front() == 0) continue;
    std::vector<std::int64_t> finer;
    for (const std::int64_t offset : all)
      for (const std::int64_t more : axis) finer.push_back(offset + more);
    all = std::move(finer);
  }
  return all;
}

Axis joined(const Axis& axis) {
  Axis result;
  for (const Atom& atom : axis) {
    const bool continues = !result.empty() && atom.kind == Atom::Kind::kChannels && result.back().kind == atom.kind &&
                           result.back().step == atom.step * atom.extent;
    if (continues) {
      result.back().extent *= atom.extent;
      result.back().step = atom.step;
    } else {
      result.push_back(atom);
    }
  }
  return result;
}

/// Atoms one after the other, which axes are cut from.
class Atoms {
 public:
  explicit Atoms(const View& view) {
    for (const Axis& axis : view.axes) atoms_.insert(atoms_.end(), axis.begin(), axis.end());
  }

  bool done() const { return next_ == atoms_.size(); }

  /// The next atoms that make an axis of this extent; none where no cut falls there.
  std::optional<Axis> take(std::int64_t extent) {
    Axis axis;
    while (extent > 1) {
      if (done()) return std::nullopt;
      Atom& atom = atoms_[next_];
      if (extent % atom.extent == 0) {
        axis.push_back(atom);
        extent /= atom.extent;
        ++next_;
        continue;
      }
      if (atom.kind != Atom::Kind::kChannels || atom.extent % extent != 0) return std::nullopt;
      const std::int64_t rest = atom.extent / extent;
      axis.push_back({atom.kind, extent, atom.step * rest});
      atom.extent = rest;
      extent = 1;
    }
    return joined(axis);
  }

 private:
  Axis atoms_;
  std::size_t next_ = 0;
};

}  // namespace

std::int64_t extent_of(const Axis& axis) {
  std::int64_t extent = 1;
  for (const Atom& atom : axis) extent *= atom.extent;
  return extent;
}

Shape View::shape() const {
  Shape shape;
  for (const Axis& axis : axes) shape.push_back(extent_of(axis));
  return shape;
}

Axis axis_of(Atom::Kind kind, std::int64_t extent, std::int64_t step) {
  return extent == 1 ? Axis{} : Axis{{kind, extent, step}};
}

Axis channel_axis(std::int64_t channels) { return axis_of(Atom::Kind::kChannels, channels, 1); }

bool only_channels(const Axis& axis) {
  return std::ranges::all_of(axis, [](const Atom& atom) { return atom.kind == Atom::Kind::kChannels; });
}

bool has_channels(const Axis& axis) {
  return std::ranges::any_of(axis, [](const Atom& atom) { return atom.kind == Atom::Kind::kChannels; });
}

View transposed(const View& view, const std::vector<std::int64_t>& axes) {
  View result;
  for (const std::int64_t axis : axes) result.axes.push_back(view.axes[static_cast<std::size_t>(axis)]);
  return result;
}

std::optional<View> reshaped(const View& view, const Shape& shape) {
  Atoms atoms(view);
  View result;
  for (const std::int64_t extent : shape) {
    const std::optional<Axis> axis = extent > 0 ? atoms.take(extent) : std::nullopt;
    if (!axis) return std::nullopt;
    result.axes.push_back(*axis);
  }
  if (!atoms.done()) return std::nullopt;
  return result;
}

std::vector<std::int64_t> channel_order(const View& view) {
  std::vector<std::vector<std::int64_t>> axes;
  for (const Axis& axis : view.axes) axes.push_back(channel_offsets(axis));
  return sums_of(axes);
}

View with_channels_in_order(const View& view) {
  View result = view;
  std::int64_t step = 1;
  for (std::size_t i = result.axes.size(); i-- > 0;) {
    for (std::size_t k = result.axes[i].size(); k-- > 0;) {
      Atom& atom = result.axes[i][k];
      if (atom.kind != Atom::Kind::kChannels) continue;
      atom.step = step;
      step *= atom.extent;
    }
    result.axes[i] = joined(result.axes[i]);
  }
  return result;
}

std::vector<std::int64_t> channels_at(const View& view, std::size_t axis, const std::vector<std::int64_t>& indices) {
  std::vector<std::vector<std::int64_t>> axes;
  for (std::size_t i = 0; i < view.axes.size(); ++i) {
    axes.push_back(channel_offsets(view.axes[i]));
    if (i != axis) continue;
    std::vector<std::int64_t> kept;
    for (const std::int64_t index : indices) kept.push_back(axes.back()[static_cast<std::size_t>(index)]);
    axes.back() = std::move(kept);
  }
  return sums_of(axes);
}

}  // namespace voxshift::onnx
