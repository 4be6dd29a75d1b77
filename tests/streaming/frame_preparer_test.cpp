// Camera frames turned, scaled and cut, against loops in double precision.
#include <limits>

#include "camera_fixture.h"
#include "counting_allocator.h"
#include "device_fixture.h"

namespace voxshift {
namespace {

constexpr double kLevels = 0.52;  // as FramePreparer promises of scaled pixels

struct Size {
  std::int64_t width, height;
};

/// Every pair of U and V of those steps under every Y: within 0.6 of the equation, as FramePreparer promises.
TEST(FramePreparer, ColoursOfEveryLuma) {
  constexpr int kStep = 3, kValues = 256 / kStep + 1, kSide = 2 * kValues;
  std::vector<std::uint8_t> bytes(kSide * kSide + 2 * kValues * kValues);
  std::uint8_t *u = bytes.data() + kSide * kSide, *v = u + kValues * kValues;
  for (int i = 0; i < kValues * kValues; ++i) {
    u[i] = static_cast<std::uint8_t>(i / kValues * kStep);
    v[i] = static_cast<std::uint8_t>(i % kValues * kStep);
  }
  FramePreparer preparer(profile_of(kSide, kSide, kSide));
  CameraFrame frame = CameraFrame::in_one(PixelFormat::kI420, kSide, kSide, bytes.data(), bytes.size());
  double most = 0;
  for (frame.colours = YuvColours::kBt601; frame.colours <= YuvColours::kBt709Full;
       frame.colours = static_cast<YuvColours>(static_cast<int>(frame.colours) + 1))
    for (int luma = 0; luma < 256; luma += 4) {
      for (int i = 0; i < kSide * kSide; ++i) bytes[i] = static_cast<std::uint8_t>(luma + i / kSide % 2 * 2 + i % 2);
      const std::uint8_t* levels = preparer.prepare(frame).data<std::uint8_t>();
      for (int i = 0; i < kSide * kSide; ++i) {
        const int chroma = i / kSide / 2 * kValues + i % kSide / 2;
        const Colour colour = colour_of(bytes[i], u[chroma], v[chroma], frame.colours);
        for (std::size_t c = 0; c < 3; ++c) most = std::max(most, std::abs(levels[3 * i + c] - colour[c]));
      }
    }
  EXPECT_LE(most, 0.6);
  EXPECT_GE(most, 0.4) << "levels are rounded";
}

TEST(FramePreparer, GreyStaysGrey) {
  std::vector<std::uint8_t> bytes(16 * 16 * 3 / 2, 128);
  for (int i = 0; i < 256; ++i) bytes[i] = static_cast<std::uint8_t>(i);
  FramePreparer preparer(profile_of(16, 16, 16));
  CameraFrame frame = CameraFrame::in_one(PixelFormat::kNv21, 16, 16, bytes.data(), bytes.size());
  for (const YuvColours colours : kColours) {
    frame.colours = colours;
    const auto* levels = preparer.prepare(frame).data<std::uint8_t>();
    for (int i = 0; i < 256; ++i) {
      EXPECT_EQ(levels[3 * i], levels[3 * i + 1]);
      EXPECT_EQ(levels[3 * i], levels[3 * i + 2]);
    }
    const bool full = colours == YuvColours::kBt601Full || colours == YuvColours::kBt709Full;
    EXPECT_EQ(levels[3 * (full ? 0 : 16)], 0);
    EXPECT_EQ(levels[3 * (full ? 255 : 235)], 255);
    for (int i = 0; full && i < 256; ++i) EXPECT_EQ(levels[3 * i], i);
  }
}

/// Formats, gaps between rows, odd sides and turns, where nothing is scaled: the middle of the picture.
TEST(FramePreparer, EveryFormatAndTurn) {
  for (const PixelFormat format : kFormats)
    for (const Size& size : {Size{12, 12}, Size{17, 12}, Size{12, 17}, Size{13, 13}, Size{41, 19}, Size{19, 44}})
      for (const int gap : {0, 5})
        for (const int rotation : {0, 90, 180, 270}) {
          OwnedFrame owned = noise_frame(format, size.width, size.height, gap);
          owned.frame.rotation = rotation;
          owned.frame.colours = kColours[static_cast<std::size_t>(rotation / 90)];
          const FrameProfile profile = profile_of(9, 11, std::min(size.width, size.height));
          FramePreparer preparer(profile);
          const double most = difference(preparer.prepare(owned.frame), prepared_picture(owned.frame, profile));
          EXPECT_LE(most, is_yuv(format) ? 1 : 0) << static_cast<int>(format) << ' ' << size.width << " x "
                                                  << size.height << " gap " << gap << " turned by " << rotation;
        }
}

struct Scaling {
  Size size;
  FrameProfile profile;
};

/// Shrunk by whole and broken numbers, by little and by much; grown; portrait and landscape; middles that lie between
/// two pixels; all of the picture and a part of it.
std::vector<Scaling> scalings() {
  return {{{64, 64}, profile_of(32, 32, 32)},   {{64, 64}, profile_of(21, 21, 21)}, {{97, 64}, profile_of(20, 31, 32)},
          {{64, 97}, profile_of(31, 20, 32)},   {{33, 33}, profile_of(32, 32, 32)}, {{129, 73}, profile_of(5, 7, 8)},
          {{90, 51}, profile_of(16, 9, 17)},    {{250, 200}, profile_of(1, 1, 1)},  {{256, 256}, profile_of(1, 1, 1)},
          {{200, 130}, profile_of(50, 64, 64)}, {{16, 16}, profile_of(32, 32, 32)}, {{17, 12}, profile_of(24, 30, 31)},
          {{12, 17}, profile_of(30, 24, 31)},   {{31, 31}, profile_of(32, 32, 32)}, {{1, 1}, profile_of(8, 8, 8)},
          {{2, 5}, profile_of(9, 9, 9)},        {{64, 1}, profile_of(3, 2, 3)},     {{20, 30}, profile_of(37, 35, 37)}};
}

TEST(FramePreparer, ScalesByTheEquation) {
  for (const auto& [size, profile] : scalings())
    for (const PixelFormat format : {PixelFormat::kRgb, PixelFormat::kBgra})
      for (const int rotation : {0, 90, 180, 270}) {
        OwnedFrame owned = noise_frame(format, size.width, size.height, 3);
        owned.frame.rotation = rotation;
        FramePreparer preparer(profile);
        EXPECT_LE(difference(preparer.prepare(owned.frame), prepared_picture(owned.frame, profile)), kLevels)
            << size.width << " x " << size.height << " to " << profile.height << " x " << profile.width << " of "
            << profile.resize << " turned by " << rotation;
      }
}

/// Converted pixels are levels before they are scaled: the same bits as those of an RGB frame of them.
TEST(FramePreparer, ConvertsThenScales) {
  for (const PixelFormat format : kFormats)
    for (const std::int64_t side : {37, 64, 101}) {
      const OwnedFrame owned = noise_frame(format, side, side, 1);
      FramePreparer converter(profile_of(side, side, side));
      const std::vector<std::uint8_t> rgb = levels_of(converter.prepare(owned.frame));
      for (const std::int64_t resize : {20, 50, 150}) {
        FramePreparer preparer(profile_of(resize - 1, resize - 3, resize)),
            plain(profile_of(resize - 1, resize - 3, resize));
        CameraFrame frame = CameraFrame::in_one(PixelFormat::kRgb, side, side, rgb.data(), rgb.size());
        expect_same_bits(preparer.prepare(owned.frame), plain.prepare(frame));
      }
    }
}

TEST(FramePreparer, OneColourStaysItself) {
  std::vector<std::uint8_t> bytes;
  for (const auto& [size, profile] : scalings())
    for (const int level : {0, 1, 128, 254, 255}) {
      bytes.assign(static_cast<std::size_t>(3 * size.width * size.height), static_cast<std::uint8_t>(level));
      FramePreparer preparer(profile);
      for (const std::uint8_t found : levels_of(preparer.prepare(
               CameraFrame::in_one(PixelFormat::kBgr, size.width, size.height, bytes.data(), bytes.size()))))
        ASSERT_EQ(found, level) << size.width << " x " << size.height;
    }
}

/// Sums of 16 bits at their limit: the largest side, and the most that is shrunk.
TEST(FramePreparer, TheLargestSides) {
  const OwnedFrame wide = noise_frame(PixelFormat::kNv12, CameraFrame::kMostSide, 256);
  for (const FrameProfile& profile : {profile_of(1, 1, 1), profile_of(3, 4, 5)}) {
    FramePreparer preparer(profile);
    EXPECT_LE(difference(preparer.prepare(wide.frame), prepared_picture(wide.frame, profile)), 1 + kLevels);
  }
}

TEST(FramePreparer, FramesLeaveNothingBehind) {
  const FrameProfile profile = profile_of(20, 24, 28);
  FramePreparer preparer(profile);
  unsigned seed = 0;
  for (int round = 0; round < 2; ++round)
    for (const PixelFormat format : kFormats)
      for (const Size& size : {Size{61, 40}, Size{28, 33}, Size{15, 19}, Size{40, 61}})
        for (const int rotation : {0, 90, 0}) {
          OwnedFrame owned = noise_frame(format, size.width, size.height, 2, ++seed);
          owned.frame.rotation = rotation;
          FramePreparer fresh(profile);
          expect_same_bits(preparer.prepare(owned.frame), fresh.prepare(owned.frame));
        }
}

TEST(FramePreparer, NothingIsAllocatedAfterTheFirstFrame) {
  if (!kCanCount) GTEST_SKIP() << "a sanitizer, or another libc than glibc, has the allocator";
  for (const PixelFormat format : kFormats)
    for (const Size& size : {Size{61, 40}, Size{28, 33}, Size{15, 19}}) {
      const OwnedFrame owned = noise_frame(format, size.width, size.height, 2);
      FramePreparer preparer(profile_of(20, 24, 28));
      EXPECT_GT(calls_in([&] { preparer.prepare(owned.frame); }), 0);
      EXPECT_EQ(calls_in([&] { preparer.prepare(owned.frame); }), 0);
    }
}

TEST(FramePreparer, PlanesOfOnePieceOfMemory) {
  std::vector<std::uint8_t> bytes(1000);
  struct Case {
    PixelFormat format;
    std::vector<std::size_t> sizes;
  };
  for (const Case& c : {Case{PixelFormat::kRgb, {105}}, Case{PixelFormat::kBgra, {140}},
                        Case{PixelFormat::kNv12, {35, 24}}, Case{PixelFormat::kNv21, {35, 24}},
                        Case{PixelFormat::kI420, {35, 12, 12}}, Case{PixelFormat::kYuv420, {35, 12, 12}}}) {
    const CameraFrame frame = CameraFrame::in_one(c.format, 7, 5, bytes.data(), bytes.size(), 90);
    const std::uint8_t* at = bytes.data();
    for (std::size_t i = 0; i < c.sizes.size(); ++i) {
      EXPECT_EQ(frame.planes[i].data, at);
      EXPECT_EQ(frame.planes[i].bytes, c.sizes[i]);
      at += c.sizes[i];
    }
    EXPECT_EQ(frame.rotation, 90);
    check_camera_frame(frame);
    const auto needed = static_cast<std::size_t>(at - bytes.data());
    expect_throw([&] { CameraFrame::in_one(c.format, 7, 5, bytes.data(), needed - 1); },
                 {"[camera_frame] expected " + std::to_string(needed) + " bytes of 7 x 5 pixels, found " +
                  std::to_string(needed - 1)});
  }
  expect_throw([&] { CameraFrame::in_one(PixelFormat::kRgb, 7, 0, bytes.data(), bytes.size()); }, {"found 7 x 0"});
  expect_throw([&] { CameraFrame::in_one(PixelFormat::kRgb, 7, 5, nullptr, 105); }, {"expected bytes, found none"});
}

/// A good frame with one thing changed is refused by that text, and what was given before stays.
TEST(FramePreparer, RefusesBadFrames) {
  FramePreparer preparer(profile_of(4, 4, 8));
  const OwnedFrame good = noise_frame(PixelFormat::kYuv420, 15, 9, 2);
  const Array& given = preparer.prepare(good.frame);
  const std::vector<std::uint8_t> before = levels_of(given);
  constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
  const auto refuses = [&](const auto& change, const std::vector<std::string>& parts) {
    CameraFrame frame = good.frame;
    change(frame);
    expect_throw([&] { preparer.prepare(frame); }, parts);
    EXPECT_EQ(levels_of(given), before);
  };
  for (const std::int64_t side : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{16385}, kMost, -kMost - 1}) {
    const std::string found = "expected sides of 1 to 16384 pixels, found ";
    refuses([&](CameraFrame& frame) { frame.width = side; }, {found + std::to_string(side) + " x 9"});
    refuses([&](CameraFrame& frame) { frame.height = side; }, {found + "15 x " + std::to_string(side)});
  }
  for (const int rotation : {-90, 1, 45, 360})
    refuses([&](CameraFrame& frame) { frame.rotation = rotation; }, {"degrees, found " + std::to_string(rotation)});
  refuses([](CameraFrame& frame) { frame.format = static_cast<PixelFormat>(8); }, {"expected a PixelFormat, found 8"});
  refuses([](CameraFrame& frame) { frame.format = static_cast<PixelFormat>(-1); }, {"found -1"});
  refuses([](CameraFrame& frame) { frame.colours = static_cast<YuvColours>(4); }, {"YuvColours, found 4"});
  for (const std::size_t plane : {0, 1, 2}) {
    const std::string name = "[camera_frame] plane " + std::to_string(plane) + ": expected ";
    const std::int64_t row = 15, stride = row + 2, rows = plane == 0 ? 9 : 5;  // 8 of chroma with gaps take as many
    refuses([&](CameraFrame& frame) { frame.planes[plane].data = nullptr; }, {name + "bytes, found none"});
    for (const std::int64_t bad : {row - 1, std::int64_t{-1}, -stride, -kMost - 1})
      refuses([&](CameraFrame& frame) { frame.planes[plane].row_stride = bad; },
              {name + "a row stride of 15 or more, found " + std::to_string(bad)});
    const std::string needed = std::to_string(rows - 1) + " * ";
    for (const std::int64_t bad : {stride + 1, kMost / 4, kMost})
      refuses([&](CameraFrame& frame) { frame.planes[plane].row_stride = bad; },
              {name + needed + std::to_string(bad) + " + 15 bytes, found "});
    for (const std::size_t bad : {std::size_t{0}, std::size_t{14}, good.frame.planes[plane].bytes - 1})
      refuses([&](CameraFrame& frame) { frame.planes[plane].bytes = bad; },
              {name + needed + "17 + 15 bytes, found " + std::to_string(bad)});
    for (const std::int64_t bad : {std::int64_t{-1}, kMost, -kMost - 1})
      refuses([&](CameraFrame& frame) { frame.planes[plane].pixel_stride = bad; },
              {name + "a pixel stride of 1", "found " + std::to_string(bad)});
  }
  refuses([](CameraFrame& frame) { frame.planes[0].pixel_stride = 2; },
          {"plane 0: expected a pixel stride of 1, found 2"});
}

TEST(FramePreparer, RefusesWhatCannotBeScaled) {
  const OwnedFrame stripe = noise_frame(PixelFormat::kRgb, 129, 2);
  FramePreparer preparer(profile_of(2, 2, 2)), one(profile_of(1, 1, 1));
  expect_throw([&] { preparer.prepare(stripe.frame); },
               {"[frame_preparer] expected no side of more than 64 times the other, found 129 x 2"});
  // 129 become 1, and so do 257
  for (const Size& size : {Size{257, 257}, Size{257, 129}, Size{129, 257}})
    expect_throw([&] { one.prepare(noise_frame(PixelFormat::kRgb, size.width, size.height).frame); },
                 {"at most 256 times what they are scaled to, found " + std::to_string(size.width) + " x "});
  for (const Size& size : {Size{256, 256}, Size{256, 129}, Size{255, 510}})
    one.prepare(noise_frame(PixelFormat::kRgb, size.width, size.height).frame);
}

TEST(FramePreparer, RefusesBadProfiles) {
  for (const FrameProfile& profile : {profile_of(0, 4, 8), profile_of(4, 0, 8), profile_of(9, 4, 8),
                                      profile_of(4, 9, 8), profile_of(4, 4, 4097), profile_of(-1, 4, 8)})
    expect_throw([&] { FramePreparer preparer(profile); }, {"[frame_preparer] expected a size of 1 to `resize`"});
}

}  // namespace
}  // namespace voxshift
