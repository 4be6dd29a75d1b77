// Sums of whole pixels are exact; shares and means are single multiplications of float32, whose products are not
// contracted with sums, so that every instruction set has the same bits.
#include <voxshift/streaming/scaled_rows.h>

#include <algorithm>
#include <cstring>

namespace voxshift {
namespace {

// The compiler's own vectors: SSE2 on any x86, NEON on Arm. Loops over 4 values stay loops with some compilers.
using FourFloats = float __attribute__((vector_size(16)));
using FourInts = std::int32_t __attribute__((vector_size(16)));
using FourShorts = std::uint16_t __attribute__((vector_size(8)));
using FourBytes = std::uint8_t __attribute__((vector_size(4)));

FourInts load_four(const std::uint16_t* values) {
  FourShorts four;
  std::memcpy(&four, values, sizeof four);
  return __builtin_convertvector(four, FourInts);
}

FourFloats as_floats(FourInts values) { return __builtin_convertvector(values, FourFloats); }

/// Rounded half up; no value is below 0.
void store_rounded(FourFloats values, std::uint8_t* pixel) {
  const auto bytes = __builtin_convertvector(__builtin_convertvector(values + 0.5f, FourInts), FourBytes);
  std::memcpy(pixel, &bytes, sizeof bytes);
}

/// A share in 65536ths; below 1 by what an axis of kMostSide leaves.
std::uint16_t in_65536ths(float share) { return static_cast<std::uint16_t>(share * 65536); }

std::uint16_t part(std::uint16_t value, std::uint16_t share) {
  return static_cast<std::uint16_t>((static_cast<std::uint32_t>(value) * share) >> 16);
}

template <int kValues>
void shrink_row(const std::uint16_t* row, const ScaledAxis& axis, float scale, std::uint8_t* pixels) {
  const std::int32_t* at = axis.at.data();
  const float* share = axis.share.data();
  const std::uint16_t* next = row;
  FourFloats rest = as_floats(load_four(next));
  rest -= rest * share[0];
  for (std::int64_t j = 0; j < axis.count; ++j) {
    const std::uint16_t* last = row + static_cast<std::int64_t>(at[j + 1] - at[0]) * kValues;
    FourInts whole{};
    for (next += kValues; next < last; next += kValues) whole += load_four(next);
    const FourFloats value = as_floats(load_four(last)), taken = value * share[j + 1];
    store_rounded((as_floats(whole) + rest + taken) * scale, pixels + 4 * j);
    rest = value - taken;
    next = last;
  }
}

template <int kValues>
void grow_row(const std::uint16_t* row, const ScaledAxis& axis, float scale, std::uint8_t* pixels) {
  for (std::int64_t j = 0; j < axis.count; ++j) {
    const std::uint16_t* at = row + static_cast<std::int64_t>(axis.at[j] - axis.at[0]) * kValues;
    const FourFloats value = as_floats(load_four(at)), next = as_floats(load_four(at + kValues));
    store_rounded((value + (next - value) * axis.share[j]) * scale, pixels + 4 * j);
  }
}

}  // namespace

void ScaledAxis::plan() {
  const bool shrinks = scaling == FrameScaling::kShrink;
  at.clear();
  share.clear();
  for (std::int64_t o = first; o < first + count + (shrinks ? 1 : 0); ++o) {
    if (scaling == FrameScaling::kNone) {
      at.push_back(static_cast<std::int32_t>(o));
      share.push_back(0);
      continue;
    }
    // o * from / to, or (o + 1/2) * from / to - 1/2, as fractions
    const std::int64_t over = shrinks ? to : 2 * to;
    const std::int64_t place = shrinks ? o * from : std::max<std::int64_t>((2 * o + 1) * from - to, 0);
    const bool beyond = !shrinks && place / over >= from - 1;
    at.push_back(static_cast<std::int32_t>(beyond ? from - 1 : place / over));
    share.push_back(beyond ? 0 : static_cast<float>(place % over) / static_cast<float>(over));
  }
}

std::int64_t ScaledAxis::begin() const { return at.front(); }

std::int64_t ScaledAxis::end() const {
  const bool more = share.back() > 0 || scaling != FrameScaling::kShrink;
  const bool next = share.back() > 0 && scaling == FrameScaling::kGrow;
  return at.back() + (more ? 1 : 0) + (next ? 1 : 0);
}

void split_row(const std::uint8_t* __restrict row, std::int64_t count, int unit, float share,
               std::uint16_t* __restrict sum, std::uint16_t* __restrict next) {
  const auto times = static_cast<std::uint16_t>(unit);
  const std::uint16_t share_of = in_65536ths(share);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto value = static_cast<std::uint16_t>(row[i] * times);
    const std::uint16_t taken = part(value, share_of);
    sum[i] = static_cast<std::uint16_t>(sum[i] + taken);
    next[i] = static_cast<std::uint16_t>(value - taken);
  }
}

void add_row(const std::uint8_t* __restrict row, std::int64_t count, int unit, std::uint16_t* __restrict sum) {
  const auto times = static_cast<std::uint16_t>(unit);
  for (std::int64_t i = 0; i < count; ++i) sum[i] = static_cast<std::uint16_t>(sum[i] + row[i] * times);
}

void mix_rows(const std::uint8_t* __restrict row, const std::uint8_t* __restrict next, std::int64_t count, float share,
              std::uint16_t* __restrict mixed) {
  const std::uint16_t share_of = in_65536ths(share);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto a = static_cast<std::uint16_t>(row[i] * 256), b = static_cast<std::uint16_t>(next[i] * 256);
    mixed[i] = static_cast<std::uint16_t>(a - part(a, share_of) + part(b, share_of));
  }
}

void scale_row(const std::uint16_t* row, int pixel_values, const ScaledAxis& axis, float scale, std::uint8_t* pixels) {
  const bool shrinks = axis.scaling == FrameScaling::kShrink;
  if (pixel_values == 4)
    (shrinks ? shrink_row<4> : grow_row<4>)(row, axis, scale, pixels);
  else
    (shrinks ? shrink_row<3> : grow_row<3>)(row, axis, scale, pixels);
}

void put_pixels(const std::uint8_t* pixels, int pixel_bytes, std::int64_t count, std::array<int, 3> order,
                std::uint8_t* to, std::int64_t step) {
  const auto [red, green, blue] = order;
  for (std::int64_t x = 0; x < count; ++x, pixels += pixel_bytes, to += step) {
    to[0] = pixels[red];
    to[1] = pixels[green];
    to[2] = pixels[blue];
  }
}

}  // namespace voxshift
