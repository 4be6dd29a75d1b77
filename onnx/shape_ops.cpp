// What moves numbers and computes none: Reshape, Transpose, Concat, Slice ..
#include <voxshift/onnx/sparse.h>
#include <voxshift/onnx/window.h>

#include <algorithm>
#include <map>
#include <numeric>

namespace voxshift::onnx {
namespace {

/// The extents that a Reshape names: 0 stays, -1 is what is left.
Shape resolved(const Call& call, const Shape& from, std::vector<std::int64_t> to, bool zero_is_zero) {
  for (std::size_t i = 0; i < to.size(); ++i)
    if (to[i] == 0 && !zero_is_zero) {
      call.expect(i < from.size(), "keeps axis ", i, " of a tensor ", from);
      to[i] = from[i];
    }
  const auto open = std::ranges::find(to, -1);
  if (open == to.end()) return to;
  *open = 1;
  const std::optional<std::int64_t> all = product_of(from), rest = product_of(to);
  call.expect(all && rest && *rest > 0 && *all % *rest == 0, "makes ", to, " and a rest of a tensor ", from);
  *open = *all / *rest;
  return to;
}

/// The same numbers under another shape.
void give_reshaped(Call& call, const Shape& shape) {
  const Value& value = call.input(0);
  if (value.constant) {
    call.expect(product_of(shape) == value.constant->count(), "makes ", shape, " of a tensor ", value.shape());
    return call.give(Constant{value.constant->array.reshaped(shape)});
  }
  if (value.coordinates) {
    Value same = value;
    call.expect(same.shape() == shape, "makes ", shape, " of coordinates ", value.shape());
    return call.give(std::move(same));
  }
  Part part = call.part(0);
  const std::optional<View> view = reshaped(part.view, shape);
  call.expect(view.has_value(), "makes ", shape, " of a tensor ", part.view.shape(),
              ", which takes apart what lies along the height, width, rows or batch");
  part.view = *view;
  call.give(std::move(part));
}

void reshape(Call& call) {
  std::optional<std::vector<std::int64_t>> to = call.listed("shape", 1);
  if (!to && call.attribute("dims") != nullptr) to = call.wholes("dims");  // files for libspconv
  call.expect(to.has_value(), "lacks its shape");
  give_reshaped(call, resolved(call, call.input(0).shape(), *to, call.whole("allowzero", 0) != 0));
}

void flatten(Call& call) {
  const Shape shape = call.input(0).shape();
  const std::int64_t given = call.whole("axis", 1);
  const std::size_t axis =
      given == static_cast<std::int64_t>(shape.size()) ? shape.size() : call.axis(given, shape.size());
  Shape flat(2, 1);
  for (std::size_t i = 0; i < shape.size(); ++i) flat[i < axis ? 0 : 1] *= shape[i];
  give_reshaped(call, flat);
}

void squeeze(Call& call) {
  const Shape shape = call.input(0).shape();
  const auto axes = call.listed("axes", 1);
  std::vector<bool> gone(shape.size(), false);
  for (std::size_t i = 0; i < shape.size() && !axes; ++i) gone[i] = shape[i] == 1;
  if (axes)
    for (const std::int64_t axis : *axes) gone[call.axis(axis, shape.size())] = true;
  Shape rest;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    call.expect(!gone[i] || shape[i] == 1, "removes axis ", i, " of a tensor ", shape);
    if (!gone[i]) rest.push_back(shape[i]);
  }
  give_reshaped(call, rest);
}

void unsqueeze(Call& call) {
  const Shape shape = call.input(0).shape();
  const auto axes = call.listed("axes", 1);
  call.expect(axes.has_value() && axes->size() <= 8, "lacks its axes");
  const std::size_t rank = shape.size() + axes->size();
  std::vector<bool> added(rank, false);
  for (const std::int64_t axis : *axes) added[call.axis(axis, rank)] = true;
  call.expect(static_cast<std::size_t>(std::ranges::count(added, true)) == axes->size(), "names an axis twice");
  if (const Value& value = call.input(0); value.coordinates) {
    Value column = value;
    call.expect(value.coordinates->flat && rank == 2 && added[1], "adds an axis to coordinates ", shape);
    column.coordinates->flat = false;
    return call.give(std::move(column));
  }
  Shape result;
  auto next = shape.begin();
  for (std::size_t i = 0; i < rank; ++i) result.push_back(added[i] ? 1 : *next++);
  give_reshaped(call, result);
}

void transpose(Call& call) {
  const std::size_t rank = call.input(0).shape().size();
  std::vector<std::int64_t> axes(rank);
  std::iota(axes.rbegin(), axes.rend(), 0);
  axes = call.wholes("perm", call.wholes("dims", axes));
  std::vector<std::int64_t> sorted = axes;
  std::ranges::sort(sorted);
  for (std::size_t i = 0; i < sorted.size(); ++i)
    call.expect(sorted[i] == static_cast<std::int64_t>(i) && sorted.size() == rank, "has no order of ", rank, " axes");
  call.expect(sorted.size() == rank, "has an order of ", sorted.size(), " axes for ", rank);
  if (call.is_constant(0)) return find_fold("Transpose")(call);
  Part part = call.part(0);
  part.view = transposed(part.view, axes);
  call.give(std::move(part));
}

/// The channels of all parts side by side, on one axis.
Part side_by_side(Call& call, std::vector<Part> parts, std::size_t axis) {
  const bool rows = std::ranges::any_of(parts, [](const Part& part) { return part.rows == Rows::kFrame; });
  std::vector<std::string> names;
  std::int64_t channels = 0;
  bool nonnegative = true;
  for (Part& part : parts) {
    if (rows) part = call.graph().as_row(part, call.name());
    part = call.graph().in_order(part, call.name());
    names.push_back(part.name);
    channels += part.channels;
    nonnegative &= part.nonnegative;
    call.expect(
        part.rows == parts.front().rows && part.extent == parts.front().extent && part.level == parts.front().level,
        "joins channels of a row per frame and of pixels, or of other voxels");
  }
  Part joined = parts.front();
  joined.name = names.size() == 1 ? names.front() : call.graph().add(call.name(), {"cat", names});
  joined.channels = channels;
  joined.nonnegative = nonnegative;
  joined.view.axes[axis] = channel_axis(channels);
  return joined;
}

void concat(Call& call) {
  for (std::size_t i = 0; i < call.inputs(); ++i)
    if (call.input(i).coordinates) return give_joined_coordinates(call);
  std::vector<Part> parts;
  const std::size_t rank = call.input(0).shape().size(), axis = call.axis(call.whole("axis", 1), rank);
  bool channels = true;
  for (std::size_t i = 0; i < call.inputs(); ++i) {
    const Value& value = call.part_or_parts(i);
    call.expect(value.parts.size() == 1 || value.joined == axis, "joins a concatenation of maps along another axis");
    call.expect(value.shape().size() == rank, "joins tensors of other numbers of axes");
    for (std::size_t other = 0; other < rank; ++other)
      call.expect(other == axis || value.shape()[other] == call.input(0).shape()[other], "joins tensors of shapes ",
                  call.input(0).shape(), " and ", value.shape());
    for (Part part : value.parts) {
      if (part.rows == Rows::kDense) part = as_image(call, part);
      channels &= only_channels(part.view.axes[axis]) && extent_of(part.view.axes[axis]) == part.channels;
      parts.push_back(std::move(part));
    }
  }
  if (channels) return call.give(side_by_side(call, std::move(parts), axis));
  Value value;
  value.parts = std::move(parts);
  value.joined = axis;
  call.give(std::move(value));
}

void identity(Call& call) {
  Value value = call.input(0);
  call.give(std::move(value));
}

void dropout(Call& call) {
  call.expect(!call.given(2) || (call.is_constant(2) && call.constant(2, "training_mode").number(0) == 0),
              "is in training mode: have the network exported for inference");
  identity(call);
}

void cast(Call& call) {
  if (call.is_constant(0)) return find_fold("Cast")(call);
  const std::int64_t to = call.whole("to", 1);
  const bool floats = to == 1 || to == 10 || to == 11 || to == 16;
  call.expect(floats || call.input(0).parts.empty(), "makes whole numbers of what the network computes");
  identity(call);
}

void shape_of(Call& call) {
  const Shape shape = call.input(0).shape();
  const auto rank = static_cast<std::int64_t>(shape.size());
  const auto bound = [&](std::int64_t at) { return std::clamp<std::int64_t>(at < 0 ? at + rank : at, 0, rank); };
  const std::int64_t first = bound(call.whole("start", 0)), last = bound(call.whole("end", rank));
  call.give(Constant::of({shape.begin() + first, shape.begin() + std::max(first, last)}));
}

void size_of_tensor(Call& call) { call.give(Constant::of({product_of(call.input(0).shape()).value_or(0)}, {})); }

/// A row per frame for all pixels of a map that exists.
void expand(Call& call) {
  const Shape wanted = call.constant(1, "the shape").wholes();
  const Value& value = call.input(0);
  if (value.coordinates) return identity(call);
  const Part part = call.image(0);
  const std::optional<Shape> shape = broadcast_shape(part.view.shape(), wanted);
  call.expect(shape.has_value() && shape->size() == 4, "makes ", wanted, " of a tensor ", part.view.shape());
  if (*shape == part.view.shape()) return call.give(part);
  call.give(spread_over(call, part, {(*shape)[2], (*shape)[3]}));
  call.expect(call.input(0).shape()[1] == (*shape)[1], "repeats channels");
}

}  // namespace

Part spread_over(const Call& call, const Part& part, Extent2d extent) {
  const Part row = call.graph().as_row(part, call.name());
  const std::string like = call.graph().images_of(extent);
  call.expect(row.rows == Rows::kFrame && !like.empty(), "makes an image of ", extent.height, " x ", extent.width,
              " of ", part.is_image() ? "pixels of another" : "a single pixel, and none of that extent is there");
  Part image = image_like(row, call.graph().add(call.name(), {"broadcast", {row.name, like}}), part.channels, extent);
  image.nonnegative = part.nonnegative;
  return image;
}

Handler find_shape_op(const std::string& op) {
  static const std::map<std::string, Handler> ops{
      {"Reshape", reshape},     {"Flatten", flatten}, {"Squeeze", squeeze},     {"Unsqueeze", unsqueeze},
      {"Transpose", transpose}, {"Concat", concat},   {"Identity", identity},   {"Dropout", dropout},
      {"Cast", cast},           {"Shape", shape_of},  {"Size", size_of_tensor}, {"Expand", expand}};
  const auto found = ops.find(op);
  return found == ops.end() ? nullptr : found->second;
}

}  // namespace voxshift::onnx
