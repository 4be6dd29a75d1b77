// What the operators mean, in plain loops on coordinates with double accumulation. Includes nothing of the library.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <vector>

namespace oracle {

using Coord = std::vector<std::int64_t>;  // batch first
using Coords = std::vector<Coord>;        // ascending, each once: row i is the i-th coordinate

struct Matrix {
  std::size_t rows = 0, cols = 0;
  std::vector<double> values;

  Matrix() = default;
  Matrix(std::size_t r, std::size_t c) : rows(r), cols(c), values(r * c, 0.0) {}
  double& at(std::size_t r, std::size_t c) { return values[r * cols + c]; }
  double at(std::size_t r, std::size_t c) const { return values[r * cols + c]; }
};

/// One value per spatial axis.
struct Window {
  std::vector<int> size, stride, dilation, pad;
  bool bounded = false;
  int output_pad = 0;  // of all axes
};

struct Pair {
  std::size_t k, in, out;

  bool operator==(const Pair&) const = default;
};

inline std::size_t volume(const Window& w) {
  std::size_t total = 1;
  for (const int s : w.size) total *= static_cast<std::size_t>(s);
  return total;
}

/// Offsets in row-major order, last axis fastest. Floor: odd sizes are centred, even ones start at 0. Bounded: -pad.
inline std::vector<Coord> offsets(const Window& w) {
  std::vector<Coord> all{{}};
  for (std::size_t d = 0; d < w.size.size(); ++d) {
    std::vector<Coord> longer;
    for (const Coord& head : all)
      for (int tap = 0; tap < w.size[d]; ++tap) {
        const int first = w.size[d] % 2 == 1 ? -(w.size[d] - 1) / 2 : 0;
        Coord offset = head;
        offset.push_back(w.bounded ? tap * w.dilation[d] - w.pad[d] : (first + tap) * w.dilation[d]);
        longer.push_back(offset);
      }
    all = longer;
  }
  return all;
}

/// o * stride + offset
inline Coord input_of(const Coord& o, const Coord& offset, const Window& w) {
  Coord c = o;
  for (std::size_t d = 0; d < offset.size(); ++d) c[d + 1] = o[d + 1] * w.stride[d] + offset[d];
  return c;
}

inline Coords unique(const std::set<Coord>& coords) { return {coords.begin(), coords.end()}; }

/// Floor semantics: floor(c / stride).
inline Coords floor_outputs(const Coords& coords, const Window& w) {
  std::set<Coord> outputs;
  for (Coord c : coords) {
    for (std::size_t d = 0; d < w.stride.size(); ++d)
      c[d + 1] = static_cast<std::int64_t>(std::floor(static_cast<double>(c[d + 1]) / w.stride[d]));
    outputs.insert(c);
  }
  return unique(outputs);
}

inline std::vector<int> bounded_shape(const std::vector<int>& shape, const Window& w) {
  std::vector<int> out;
  for (std::size_t d = 0; d < shape.size(); ++d)
    out.push_back((shape[d] + 2 * w.pad[d] - w.dilation[d] * (w.size[d] - 1) - 1) / w.stride[d] + 1);
  return out;
}

/// Bounded semantics: every cell of the output's box that has an input under one of its taps.
inline Coords bounded_outputs(const Coords& coords, const Window& w, const std::vector<int>& shape) {
  const std::set<Coord> present(coords.begin(), coords.end());
  const std::vector<int> extent = bounded_shape(shape, w);
  Coords cells;
  std::set<std::int64_t> batches;
  for (const Coord& c : coords) batches.insert(c[0]);
  for (const std::int64_t batch : batches) cells.push_back({batch});
  for (const int e : extent) {
    Coords longer;
    for (const Coord& head : cells)
      for (int c = 0; c < e; ++c) {
        longer.push_back(head);
        longer.back().push_back(c);
      }
    cells = longer;
  }
  const auto taps = offsets(w);
  Coords outputs;
  for (const Coord& o : cells)
    if (std::any_of(taps.begin(), taps.end(), [&](const Coord& tap) { return present.count(input_of(o, tap, w)) > 0; }))
      outputs.push_back(o);
  return outputs;
}

/// Output coordinates of a convolution; at stride 1 with floor semantics they are the input's.
inline Coords outputs(const Coords& coords, const Window& w, const std::vector<int>& shape) {
  return w.bounded ? bounded_outputs(coords, w, shape) : floor_outputs(coords, w);
}

/// Every c * stride + offset.
inline Coords generated(const Coords& coords, const Window& w) {
  std::set<Coord> all;
  for (const Coord& offset : offsets(w))
    for (const Coord& c : coords) all.insert(input_of(c, offset, w));
  return unique(all);
}

/// Extent of the output of a bounded transposed convolution.
inline std::vector<int> finer_shape(const std::vector<int>& shape, const Window& w) {
  std::vector<int> out;
  for (std::size_t d = 0; d < shape.size(); ++d)
    out.push_back((shape[d] - 1) * w.stride[d] - 2 * w.pad[d] + w.dilation[d] * (w.size[d] - 1) + 1 + w.output_pad);
  return out;
}

/// Those of generated() that lie in the box of this extent.
inline Coords generated_within(const Coords& coords, const Window& w, const std::vector<int>& extent) {
  Coords inside;
  for (const Coord& c : generated(coords, w)) {
    bool within = true;
    for (std::size_t d = 0; d < extent.size(); ++d) within = within && c[d + 1] >= 0 && c[d + 1] < extent[d];
    if (within) inside.push_back(c);
  }
  return inside;
}

/// (k, i, o) with fine[i] = coarse[o] * stride + offset_k, by k, then o.
inline std::vector<Pair> pairs(const Coords& fine, const Coords& coarse, const Window& w) {
  std::map<Coord, std::size_t> row;
  for (std::size_t i = 0; i < fine.size(); ++i) row[fine[i]] = i;
  const auto taps = offsets(w);
  std::vector<Pair> found;
  for (std::size_t k = 0; k < taps.size(); ++k)
    for (std::size_t o = 0; o < coarse.size(); ++o) {
      const auto at = row.find(input_of(coarse[o], taps[k], w));
      if (at != row.end()) found.push_back({k, at->second, o});
    }
  return found;
}

inline std::vector<Pair> swapped(std::vector<Pair> list) {
  for (Pair& p : list) std::swap(p.in, p.out);
  return list;
}

/// out[o] = sum over the pairs of in[i] W[k]; weight is [K * Cin, Cout].
inline Matrix conv(const Matrix& in, const std::vector<Pair>& list, const Matrix& weight, std::size_t out_rows) {
  Matrix out(out_rows, weight.cols);
  for (const Pair& p : list)
    for (std::size_t i = 0; i < in.cols; ++i)
      for (std::size_t c = 0; c < weight.cols; ++c)
        out.at(p.out, c) += in.at(p.in, i) * weight.at(p.k * in.cols + i, c);
  return out;
}

inline Matrix linear(const Matrix& in, const Matrix& weight) {
  std::vector<Pair> same;
  for (std::size_t i = 0; i < in.rows; ++i) same.push_back({0, i, i});
  return conv(in, same, weight, in.rows);
}

enum class Pool { kMax, kAverage, kSum };

/// Over segments: out[s] = max, mean or sum of the rows listed for s, 0 where there are none.
inline Matrix pool(const Matrix& in, const std::vector<std::vector<std::size_t>>& segments, Pool kind) {
  Matrix out(segments.size(), in.cols);
  for (std::size_t s = 0; s < segments.size(); ++s)
    for (std::size_t c = 0; c < in.cols && !segments[s].empty(); ++c) {
      double sum = 0, most = in.at(segments[s][0], c);
      for (const std::size_t i : segments[s]) {
        sum += in.at(i, c);
        most = std::max(most, in.at(i, c));
      }
      out.at(s, c) = kind == Pool::kMax   ? most
                     : kind == Pool::kSum ? sum
                                          : sum / static_cast<double>(segments[s].size());
    }
  return out;
}

inline Matrix pool(const Matrix& in, const std::vector<Pair>& list, std::size_t out_rows, Pool kind) {
  std::vector<std::vector<std::size_t>> segments(out_rows);
  for (const Pair& p : list) segments[p.out].push_back(p.in);
  return pool(in, segments, kind);
}

inline Matrix plus_bias(Matrix m, const std::vector<double>& bias) {
  for (std::size_t r = 0; r < m.rows; ++r)
    for (std::size_t c = 0; c < m.cols; ++c) m.at(r, c) += bias[c];
  return m;
}

inline Matrix plus(Matrix a, const Matrix& b) {
  for (std::size_t i = 0; i < a.values.size(); ++i) a.values[i] += b.values[i];
  return a;
}

inline Matrix apply(Matrix m, const std::function<double(double)>& f) {
  for (double& x : m.values) x = f(x);
  return m;
}

inline double dot(const Matrix& a, const Matrix& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) sum += a.values[i] * b.values[i];
  return sum;
}

}  // namespace oracle
