// What a page holds is read back from its text: the JSON of its frames, and their records, by a base64 of the test's
// own.
#include <gtest/gtest.h>
#include <voxshift/look/page.h>
#include <voxshift/tensor/error.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "file_test.h"

namespace voxshift {
namespace {

using Json = nlohmann::json;
using PageFiles = FileTest;

const std::vector<ClassInfo> kClasses = {{"road", 40, {255, 0, 255}}, {"</script><b>", 10, {1, 2, 3}}};

/// What stands between two texts, the first time they do.
std::string between(const std::string& text, const std::string& from, const std::string& to) {
  const std::size_t begin = text.find(from);
  if (begin == std::string::npos) return "nothing";
  const std::size_t start = begin + from.size();
  return text.substr(start, text.find(to, start) - start);
}

Json meta_of(const std::string& html) {
  return Json::parse(between(html, "<script type=\"application/json\" id=\"meta\">", "</script>"));
}

std::vector<unsigned char> decoded(const std::string& text) {
  const std::string letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<unsigned char> bytes;
  unsigned bits = 0;
  int held = 0;
  for (const char c : text) {
    if (c == '=') break;
    bits = bits << 6 | static_cast<unsigned>(letters.find(c));
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes.push_back(static_cast<unsigned char>(bits >> held & 255U));
  }
  return bytes;
}

struct Read {
  double x, y, z;
  int remission, label;
};

std::vector<Read> points_of(const std::string& html, std::size_t frame) {
  const Json meta = meta_of(html)["frames"][frame];
  const auto bytes = decoded(between(html, "id=\"frame" + std::to_string(frame) + "\">", "</script>"));
  std::vector<Read> points;
  for (std::size_t i = 0; i + 8 <= bytes.size(); i += 8) {
    double at[3];
    for (std::size_t axis = 0; axis < 3; ++axis) {
      const int step = bytes[i + 2 * axis] + 256 * bytes[i + 2 * axis + 1];
      at[axis] = meta["low"][axis].get<double>() + step / 65535.0 * meta["extent"][axis].get<double>();
    }
    points.push_back({at[0], at[1], at[2], bytes[i + 6], bytes[i + 7]});
  }
  return points;
}

std::vector<float> random_points(std::size_t count, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::vector<float> points;
  for (std::size_t i = 0; i < count; ++i) {
    for (const float half : {60.0f, 40.0f, 3.0f})
      points.push_back(half * (2 * static_cast<float>(random()) / 4294967296.0f - 1));
    points.push_back(static_cast<float>(random() % 256));
  }
  return points;
}

PageFrame frame_of(const std::vector<float>& points) {
  PageFrame frame;
  frame.points = points;
  return frame;
}

Page page_of(const std::vector<PageFrame>& frames, PageOptions options = {}) {
  options.classes = kClasses;
  Page page(options);
  for (const PageFrame& frame : frames) page.add(frame);
  return page;
}

TEST(Page, HoldsNothingFromElsewhere) {
  const std::vector<float> points = random_points(10);
  const std::string html = page_of({frame_of(points)}).html();
  EXPECT_EQ(html.rfind("<!DOCTYPE html>", 0), 0U);
  for (const char* word : {"http:", "https:", "src=", "href=", "import(", "fetch(", "@import", "url("})
    EXPECT_EQ(html.find(word), std::string::npos) << word;
  for (const char* mark : {"@title@", "@style@", "@script@", "@meta@", "@frames@"})
    EXPECT_EQ(html.find(mark), std::string::npos) << mark;
}

TEST(Page, KeepsPointsWithinHalfAStepInTheirOrder) {
  const std::vector<float> points = random_points(1000);
  PageFrame frame = frame_of(points);
  frame.has_remission = true;
  const std::string html = page_of({frame}).html();
  const std::vector<Read> read = points_of(html, 0);
  ASSERT_EQ(read.size(), 1000U);
  const double full = meta_of(html)["remission"];
  EXPECT_GT(full, 240);
  for (std::size_t i = 0; i < read.size(); ++i) {
    EXPECT_NEAR(read[i].x, points[4 * i], 120 / 65535.0 / 2 + 1e-5) << i;
    EXPECT_NEAR(read[i].y, points[4 * i + 1], 80 / 65535.0 / 2 + 1e-5) << i;
    EXPECT_NEAR(read[i].z, points[4 * i + 2], 6 / 65535.0 / 2 + 1e-6) << i;
    EXPECT_NEAR(read[i].remission, std::min(255.0, points[4 * i + 3] / full * 255), 0.51) << i;
    EXPECT_EQ(read[i].label, 255);
  }
}

TEST(Page, CountsTheLabelsOfAllPoints) {
  const std::vector<float> points = random_points(5);
  const std::vector<std::uint8_t> labels = {0, 1, 0, 255, 7};  // 7 is no class of these
  PageFrame frame = frame_of(points);
  frame.labels = labels;
  frame.name = "a";
  frame.seconds = 2.5;
  const std::string html = page_of({frame}).html();
  const Json meta = meta_of(html);
  EXPECT_EQ(meta["frames"][0]["counts"], Json::parse("[[0, 2], [1, 1], [255, 2]]"));
  EXPECT_EQ(meta["frames"][0]["points"], 5);
  EXPECT_EQ(meta["frames"][0]["name"], "a");
  EXPECT_EQ(meta["frames"][0]["seconds"], 2.5);
  EXPECT_EQ(meta["classes"][0], Json::parse(R"({"name": "road", "rgb": [255, 0, 255]})"));
  EXPECT_TRUE(meta["remission"].is_null());
  std::vector<int> read;
  for (const Read& point : points_of(html, 0)) read.push_back(point.label);
  EXPECT_EQ(read, (std::vector<int>{0, 1, 0, 255, 255}));
}

TEST(Page, LetsNoNameEndTheScriptThatHoldsIt) {
  const std::vector<float> points = random_points(3);
  PageFrame frame = frame_of(points);
  frame.name = "<!--\xff</script>";
  PageOptions options;
  options.title = "a <b> & c";
  const std::string html = page_of({frame}, options).html();
  EXPECT_EQ(between(html, "<title>", "</title>"), "a &lt;b> &amp; c");
  EXPECT_EQ(meta_of(html)["classes"][1]["name"], "</script><b>");
  EXPECT_EQ(meta_of(html)["frames"][0]["name"], "<!--\xEF\xBF\xBD</script>");
  EXPECT_EQ(meta_of(html)["title"], "a <b> & c");
}

TEST(Page, ShowsBoxesInTheFrameOfTheFirstOrigin) {
  const std::vector<float> points = random_points(4);
  const PageBox boxes[] = {{{1, 2, 3, 4, 5, 6, 0.5f}, 1, 0.75f},
                           {{0, 0, std::numeric_limits<float>::quiet_NaN(), 1, 1, 1, 0}, 0},
                           {{-1, 0, 0, 1, 1, 1, 0}, 0}};
  PageFrame first = frame_of(points), second = frame_of(points);
  first.origin = {500000, 4e6, 10};
  second.origin = {500100, 4e6, 11};
  first.boxes = second.boxes = boxes;
  const std::string html = page_of({first, second}).html();
  const Json frames = meta_of(html)["frames"];
  EXPECT_EQ(frames[0]["boxes"], Json::parse("[[1, 2, 3, 4, 5, 6, 0.5, 0.75, 1], [-1, 0, 0, 1, 1, 1, 0, null, 0]]"));
  EXPECT_EQ(frames[1]["boxes"][0], Json::parse("[101, 2, 4, 4, 5, 6, 0.5, 0.75, 1]"));
  EXPECT_NEAR(points_of(html, 1)[0].x, points[0] + 100.0, 1e-3);
  EXPECT_NEAR(points_of(html, 1)[0].z, points[2] + 1.0, 1e-3);
}

TEST(Page, LeavesOutWhatIsNotFiniteAndWhatIsFar) {
  std::vector<float> points = random_points(1000);
  points[4] = std::numeric_limits<float>::infinity();
  points[9] = std::numeric_limits<float>::quiet_NaN();
  points[12] = 1e9f;
  const Page page = page_of({frame_of(points)});
  EXPECT_EQ(page.notes(),
            (std::vector<std::string>{"2 points are NaN or infinite", "1 point is too far from the others"}));
  const std::vector<Read> read = points_of(page.html(), 0);
  ASSERT_EQ(read.size(), 997U);
  EXPECT_NEAR(read[1].x, points[16], 1e-3);
}

TEST(Page, ThinsFramesAndPointsEvenlyWhateverComesLater) {
  const std::vector<float> points = random_points(30000);
  std::vector<PageFrame> frames(9, frame_of(points));
  for (std::size_t i = 0; i < frames.size(); ++i) frames[i].name = std::to_string(i);
  PageOptions options;
  options.max_frames = 4;
  options.max_points = 50000;
  const Page page = page_of(frames, options);
  EXPECT_EQ(page.notes(), (std::vector<std::string>{"every 4th of 9 frames is shown", "1 of 2 points is shown"}));
  const std::string html = page.html();
  const Json shown = meta_of(html)["frames"];
  ASSERT_EQ(shown.size(), 3U);
  for (std::size_t f = 0; f < 3; ++f) {
    EXPECT_EQ(shown[f]["name"], std::to_string(4 * f));
    EXPECT_EQ(shown[f]["points"], 30000);
    const std::vector<Read> read = points_of(html, f);
    EXPECT_NEAR(static_cast<double>(read.size()), 15000, 2);
    std::size_t row = 0, last = 0, widest = 0;  // in their order, and no three neighbours are all left out
    for (const Read& point : read) {
      while (row < 30000 && (std::abs(point.x - static_cast<double>(points[4 * row])) > 2e-3 ||
                             std::abs(point.y - static_cast<double>(points[4 * row + 1])) > 2e-3))
        ++row;
      ASSERT_LT(row, 30000U);
      widest = std::max(widest, row - last);
      last = row;
    }
    EXPECT_LE(widest, 3U);
  }
}

TEST(Page, OfOneLargeFrameIsThinnedToo) {
  const std::vector<float> points = random_points(1000);
  PageOptions options;
  options.max_points = 300;
  EXPECT_EQ(page_of({frame_of(points)}, options).notes(), std::vector<std::string>{"1 of 4 points is shown"});
}

TEST(Page, OfHundredThousandPointsIsBelowTwoMegabytes) {
  const std::vector<float> points = random_points(100000);
  const std::vector<std::uint8_t> labels(100000, 1);
  PageFrame frame = frame_of(points);
  frame.has_remission = true;
  frame.labels = labels;
  EXPECT_LT(page_of({frame}).html().size(), 2000000U);
}

TEST(Page, TakesPointsThatAreFewOrInOnePlace) {
  const std::vector<float> none, one = {1, 2, 3, 0}, three = {1, 2, 3, 1, 2, 3};
  PageFrame narrow = frame_of(three);
  narrow.columns = 3;
  const std::string html = page_of({frame_of(none), frame_of(one), narrow}).html();
  EXPECT_EQ(points_of(html, 0).size(), 0U);
  ASSERT_EQ(points_of(html, 1).size(), 1U);
  EXPECT_NEAR(points_of(html, 1)[0].y, 2, 1e-6);
  EXPECT_EQ(points_of(html, 2).size(), 2U);
  EXPECT_GT(meta_of(html)["reach"].get<double>(), 0);
}

TEST(Page, LooksAtTheSensorOrAtTheMiddleOfWhatIsElsewhere) {
  std::vector<float> points = random_points(1000);
  EXPECT_EQ(meta_of(page_of({frame_of(points)}).html())["target"][0], 0);
  for (std::size_t i = 0; i < 1000; ++i) points[4 * i] += 500;
  EXPECT_NEAR(meta_of(page_of({frame_of(points)}).html())["target"][0].get<double>(), 500, 10);
}

TEST(Page, RefusesWhatDoesNotFit) {
  const std::vector<float> points = random_points(4);
  const std::vector<std::uint8_t> labels(3);
  PageFrame frame = frame_of(points);
  frame.labels = labels;
  EXPECT_THROW(page_of({frame}), InvalidArgument);
  frame.labels = {};
  frame.columns = 2;
  EXPECT_THROW(page_of({frame}), InvalidArgument);
  frame.columns = 3;
  EXPECT_THROW(page_of({frame}), InvalidArgument);  // 16 numbers are no rows of 3
  frame.points = frame.points.first(12);
  frame.has_remission = true;
  EXPECT_THROW(page_of({frame}), InvalidArgument);
  EXPECT_THROW(page_of({}).html(), InvalidArgument);
  PageOptions options;
  options.max_points = 0;
  EXPECT_THROW(Page{options}, InvalidArgument);
}

TEST_F(PageFiles, AreCompleteOrAbsent) {
  const std::vector<float> points = random_points(4);
  const Page page = page_of({frame_of(points)});
  page.save(folder_ / "page.html");
  EXPECT_EQ(std::filesystem::file_size(folder_ / "page.html"), page.html().size());
  EXPECT_THROW(page.save(folder_ / "none" / "page.html"), IoError);
}

}  // namespace
}  // namespace voxshift
