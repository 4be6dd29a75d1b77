// Videos as cameras, phones and recorders leave them: turned, trimmed, with gaps, cut, under names like addresses.
#include <sys/stat.h>

#include <array>
#include <cmath>

#include "frame_fixture.h"
#include "video_bytes.h"

namespace voxshift {
namespace {

class VideoFileTest : public FrameSourceTest {
 protected:
  /// The two halves of frame n are as bright as its two digits are high, which lossy codecs keep.
  std::string digits(const std::string& name, int frames, const char (&codec)[5] = "mp4v") const {
    const std::string path = (folder_ / name).string();
    const int fourcc = cv::VideoWriter::fourcc(codec[0], codec[1], codec[2], codec[3]);
    cv::VideoWriter writer(path, cv::CAP_FFMPEG, fourcc, 10, {64, 64});
    for (int number = 0; number < frames; ++number) {
      const int tens = number / 10, ones = number % 10;
      cv::Mat image(64, 64, CV_8UC3, cv::Scalar::all(20 + 20 * tens));
      image(cv::Rect(32, 0, 32, 64)) = cv::Scalar::all(20 + 20 * ones);
      writer.write(image);
    }
    writer.release();
    return get(path);
  }

  /// Of every frame, the number that digits() gave it.
  static std::vector<int> numbers(FrameSource& source) {
    std::vector<int> found;
    while (const auto frame = source.next()) {
      const auto digit = [&](int x) { return static_cast<int>(std::lround((at(*frame, 30, x, 1) - 20) / 20.0)); };
      found.push_back(10 * digit(16) + digit(48));
    }
    return found;
  }

  static std::vector<int> range(int begin, int end) {
    std::vector<int> all;
    for (int number = begin; number < end; ++number) all.push_back(number);
    return all;
  }

  FrameSource open(const std::string& name, const std::string& content) const {
    return {put(name, content).string(), unscaled(64)};
  }
};

// The matrix of a track header turns (x, y) to (a x + c y, b x + d y), y down (ISO 14496-12, 8.3.2).
TEST_F(VideoFileTest, FramesAreTurnedAsTheHeaderSays) {
  using Colour = cv::Vec3b;  // red, green, blue
  const std::array<Colour, 4> corners = {Colour(230, 20, 20), Colour(20, 230, 20), Colour(20, 20, 230),
                                         Colour(230, 230, 230)};  // clockwise from the upper left one
  const std::string path = (folder_ / "a.mp4").string();
  {
    cv::Mat bgr(48, 64, CV_8UC3);
    const std::array<cv::Rect, 4> places = {cv::Rect(0, 0, 32, 24), {32, 0, 32, 24}, {32, 24, 32, 24}, {0, 24, 32, 24}};
    for (std::size_t i = 0; i < 4; ++i) bgr(places[i]) = cv::Scalar(corners[i][2], corners[i][1], corners[i][0]);
    cv::VideoWriter writer(path, cv::CAP_FFMPEG, cv::VideoWriter::fourcc('m', 'p', '4', 'v'), 10, {64, 48});
    for (int number = 0; number < 3; ++number) writer.write(bgr);
  }
  const std::array<std::array<int, 4>, 4> matrices = {{{1, 0, 0, 1}, {0, 1, -1, 0}, {-1, 0, 0, -1}, {0, -1, 1, 0}}};
  for (std::size_t turns = 0; turns < 4; ++turns) {
    std::string content = get(path);
    const std::size_t matrix = bytes::box(content, "tkhd") + 40;
    ASSERT_EQ(bytes::number(content, matrix, 4), 0x10000U);
    const std::array<std::size_t, 4> places = {0, 4, 12, 16};  // a, b, c, d
    for (std::size_t i = 0; i < 4; ++i)
      bytes::put_number(content, matrix + places[i], 4, static_cast<std::uint32_t>(matrices[turns][i]) << 16);
    FrameSource source(put("turned.mp4", content).string(), unscaled(48));
    int frames = 0;
    for (; const auto frame = source.next(); ++frames) {
      const std::array<cv::Point, 4> seen = {cv::Point(10, 10), {37, 10}, {37, 37}, {10, 37}};
      for (std::size_t i = 0; i < 4; ++i)
        for (int c = 0; c < 3; ++c)
          EXPECT_NEAR(at(*frame, seen[i].y, seen[i].x, c), corners[(i + 4 - turns) % 4][c], 25)
              << 90 * turns << " degrees, corner " << i;
    }
    EXPECT_EQ(frames, 3);
  }
}

// An edit list shows media from a time on for a while; all the frames stay in the file, and in its count.
TEST_F(VideoFileTest, AnEditListShowsAPart) {
  const std::string whole = digits("a.mp4", 40);
  const std::size_t list = bytes::box(whole, "elst"), track = bytes::box(whole, "tkhd"),
                    movie = bytes::box(whole, "mvhd");
  ASSERT_EQ(bytes::number(whole, list + 4, 4), 1U) << "one edit";
  const std::uint64_t duration = bytes::number(whole, list + 8, 4), start = bytes::number(whole, list + 12, 4);
  const std::uint64_t media_unit = bytes::number(whole, bytes::box(whole, "mdhd") + 16, 4) / 40;
  const auto trimmed = [&](std::uint64_t first, std::uint64_t frames) {
    std::string content = whole;
    for (const std::size_t place : {list + 8, track + 20, movie + 16})
      bytes::put_number(content, place, 4, duration * frames / 40);
    bytes::put_number(content, list + 12, 4, start + first * media_unit);
    FrameSource source = open("trimmed.mp4", content);
    const std::vector<int> found = numbers(source);
    EXPECT_EQ(source.missing_frames().count, 0);
    EXPECT_EQ(source.missing_frames().promised_seconds, 0);
    return found;
  };
  EXPECT_EQ(trimmed(0, 40), range(0, 40));
  EXPECT_EQ(trimmed(0, 15), range(0, 15));
  EXPECT_EQ(trimmed(17, 23), range(17, 40));
  EXPECT_EQ(trimmed(17, 10), range(17, 27));
}

// An MP4 whose index comes first can be opened when its end is missing.
TEST_F(VideoFileTest, ACutMp4GivesWhatItHas) {
  std::string whole = digits("a.mp4", 40);
  std::string index = bytes::whole_box(whole, "moov");
  const std::size_t media = whole.find("mdat") - 4, offsets = bytes::box(index, "stco");
  for (std::uint64_t i = 0; i < bytes::number(index, offsets + 4, 4); ++i) {
    const std::size_t place = offsets + 8 + 4 * i;
    bytes::put_number(index, place, 4, bytes::number(index, place, 4) + index.size());
  }
  whole = whole.substr(0, media) + index + whole.substr(media, whole.rfind("moov") - 4 - media);
  FrameSource source = open("whole.mp4", whole);
  EXPECT_EQ(numbers(source), range(0, 40));
  int frames = 0;
  const std::string cut = put("cut.mp4", whole.substr(0, whole.size() * 3 / 4)).string();
  const std::string message = fails(cut, unscaled(64), &frames);
  EXPECT_GT(frames, 5);
  EXPECT_LT(frames, 38);
  EXPECT_SAYS(message, "frame " + std::to_string(frames) + ": ");
  EXPECT_SAYS(message, "cut short");
}

TEST_F(VideoFileTest, ACutAviGivesWhatItHas) {
  const std::string path = (folder_ / "a.avi").string();
  {
    cv::VideoWriter writer(path, cv::CAP_FFMPEG, cv::VideoWriter::fourcc('M', 'J', 'P', 'G'), 25, {64, 64});
    for (int number = 0; number < 40; ++number) writer.write(picture(64, 64, number));
  }
  const std::string whole = get(path);
  int frames = 0;
  EXPECT_SAYS(fails(put("cut.avi", whole.substr(0, whole.size() / 2)).string(), unscaled(64), &frames), "cut short");
  EXPECT_GT(frames, 5);
}

// Where sound goes on after the pictures, the header's duration is the sound's.
TEST_F(VideoFileTest, AWholeFileMayEndBeforeItsDuration) {
  std::string content = get(video("a.mkv", 40));
  constexpr std::uint64_t kInfo = 0x1549A966, kDuration = 0x4489;
  for (const bytes::Element& info : bytes::segment(content))
    if (info.id == kInfo)
      for (const bytes::Element& inside : bytes::elements(content, info.content, info.end))
        if (inside.id == kDuration) {
          ASSERT_EQ(inside.end - inside.content, 8U);
          bytes::put_number(content, inside.content, 8, std::bit_cast<std::uint64_t>(10000.0));  // milliseconds
        }
  FrameSource source = open("long.mkv", content);
  EXPECT_EQ(source.frame_count(), 200);
  int frames = 0;
  while (source.next()) ++frames;
  EXPECT_EQ(frames, 40);
  EXPECT_NEAR(source.missing_frames().promised_seconds, 10, 0.01);
}

constexpr int kMany = 90;  // the last frames come without a time, as many as the decoder has threads

TEST_F(VideoFileTest, FramesThatAreMissingAreCounted) {
  std::string content = get(video("a.mkv", kMany));
  const std::vector<bytes::Element> blocks = bytes::blocks(content);
  ASSERT_EQ(blocks.size(), static_cast<std::size_t>(kMany));
  constexpr char kVoid = '\xEC';
  for (const std::size_t lost : {7, 20, 21, 22, 23, 24}) content[blocks[lost].at] = kVoid;
  FrameSource source = open("gaps.mkv", content);
  int frames = 0;
  for (; const auto frame = source.next(); ++frames) {
    EXPECT_EQ(frame->number, frames);
    EXPECT_NEAR(frame->seconds, (frames < 7 ? frames : frames < 19 ? frames + 1 : frames + 6) / 20.0, 1e-3);
  }
  EXPECT_EQ(frames, kMany - 6);
  const MissingFrames missing = source.missing_frames();
  EXPECT_EQ(missing.count, 6);
  EXPECT_EQ(missing.after, 18);
  EXPECT_NEAR(missing.after_seconds, 19 / 20.0, 1e-3);
  EXPECT_EQ(missing.promised_seconds, 0);
}

// OpenCV ends where a packet does not decode; the rest of the file is there all the same.
TEST_F(VideoFileTest, FramesBehindADamagedOneAreRead) {
  std::string content = digits("a.mkv", kMany, "MJPG");
  const std::vector<bytes::Element> blocks = bytes::blocks(content);
  for (const std::size_t bad : {10, 11, 12})
    std::fill(content.begin() + static_cast<std::ptrdiff_t>(blocks[bad].content + 4),
              content.begin() + static_cast<std::ptrdiff_t>(blocks[bad].end), '\0');
  FrameSource source = open("damaged.mkv", content);
  std::vector<int> expected = range(0, kMany);
  expected.erase(expected.begin() + 10, expected.begin() + 13);
  EXPECT_EQ(numbers(source), expected);
  EXPECT_EQ(source.missing_frames().count, 3);
  EXPECT_EQ(source.missing_frames().after, 9);
}

TEST_F(VideoFileTest, NothingIsMissingWhereTheRateVaries) {
  const std::string whole = get(video("a.mkv", kMany));
  const std::vector<bytes::Element> blocks = bytes::blocks(whole);
  EXPECT_EQ(bytes::number(whole, blocks[1].content + 1, 2), 50U) << "milliseconds since the cluster began";
  std::string content = whole;
  std::uint64_t time = 0;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    bytes::put_number(content, blocks[i].content + 1, 2, time);
    time += 20 + 37 * i % 61;
  }
  FrameSource varying = open("varying.mkv", content);
  while (varying.next()) {
  }
  EXPECT_EQ(varying.missing_frames().count, 0);
  FrameSource even = open("even.mkv", whole);
  while (even.next()) {
  }
  EXPECT_EQ(even.missing_frames().count, 0);
}

// What is there is a file, whatever scheme, camera or protocol its name would be otherwise.
TEST_F(VideoFileTest, NamesLikeAddresses) {
  const std::string content = digits("a.mp4", 5);
  const fs::path before = fs::current_path();
  fs::current_path(folder_);
  fs::create_directories("rtsp:/camera");
  for (const char* name : {"12:30.mp4", "2024-11-28T12:30:00.mp4", "rtsp://camera/1.mp4", "0", "pipe:0", "a%20b#c?.mp4",
                           "-.mp4", "file:x.mp4"}) {
    put(name, content);
    FrameSource source(name, unscaled(64));
    EXPECT_FALSE(source.live()) << name;
    EXPECT_EQ(numbers(source), range(0, 5)) << name;
  }
  fs::current_path(before);
}

TEST_F(VideoFileTest, UrlsOfFiles) {
  const std::string content = digits("a.mp4", 5);
  const fs::path odd = put("a b%:\xC3\xA4.mp4", content);
  std::string escaped = (folder_ / "a%20b%25:%C3%a4.mp4").string();
  for (const std::string& url : {"file://" + escaped, "file://localhost" + escaped, "FILE:" + escaped,
                                 "file://" + (folder_ / "a%20b%:\xC3\xA4.mp4").string()}) {
    FrameSource source(url, unscaled(64));
    EXPECT_EQ(numbers(source), range(0, 5)) << url;
  }
  image("clip/1.png", picture(64, 64));
  EXPECT_TRUE(FrameSource("file://" + folder() + "/clip", unscaled(64)).next());
  EXPECT_SAYS(fails("file://" + folder() + "/absent.mp4", {}), "no such file");
  EXPECT_SAYS(fails("file://server" + odd.string(), {}), "server");
  EXPECT_SAYS(fails("file://" + odd.string() + "%00", {}), "no such file");
}

// Nobody writes to the pipe: who opened it would wait for ever.
TEST_F(VideoFileTest, PipesAndOtherDevicesAreRefused) {
  const fs::path pipe = folder_ / "pipe.mp4", link = folder_ / "link.mp4";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  fs::create_symlink(pipe, link);
  for (const std::string& source : {pipe.string(), link.string(), "file://" + pipe.string(), std::string("/dev/zero")})
    EXPECT_SAYS(fails(source, {}), "neither a file nor a folder nor a camera");
  fs::create_symlink("loop", folder_ / "loop");
  EXPECT_SAYS(fails(folder() + "/loop", {}), "no such file");
}

}  // namespace
}  // namespace voxshift
