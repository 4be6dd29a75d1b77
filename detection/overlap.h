// Overlap of rotated rectangles, exact but for rounding in double. Backends and eager ops share it.
#pragma once

namespace voxshift {

/// A box seen from above.
struct Rectangle {
  double x, y, half_length, half_width, cos, sin;
};

namespace detail {

struct Corner {
  double x, y;
};

/// A convex polygon: the 4 corners of a rectangle, and one more per side that cuts it.
struct Polygon {
  Corner corners[8] = {};
  int count = 0;
  constexpr void add(Corner corner) { corners[count++] = corner; }
};

/// The part of the polygon with sign * (x, or y) <= limit: Sutherland and Hodgman, 1974.
constexpr Polygon clipped(const Polygon& in, bool along_x, double sign, double limit) {
  Polygon out;
  for (int i = 0; i < in.count; ++i) {
    const Corner from = in.corners[i == 0 ? in.count - 1 : i - 1], to = in.corners[i];
    const double before = sign * (along_x ? from.x : from.y) - limit, after = sign * (along_x ? to.x : to.y) - limit;
    if ((before < 0 && after > 0) || (before > 0 && after < 0)) {
      const double share = before / (before - after);
      out.add({from.x + share * (to.x - from.x), from.y + share * (to.y - from.y)});
    }
    if (after <= 0) out.add(to);
  }
  return out;
}

/// Twice the signed area, corners relative to the first: what is far away or thin loses no digits.
constexpr double doubled_area(const Polygon& polygon) {
  double sum = 0;
  for (int i = 2; i < polygon.count; ++i) {
    const Corner o = polygon.corners[0], a = polygon.corners[i - 1], b = polygon.corners[i];
    sum += (a.x - o.x) * (b.y - o.y) - (a.y - o.y) * (b.x - o.x);
  }
  return sum;
}

}  // namespace detail

/// Square metres that both cover: b in the frame of a, cut at the four sides of a.
constexpr double common_area(const Rectangle& a, const Rectangle& b) {
  const double dx = b.x - a.x, dy = b.y - a.y;
  const double x = a.cos * dx + a.sin * dy, y = a.cos * dy - a.sin * dx;
  const double c = a.cos * b.cos + a.sin * b.sin, s = a.cos * b.sin - a.sin * b.cos;
  detail::Polygon polygon;
  for (int i = 0; i < 4; ++i) {  // counterclockwise
    const double l = i == 0 || i == 3 ? b.half_length : -b.half_length, w = i < 2 ? b.half_width : -b.half_width;
    polygon.add({x + c * l - s * w, y + s * l + c * w});
  }
  polygon = detail::clipped(polygon, true, 1, a.half_length);
  polygon = detail::clipped(polygon, true, -1, a.half_length);
  polygon = detail::clipped(polygon, false, 1, a.half_width);
  polygon = detail::clipped(polygon, false, -1, a.half_width);
  const double area = detail::doubled_area(polygon) / 2;
  return area > 0 ? area : 0;
}

/// Whether the circles around both meet: where they do not, nothing is common.
constexpr bool may_overlap(const Rectangle& a, const Rectangle& b) {
  const double dx = b.x - a.x, dy = b.y - a.y;
  const double squared = dx * dx + dy * dy;
  const double ra = a.half_length * a.half_length + a.half_width * a.half_width;
  const double rb = b.half_length * b.half_length + b.half_width * b.half_width;
  // (sqrt(ra) + sqrt(rb))^2 <= 2 (ra + rb), without a root
  return squared <= 2 * (ra + rb);
}

constexpr double area_of(const Rectangle& r) { return 4 * r.half_length * r.half_width; }

/// Intersection over union; 0 where both are empty.
constexpr double overlap_of(const Rectangle& a, const Rectangle& b) {
  if (!may_overlap(a, b)) return 0;
  const double common = common_area(a, b), all = area_of(a) + area_of(b) - common;
  return all > 0 ? common / all : 0;
}

}  // namespace voxshift
