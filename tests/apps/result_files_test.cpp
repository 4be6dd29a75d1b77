// What the command writes: bytes of labels, scores and pictures, and that nothing half-written is left.
#include "result_files.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <voxshift/files/atomic_file.h>
#include <voxshift/files/read_points.h>
#include <voxshift/files/unfinished_file.h>

#include <array>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <limits>
#include <ostream>
#include <stdexcept>
#include <utility>
#include <vector>

#include "file_test.h"
#include "picture.h"

namespace voxshift {
namespace {

using ResultFiles = FileTest;

TEST_F(ResultFiles, LabelsAreRawIds) {
  write_labels(folder_ / "a.label", std::vector<std::uint8_t>{0, 18, kUnlabelled, 8, 77}, semantic_kitti_classes());
  EXPECT_EQ(get(folder_ / "a.label"), bytes_of(std::vector<std::uint32_t>{10, 81, 0, 40, 0}));
  write_labels(folder_ / "b.label", {}, semantic_kitti_classes());
  EXPECT_EQ(get(folder_ / "b.label"), "");
  EXPECT_EQ(names(), (std::vector<std::string>{"a.label", "b.label"}));
}

TEST_F(ResultFiles, ScoresReadBack) {
  const std::vector<float> scores = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  write_array(folder_ / "a.npy", Array::from(scores, {static_cast<std::int64_t>(scores.size()) / 5, 5}));
  const std::string bytes = get(folder_ / "a.npy");
  EXPECT_EQ((bytes.size() - 40) % 64, 0U);
  EXPECT_EQ(bytes.substr(bytes.size() - 40), bytes_of(scores));
  EXPECT_EQ(read_points(folder_ / "a.npy").points, scores);
  EXPECT_THROW(write_array(folder_ / "b.npy", Array({4, 2}, DType::kU8)), InvalidArgument);
}

TEST_F(ResultFiles, ColouredPlyReadsBack) {
  const PointCloud scan{{1, 2, 3, 0, 9, 4, 5, 6, 0, 9}, 5};
  write_coloured_ply(folder_ / "a.ply", scan, std::vector<std::uint8_t>{0, kUnlabelled}, semantic_kitti_classes());
  EXPECT_EQ(read_points(folder_ / "a.ply").points, (std::vector<float>{1, 2, 3, 0, 4, 5, 6, 0}));
  const std::string bytes = get(folder_ / "a.ply");
  const std::string last_row = bytes.substr(bytes.size() - 17);
  EXPECT_EQ(last_row.substr(12), std::string("\x80\x80\x80\0\0", 5));
  EXPECT_EQ(bytes.substr(bytes.size() - 22, 5), std::string("\x64\x96\xF5\x0A\0", 5));  // car, raw id 10
}

TEST_F(ResultFiles, ColouredPlyKeepsFarCoordinates) {
  PointCloud scan{{0.125F, 0.25F, 3, 0}, 4};
  scan.origin = {500000, 4300000, 0};
  write_coloured_ply(folder_ / "a.ply", scan, std::vector<std::uint8_t>{0}, semantic_kitti_classes());
  const std::string bytes = get(folder_ / "a.ply");
  EXPECT_EQ(bytes.substr(bytes.size() - 29, 24), bytes_of(std::vector<double>{500000.125, 4300000.25, 3}));
  const PointCloud back = read_points(folder_ / "a.ply");
  EXPECT_EQ(back.points, scan.points);
  EXPECT_EQ(back.origin, scan.origin);
  EXPECT_EQ(back.label, std::vector<std::uint32_t>{10});
}

TEST_F(ResultFiles, WritingReplacesWholeFiles) {
  const fs::path path = put("a.txt", "old and longer");
  fs::create_symlink("a.txt", folder_ / "link.txt");
  write_atomically(folder_ / "link.txt", [](std::ostream& stream) { stream << "new"; });
  EXPECT_EQ(get(path), "new");
  EXPECT_TRUE(fs::is_symlink(folder_ / "link.txt"));
  EXPECT_EQ(names(), (std::vector<std::string>{"a.txt", "link.txt"}));
}

TEST_F(ResultFiles, NothingHalfWrittenIsLeft) {
  const fs::path path = put("a.txt", "old");
  EXPECT_THROW(write_atomically(path,
                                [](std::ostream& stream) {
                                  stream << "half of the new" << std::flush;
                                  throw std::runtime_error("stopped");
                                }),
               std::runtime_error);
  EXPECT_SAYS(
      io_error(path, [&] { write_atomically(path, [](std::ostream& stream) { stream.setstate(std::ios::badbit); }); }),
      "cannot be written");
  EXPECT_EQ(get(path), "old");
  EXPECT_EQ(names(), (std::vector<std::string>{"a.txt"}));
}

// As the command's handler of signals has it: all files that are open at that moment.
TEST_F(ResultFiles, NothingHalfWrittenIsLeftWhereTheProcessEnds) {
  const fs::path path = put("a.txt", "old");
  const pid_t child = fork();
  if (child == 0) {
    write_atomically(path, [&](std::ostream& stream) {
      stream << "half of the new" << std::flush;
      write_atomically(folder_ / "b.txt", [](std::ostream& other) { other << "whole"; });
      write_atomically(folder_ / "c.txt", [&](std::ostream& other) {
        other << "half" << std::flush;
        if (names().size() == 4) remove_unfinished_files();
        _exit(0);
      });
    });
  }
  waitpid(child, nullptr, 0);
  EXPECT_EQ(get(path), "old");
  EXPECT_EQ(get(folder_ / "b.txt"), "whole");
  EXPECT_EQ(names(), (std::vector<std::string>{"a.txt", "b.txt"}));
}

TEST_F(ResultFiles, PlacesThatCannotBeWritten) {
  const auto writing = [](const fs::path& path) {
    return io_error(path, [&] { write_labels(path, std::vector<std::uint8_t>(100000), semantic_kitti_classes()); });
  };
  const fs::path file = put("file", "x");
  EXPECT_SAYS(writing(file / "a.label"), "Not a directory");
  EXPECT_SAYS(writing(folder_ / "none" / "a.label"), "No such file");
  EXPECT_SAYS(writing(folder_), "Is a directory");
  EXPECT_SAYS(writing("/proc/a.label"), "cannot be written");
  EXPECT_SAYS(io_error(file / "deep", [&] { make_folder(file / "deep"); }), "Not a directory");
  EXPECT_SAYS(io_error(file, [&] { make_folder(file); }), "Not a directory");
  EXPECT_EQ(names(), (std::vector<std::string>{"file"}));
  make_folder(folder_ / "b" / "c");
  make_folder(folder_ / "b" / "c");
  EXPECT_TRUE(fs::is_directory(folder_ / "b" / "c"));
}

// A pipe of the test's own: a rename over a real device would take it away from the whole machine.
TEST_F(ResultFiles, PipesAreWrittenDirectly) {
  const fs::path pipe = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const int reader = ::open(pipe.c_str(), O_RDWR | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  write_atomically(pipe, [](std::ostream& stream) { stream << "through"; });
  std::array<char, 16> read{};
  EXPECT_EQ(::read(reader, read.data(), read.size()), 7);
  EXPECT_STREQ(read.data(), "through");
  ::close(reader);
  EXPECT_TRUE(fs::is_fifo(pipe));
}

// The system refuses to let a file grow past the limit, as it would on a full disk.
TEST_F(ResultFiles, FilesThatCannotGrow) {
  const fs::path path = put("a.label", "old");
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4096, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string message =
      io_error(path, [&] { write_labels(path, std::vector<std::uint8_t>(100000), semantic_kitti_classes()); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_SAYS(message, "File too large");
  EXPECT_EQ(get(path), "old");
  EXPECT_EQ(names(), (std::vector<std::string>{"a.label"}));
}

// Pictures

/// Width and height from the header of a PNG.
std::pair<int, int> png_size(const std::vector<std::uint8_t>& png) {
  const auto number = [&](std::size_t at) {
    return png[at] << 24 | png[at + 1] << 16 | png[at + 2] << 8 | png[at + 3];
  };
  return png.size() > 24 ? std::pair(number(16), number(20)) : std::pair(0, 0);
}

TEST_F(ResultFiles, PicturesOfOddScans) {
  const float nan = std::nanf(""), inf = std::numeric_limits<float>::infinity(), huge = 3e38F;
  const std::vector<std::vector<float>> scans = {{},
                                                 {1, 2, 3, 0},
                                                 {0, 0, 0, 0, 0, 0, 0, 0},
                                                 {nan, 0, 0, 0, 0, inf, 0, 0},
                                                 {5e5F, 4e6F, 100, 0, 5e5F, 4e6F, 90, 0},
                                                 {huge, huge, huge, 0, -huge, -huge, -huge, 0, 1, 1, 1, 0}};
  for (const auto& points : scans) {
    const PointCloud scan{points, 4};
    std::vector<std::uint8_t> labels(points.size() / 4, kUnlabelled);
    if (!labels.empty()) labels[0] = 3;
    const auto png = draw_picture({scan, labels, semantic_kitti_classes(), "na\xC3\xAFve " + std::string(200, 'w')});
    EXPECT_GT(png_size(png).first, png_size(png).second);
    EXPECT_GE(png_size(png).second, 1000);
  }
  const PointCloud scan{{1, 2, 3, 0}, 4};
  EXPECT_THROW(draw_picture({scan, {}, semantic_kitti_classes(), ""}), InvalidArgument);
}

TEST_F(ResultFiles, PicturesOfConfusion) {
  const double nan = std::nan("");
  const ConfusionPicture plain{{"car", "road"}, {2, 0}, {0.5, nan}, {0.5, 0.5, 0, 0, 0, 0}, "one of two"};
  ConfusionPicture with_misses = plain, long_names = plain;
  with_misses.shares = {0, 0, 1, 0, 0, 0};
  long_names.names = {"na\xC3\xAFve " + std::string(2000, 'w'), ""};
  const auto [width, height] = png_size(draw_confusion(plain));
  const auto [wider, same_height] = png_size(draw_confusion(with_misses));
  EXPECT_GT(width, 0);
  EXPECT_GT(wider, width);  // a column more
  EXPECT_EQ(same_height, height);
  EXPECT_GT(png_size(draw_confusion(long_names)).first, width);
  EXPECT_LT(png_size(draw_confusion(long_names)).first, 1000);
  EXPECT_EQ(draw_confusion(plain), draw_confusion(plain));

  for (const auto& change : std::vector<std::function<void(ConfusionPicture&)>>{
           [](ConfusionPicture& p) { p.names.pop_back(); }, [](ConfusionPicture& p) { p.true_points.push_back(1); },
           [](ConfusionPicture& p) { p.iou.clear(); }, [](ConfusionPicture& p) { p.shares.pop_back(); }}) {
    ConfusionPicture wrong = plain;
    change(wrong);
    EXPECT_THROW(draw_confusion(wrong), InvalidArgument);
  }
}

}  // namespace
}  // namespace voxshift
