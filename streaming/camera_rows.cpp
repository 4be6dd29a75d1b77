// Arithmetic of 16 bits, in loops that compilers turn into vectors of the least instruction set there is.
#include <voxshift/streaming/camera_rows.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace voxshift {
namespace {

/// YuvColours' equation in 32nds: of a luma Y 64 (max(Y, floor) - floor) * luma / 2^16, of a chroma less 128 times 256
/// * factor / 2^16, rounded down.
struct YuvFactors {
  std::uint8_t floor = 0;
  std::uint16_t luma = 0;
  std::int16_t red_v = 0, green_u = 0, green_v = 0, blue_u = 0;
};

constexpr int kFraction = 5;
/// A half, and a half for each of the two products that are rounded down: grey has one that is exact.
constexpr int kRounding = (1 << (kFraction - 1)) + 1;

template <class T>
constexpr T nearest(double value) {
  return static_cast<T>(value + (value < 0 ? -0.5 : 0.5));
}

constexpr YuvFactors yuv_factors(double red, double blue, bool full) {
  const double green = 1 - red - blue, luma = full ? 1 : 255.0 / 219, chroma = full ? 1 : 255.0 / 224;
  const double v = 2 * (1 - red) * chroma, u = 2 * (1 - blue) * chroma;
  const auto factor = [](double value) { return nearest<std::int16_t>(value * (1 << (kFraction + 8))); };
  const std::uint8_t floor = full ? 0 : 16;
  return {floor,
          nearest<std::uint16_t>(luma * (1 << (kFraction + 10))),
          factor(v),
          factor(-u * blue / green),
          factor(-v * red / green),
          factor(u)};
}

constexpr std::array<YuvFactors, 4> kYuvFactors{yuv_factors(0.299, 0.114, false), yuv_factors(0.299, 0.114, true),
                                                yuv_factors(0.2126, 0.0722, false), yuv_factors(0.2126, 0.0722, true)};

std::int16_t high_product(std::int16_t a, std::int16_t b) { return static_cast<std::int16_t>((a * b) >> 16); }

std::uint16_t high_product(std::uint16_t a, std::uint16_t b) {
  return static_cast<std::uint16_t>((static_cast<std::uint32_t>(a) * b) >> 16);
}

/// Every other byte.
void pack_pairs(const std::uint8_t* __restrict from, std::int64_t count, std::uint8_t* __restrict to) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = from[2 * i];
}

/// What red, green and blue have beside the luma, for the two pixels of each chroma.
void colour_differences(const std::uint8_t* __restrict u, const std::uint8_t* __restrict v, std::int64_t count,
                        const YuvFactors& factors, std::int16_t* __restrict red, std::int16_t* __restrict green,
                        std::int16_t* __restrict blue) {
  const YuvFactors by = factors;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto blueness = static_cast<std::int16_t>((u[i] - 128) * 256);
    const auto redness = static_cast<std::int16_t>((v[i] - 128) * 256);
    const auto r = static_cast<std::int16_t>(high_product(redness, by.red_v) + kRounding);
    const auto g =
        static_cast<std::int16_t>(high_product(blueness, by.green_u) + high_product(redness, by.green_v) + kRounding);
    const auto b = static_cast<std::int16_t>(high_product(blueness, by.blue_u) + kRounding);
    red[2 * i] = red[2 * i + 1] = r;
    green[2 * i] = green[2 * i + 1] = g;
    blue[2 * i] = blue[2 * i + 1] = b;
  }
}

std::uint8_t level(std::int16_t sum) {
  const auto value = static_cast<std::int16_t>(sum >> kFraction);
  return static_cast<std::uint8_t>(std::clamp<std::int16_t>(value, 0, 255));
}

/// Pixels of red, green, blue and 0.
void add_luma(const std::uint8_t* __restrict luma, std::int64_t count, const YuvFactors& factors,
              const std::int16_t* __restrict red, const std::int16_t* __restrict green,
              const std::int16_t* __restrict blue, std::uint8_t* __restrict pixels) {
  const YuvFactors by = factors;
  for (std::int64_t x = 0; x < count; ++x) {
    const auto above = static_cast<std::uint16_t>((std::max(luma[x], by.floor) - by.floor) * 64);
    const std::uint16_t y = high_product(above, by.luma);
    const auto sum = [y](std::int16_t difference) { return static_cast<std::int16_t>(y + difference); };
    const auto low = static_cast<std::uint16_t>(level(sum(red[x])) | level(sum(green[x])) << 8);
    const std::uint16_t high = level(sum(blue[x]));
    std::uint32_t pixel = low | static_cast<std::uint32_t>(high) << 16;
    if constexpr (std::endian::native == std::endian::big) pixel = __builtin_bswap32(pixel);
    std::memcpy(pixels + 4 * x, &pixel, sizeof pixel);
  }
}

}  // namespace

void CameraRows::open(const CameraFrame& frame, std::int64_t begin, std::int64_t end) {
  frame_ = frame;
  const bool turned = frame.format == PixelFormat::kBgr || frame.format == PixelFormat::kBgra;
  order_ = turned ? std::array{2, 1, 0} : std::array{0, 1, 2};
  converts_ = frame.format >= PixelFormat::kNv12;
  pixel_bytes_ = frame.format <= PixelFormat::kBgr ? 3 : 4;
  begin_ = begin;
  end_ = end;
  converted_row_ = {-1, -1};
  chroma_row_ = -1;
  if (!converts_) return;
  const auto pairs = static_cast<std::size_t>((end + 1) / 2 - begin / 2);
  for (auto& row : converted_) row.resize(2 * pairs * 4);
  for (auto& row : packed_) row.resize(pairs);
  for (auto& row : differences_) row.resize(2 * pairs);
}

const std::uint8_t* CameraRows::chroma(const FramePlane& plane, std::int64_t y, std::int64_t offset,
                                       std::uint8_t* scratch) const {
  const std::uint8_t* from = plane.data + y * plane.row_stride + begin_ / 2 * plane.pixel_stride + offset;
  const std::int64_t count = (end_ + 1) / 2 - begin_ / 2;
  if (plane.pixel_stride == 1) return from;
  if (plane.pixel_stride == 2)
    pack_pairs(from, count, scratch);
  else
    for (std::int64_t i = 0; i < count; ++i) scratch[i] = from[i * plane.pixel_stride];
  return scratch;
}

void CameraRows::read_chroma(std::int64_t y) {
  if (chroma_row_ == y) return;
  const bool together = frame_.format == PixelFormat::kNv12 || frame_.format == PixelFormat::kNv21;
  const std::int64_t v_first = frame_.format == PixelFormat::kNv21 ? 1 : 0;
  const FramePlane &u = frame_.planes[1], &v = frame_.planes[together ? 1 : 2];
  colour_differences(chroma(u, y, together ? v_first : 0, packed_[0].data()),
                     chroma(v, y, together ? 1 - v_first : 0, packed_[1].data()), (end_ + 1) / 2 - begin_ / 2,
                     kYuvFactors[static_cast<std::size_t>(frame_.colours)], differences_[0].data(),
                     differences_[1].data(), differences_[2].data());
  chroma_row_ = y;
}

const std::uint8_t* CameraRows::row(std::int64_t y) {
  const FramePlane& first = frame_.planes[0];
  const std::uint8_t* plane_row = first.data + y * first.row_stride;
  if (!converts_) return plane_row + begin_ * pixel_bytes_;
  const auto slot = static_cast<std::size_t>(y % 2);
  const std::int64_t even = begin_ / 2 * 2;
  std::uint8_t* pixels = converted_[slot].data();
  if (converted_row_[slot] != y) {
    read_chroma(y / 2);
    add_luma(plane_row + even, end_ - even, kYuvFactors[static_cast<std::size_t>(frame_.colours)],
             differences_[0].data(), differences_[1].data(), differences_[2].data(), pixels);
    converted_row_[slot] = y;
  }
  return pixels + (begin_ - even) * 4;
}

}  // namespace voxshift
