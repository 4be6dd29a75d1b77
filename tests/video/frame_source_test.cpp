// Frames of files and folders: order, colours, sizes, times, and what is wrong with bad ones.
#include <sys/stat.h>
#include <voxshift/video/latest_frame.h>

#include <cmath>
#include <cstdlib>
#include <stdexcept>
#include <thread>

#include "frame_fixture.h"

namespace voxshift {
namespace {

TEST_F(FrameSourceTest, FramesOfAVideo) {
  FrameSource source(video("a.mkv", 7), unscaled(64));
  EXPECT_EQ(source.frame_count(), 7);
  EXPECT_DOUBLE_EQ(source.frames_per_second(), 20);
  EXPECT_FALSE(source.live());
  for (int number = 0; number < 7; ++number) {
    const auto frame = source.next();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->number, number);
    EXPECT_NEAR(frame->seconds, number / 20.0, 1e-3);
    EXPECT_EQ(frame->pixels.shape(), (Shape{64, 64, 3}));
    EXPECT_EQ(frame->pixels.dtype(), DType::kU8);
    expect_picture(*frame, number);
  }
  EXPECT_FALSE(source.next());
  EXPECT_FALSE(source.next()) << "the end stays the end";
}

TEST_F(FrameSourceTest, ImagesOfAFolderInOrder) {
  image("clip/b.png", picture(32, 32, 1));
  image("clip/a.bmp", picture(32, 32, 0));
  image("clip/c.PNG", picture(32, 32, 2));
  put("clip/readme.txt", "no frame");
  FrameSource source(folder() + "/clip", unscaled(32));
  EXPECT_EQ(source.frame_count(), 3);
  EXPECT_EQ(source.frames_per_second(), 25);
  for (int number = 0; number < 3; ++number) {
    const auto frame = source.next();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->number, number);
    EXPECT_DOUBLE_EQ(frame->seconds, number / 25.0);
    expect_picture(*frame, number);
  }
  EXPECT_FALSE(source.next());
}

TEST_F(FrameSourceTest, ImagesInTheOrderOfTheirNumbers) {
  for (const int number : {1, 2, 9, 10, 11, 100})
    image("clip/" + std::to_string(number) + ".png", picture(32, 32, number));
  for (const char* name : {"clip/._1.png", "clip/.5.png"}) put(name, "no frame");
  fs::create_directory(folder_ / "clip/3.png");
  FrameSource source(folder() + "/clip", unscaled(32));
  EXPECT_EQ(source.frame_count(), 6);
  for (const int number : {1, 2, 9, 10, 11, 100}) expect_picture(*source.next(), number);
  EXPECT_FALSE(source.next());
}

// Every format that this OpenCV can write, which is what it can read; a part of one is none.
TEST_F(FrameSourceTest, ImagesOfEveryFormat) {
  const cv::Mat grey(32, 32, CV_8UC3, cv::Scalar::all(77));  // survives lossy formats
  int formats = 0;
  for (const char* extension :
       {".png", ".PNG", ".jpg", ".jpeg", ".JPG", ".bmp", ".webp", ".tif", ".tiff", ".Tif", ".ppm"}) {
    if (!cv::haveImageWriter(extension)) continue;
    ++formats;
    const std::string clip = std::string("clip") + extension, name = clip + "/0" + extension;
    const std::string whole = get(image(name, grey));
    FrameSource source(folder() + "/" + clip, unscaled(32));
    const auto frame = source.next();
    ASSERT_TRUE(frame) << name;
    EXPECT_NEAR(at(*frame, 20, 9, 1), 77, 1) << name;
    put(name, whole.substr(0, whole.size() / 2));
    EXPECT_SAYS(fails(folder() + "/" + clip, unscaled(32)), "frame 0: 0" + std::string(extension) + " is ");
  }
  EXPECT_GE(formats, 6);
}

// A phone says by EXIF how it was held; 1 to 8 name the corner of the picture where the file's first row and column
// begin.
TEST_F(FrameSourceTest, PhotosAreTurnedAsTheySay) {
  cv::Mat stored(32, 32, CV_8UC3, cv::Scalar::all(20));
  stored(cv::Rect(0, 0, 16, 8)).setTo(cv::Scalar::all(220));  // wide, in the corner of row 0 and column 0
  const std::string jpeg = get(image("clip/0.jpg", stored));
  struct Held {
    char orientation;
    int y, x;  ///< a corner of the frame
    bool wide;
  };
  for (const Held& held : {Held{1, 0, 0, true},
                           {2, 0, 31, true},
                           {3, 31, 31, true},
                           {4, 31, 0, true},
                           {5, 0, 0, false},
                           {6, 0, 31, false},
                           {7, 31, 31, false},
                           {8, 31, 0, false}}) {
    const char exif[] = {'\xFF', '\xE1', 0, 34, 'E', 'x', 'i',  'f', 0, 0, 'M', 'M', 0, 42, 0,
                         0,      0,      8, 0,  1,   1,   0x12, 0,   3, 0, 0,   0,   1, 0,  held.orientation,
                         0,      0,      0, 0,  0,   0};
    put("clip/0.jpg", jpeg.substr(0, 2) + std::string(exif, sizeof exif) + jpeg.substr(2));
    const auto frame = FrameSource(folder() + "/clip", unscaled(32)).next();
    ASSERT_TRUE(frame);
    const int inwards_y = held.y == 0 ? 1 : -1, inwards_x = held.x == 0 ? 1 : -1;
    const auto bright = [&](int rows, int columns) {
      return at(*frame, held.y + inwards_y * rows, held.x + inwards_x * columns, 1) > 120;
    };
    SCOPED_TRACE(static_cast<int>(held.orientation));
    EXPECT_TRUE(bright(4, 4));
    EXPECT_EQ(bright(4, 12), held.wide);
    EXPECT_EQ(bright(12, 4), !held.wide);
  }
}

TEST_F(FrameSourceTest, APipeAmongTheImages) {
  image("clip/1.png", picture(32, 32));
  ASSERT_EQ(::mkfifo((folder() + "/clip/2.png").c_str(), 0600), 0);
  fs::create_symlink("gone.png", folder_ / "clip/3.png");
  EXPECT_SAYS(fails(folder() + "/clip", unscaled(32)), "frame 1: 2.png is not a file");
  fs::remove(folder_ / "clip/2.png");
  EXPECT_SAYS(fails(folder() + "/clip", unscaled(32)), "frame 1: 3.png is not a file");
}

TEST_F(FrameSourceTest, TheMiddleIsCutOut) {
  image("clip/0.png", picture(40, 61));
  FrameSourceOptions options = unscaled(40);
  options.size = {20, 10};
  FrameSource source(folder() + "/clip", options);
  expect_picture(*source.next(), 0, (61 - 10) / 2, (40 - 20) / 2);
}

// Half the size by area: the mean of 2 x 2 pixels.
TEST_F(FrameSourceTest, ShrinksByArea) {
  const cv::Mat whole = picture(64, 96);
  image("clip/0.png", whole);
  FrameSourceOptions options = unscaled(32);  // 96 x 64 becomes 48 x 32, of which 8 columns fall on each side
  FrameSource source(folder() + "/clip", options);
  const auto frame = source.next();
  for (int y = 0; y < 32; ++y)
    for (int x = 0; x < 32; ++x)
      for (int c = 0; c < 3; ++c) {
        double mean = 0;
        for (int i = 0; i < 2; ++i)
          for (int j = 0; j < 2; ++j) mean += whole.at<cv::Vec3b>(2 * y + i, 2 * (x + 8) + j)[2 - c] / 4.0;
        ASSERT_NEAR(at(*frame, y, x, c), mean, 0.5) << y << ' ' << x;
      }
}

// A ramp stays a ramp: pixel x of twice the size lies at (x + 0.5) / 2 - 0.5.
TEST_F(FrameSourceTest, GrowsBilinearly) {
  cv::Mat ramp(20, 20, CV_8UC3);
  for (int y = 0; y < 20; ++y)
    for (int x = 0; x < 20; ++x) ramp.at<cv::Vec3b>(y, x) = cv::Vec3b::all(static_cast<std::uint8_t>(10 * x));
  image("clip/0.png", ramp);
  FrameSource source(folder() + "/clip", unscaled(40));
  const auto frame = source.next();
  for (int y = 0; y < 40; ++y)
    for (int x = 1; x < 39; ++x) ASSERT_NEAR(at(*frame, y, x, 1), 10 * ((x + 0.5) / 2 - 0.5), 0.51) << y << ' ' << x;
}

TEST_F(FrameSourceTest, GreyAlphaAndSixteenBits) {
  cv::Mat grey(16, 16, CV_8UC1), alpha(16, 16, CV_8UC4), deep(16, 16, CV_16UC3);
  grey = 77;
  alpha = cv::Scalar(10, 20, 30, 0);
  deep = cv::Scalar(10 * 257, 20 * 257, 30 * 257);
  image("clip/0.png", grey);
  image("clip/1.png", alpha);
  image("clip/2.png", deep);
  FrameSource source(folder() + "/clip", unscaled(16));
  const auto expect_rgb = [&](int red, int green, int blue) {
    const auto frame = source.next();
    ASSERT_TRUE(frame);
    EXPECT_EQ(at(*frame, 3, 5, 0), red);
    EXPECT_EQ(at(*frame, 3, 5, 1), green);
    EXPECT_EQ(at(*frame, 3, 5, 2), blue);
  };
  expect_rgb(77, 77, 77);
  expect_rgb(30, 20, 10);
  expect_rgb(30, 20, 10);
}

TEST_F(FrameSourceTest, RealClipsAreWhole) {
  const char* data = std::getenv("VOXSHIFT_DATA");
  if (data == nullptr) GTEST_SKIP() << "VOXSHIFT_DATA is not set";
  for (const auto& [name, count] : {std::pair{"bikes.mp4", 250}, std::pair{"carphone.mp4", 120}}) {
    const fs::path path = fs::path(data) / "video" / name;
    if (!fs::exists(path)) GTEST_SKIP() << path << " is missing";
    FrameSource source(path.string(), {});
    int frames = 0;
    double last = -1;
    while (const auto frame = source.next()) {
      EXPECT_GT(frame->seconds, last);
      last = frame->seconds;
      EXPECT_EQ(frame->number, frames++);
    }
    EXPECT_EQ(frames, count);
    EXPECT_NEAR(last, (count - 1) / source.frames_per_second(), 0.05);
  }
}

TEST_F(FrameSourceTest, NothingIsPrinted) {
  const std::string whole = get(video("a.mkv", 20));
  const std::string cut = put("cut.mkv", whole.substr(0, whole.size() / 2)).string();
  const std::string text = put("text.mp4", std::string(5000, 'x')).string();
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  fails(cut, unscaled(64));
  fails(text, unscaled(64));
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
}

TEST_F(FrameSourceTest, RefusesWhatIsNoVideo) {
  const FrameSourceOptions options;
  EXPECT_SAYS(fails(folder() + "/absent.mp4", options), "no such file");
  EXPECT_SAYS(fails(put("empty.mp4", "").string(), options), "empty");
  EXPECT_SAYS(fails(put("text.mp4", "These are words.\n").string(), options), "no video");
  EXPECT_SAYS(fails(put("noise.avi", std::string(4096, '\x5a')).string(), options), "no video");
}

TEST_F(FrameSourceTest, RefusesFoldersWithoutImages) {
  fs::create_directory(folder_ / "empty");
  EXPECT_SAYS(fails(folder() + "/empty", {}), "holds no .png");
}

TEST_F(FrameSourceTest, ACutVideoGivesWhatItHas) {
  const std::string whole = get(video("a.mkv", 40));
  const std::string cut = put("cut.mkv", whole.substr(0, whole.size() / 2)).string();
  int frames = 0;
  const std::string message = fails(cut, unscaled(64), &frames);
  EXPECT_GT(frames, 5);
  EXPECT_LT(frames, 35);
  EXPECT_SAYS(message, "frame " + std::to_string(frames) + ": ");
  EXPECT_SAYS(message, "40 frames");
}

TEST_F(FrameSourceTest, ACutMp4CannotBeOpened) {
  const std::string path = (folder_ / "a.mp4").string();
  {
    cv::VideoWriter writer(path, cv::CAP_FFMPEG, cv::VideoWriter::fourcc('m', 'p', '4', 'v'), 25, {64, 64});
    for (int number = 0; number < 30; ++number) writer.write(picture(64, 64, number));
  }
  const std::string whole = get(path);
  EXPECT_SAYS(fails(put("cut.mp4", whole.substr(0, whole.size() / 2)).string(), unscaled(64)), "cut short");
}

TEST_F(FrameSourceTest, ABadImageHasItsFrameNumber) {
  for (int number = 0; number < 3; ++number) image("clip/" + std::to_string(number) + ".png", picture(32, 32, number));
  const auto expect_bad = [&](const std::string& name, const std::string& bytes, const std::string& what) {
    put("clip/" + name, bytes);
    int frames = 0;
    const std::string message = fails(folder() + "/clip", unscaled(32), &frames);
    EXPECT_EQ(frames, 2) << "the frames before are given";
    EXPECT_SAYS(message, "frame 2: ");
    EXPECT_SAYS(message, name);
    EXPECT_SAYS(message, what);
  };
  const std::string whole = get(folder_ / "clip/2.png");
  expect_bad("2.png", whole.substr(0, whole.size() / 2), "is no image");
  expect_bad("2.png", "These are words.", "is no image");
  expect_bad("2.png", "", "is no image");
  fs::remove(folder_ / "clip/2.png");
  const std::string jpeg = get(image("2.jpg", picture(32, 32)));
  expect_bad("2.jpg", jpeg.substr(0, jpeg.size() - 100), "is cut short");
}

TEST_F(FrameSourceTest, AnotherSizeMidway) {
  image("clip/0.png", picture(32, 32));
  image("clip/1.png", picture(32, 32));
  image("clip/2.png", picture(32, 34));
  int frames = 0;
  const std::string message = fails(folder() + "/clip", unscaled(32), &frames);
  EXPECT_EQ(frames, 2);
  EXPECT_SAYS(message, "frame 2: expected 32 x 32 pixels");
  EXPECT_SAYS(message, "34 x 32");
}

TEST_F(FrameSourceTest, RefusesStripes) {
  image("clip/0.png", cv::Mat(2, 400, CV_8UC3, cv::Scalar::all(9)));
  EXPECT_SAYS(fails(folder() + "/clip", unscaled(32)), "frame 0: ");
}

TEST_F(FrameSourceTest, RefusesSizesOutOfRange) {
  image("clip/0.png", picture(32, 32));
  const auto refuses = [&](Extent2d size, std::int64_t resize) {
    FrameSourceOptions options;
    options.size = size;
    options.resize = resize;
    EXPECT_THROW(FrameSource(folder() + "/clip", options), InvalidArgument);
  };
  refuses({0, 16}, 16);
  refuses({16, 17}, 16);
  refuses({16, 16}, 5000);
}

TEST(LatestFrame, TheNewestTakesThePlace) {
  LatestFrame<int> latest;
  latest.put(1);
  latest.put(2);
  latest.put(3);
  EXPECT_EQ(latest.take(), 3);
  latest.put(4);
  EXPECT_EQ(latest.take(), 4);
}

TEST(LatestFrame, WhatIsThereComesBeforeTheEnd) {
  LatestFrame<int> latest;
  latest.put(7);
  latest.close();
  EXPECT_EQ(latest.take(), 7);
  EXPECT_EQ(latest.take(), std::nullopt);
  EXPECT_EQ(latest.take(), std::nullopt);
}

TEST(LatestFrame, AnErrorComesAfterTheLastItem) {
  LatestFrame<int> latest;
  latest.put(7);
  latest.close(std::make_exception_ptr(std::runtime_error("gone")));
  EXPECT_EQ(latest.take(), 7);
  EXPECT_THROW(latest.take(), std::runtime_error);
}

TEST(LatestFrame, TakeWaitsForAnotherThread) {
  LatestFrame<int> latest;
  LatestFrame<int> answers;
  std::jthread writer([&] {
    for (int item = 0; item < 100; ++item) {
      latest.put(item);
      if (answers.take() != item) break;  // one item at a time, so that none is replaced
    }
    latest.close();
  });
  int expected = 0;
  while (const auto item = latest.take()) {
    EXPECT_EQ(*item, expected++);
    answers.put(*item);
  }
  EXPECT_EQ(expected, 100);
}

}  // namespace
}  // namespace voxshift
