// How files that users name are opened and listed.
#include <sys/stat.h>
#include <voxshift/files/files.h>

#include <cstdio>
#include <memory>
#include <random>

#include "file_test.h"

namespace voxshift {
namespace {

class FilesTest : public FileTest {
 protected:
  std::vector<std::string> listed() const {
    std::vector<std::string> names;
    for (const fs::path& path : list_files(folder_, [](const fs::path& p) { return p.extension() != ".txt"; }))
      names.push_back(path.filename().string());
    return names;
  }

  /// By the machine's own `ls -v`.
  std::vector<std::string> listed_by_ls() const {
    const std::string command = "LC_ALL=C ls -v '" + folder_.string() + "'";
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(::popen(command.c_str(), "r"), ::pclose);
    std::string text;
    for (int c = std::fgetc(pipe.get()); c != EOF; c = std::fgetc(pipe.get())) text += static_cast<char>(c);
    std::vector<std::string> names;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) names.push_back(line);
    return names;
  }
};

TEST_F(FilesTest, NumbersCountByTheirValue) {
  for (const char* name : {"10.png", "1.png", "2.png", "11.png", "010.png", "9.png"}) put(name, "x");
  EXPECT_EQ(listed(), (std::vector<std::string>{"1.png", "2.png", "9.png", "010.png", "10.png", "11.png"}));
}

TEST_F(FilesTest, NumbersOfAnyLength) {
  const std::string nines(40, '9'), large = "1" + std::string(40, '0');
  EXPECT_TRUE(natural_less("a" + nines, "a" + large));
  EXPECT_FALSE(natural_less("a" + large, "a" + nines));
}

TEST_F(FilesTest, TheOrderIsThatOfLs) {
  std::mt19937 random(1);
  const std::vector<std::string> parts = {"frame", "img", "a", "B", "z",  "_", "-",
                                          "0",     "00",  "1", "2", "10", "9", "07"};
  for (int i = 0; i < 300; ++i) {
    std::string name = parts[random() % 5];
    for (unsigned length = random() % 4; length > 0; --length) name += parts[random() % parts.size()];
    for (const char* extension : {".png", ".left.png", ".5.jpg"})
      if (random() % 2 == 0) put(name + extension, "x");
  }
  EXPECT_GT(listed().size(), 200U);
  EXPECT_EQ(listed(), listed_by_ls());
}

TEST_F(FilesTest, NeitherHiddenFilesNorFoldersAreListed) {
  for (const char* name : {"1.png", "._1.png", ".DS_Store", ".hidden.png", "readme.txt"}) put(name, "x");
  fs::create_directory(folder_ / "2.png");
  EXPECT_EQ(listed(), std::vector<std::string>{"1.png"});
}

TEST_F(FilesTest, AFolderThatCannotBeListed) {
  const fs::path absent = folder_ / "absent";
  EXPECT_SAYS(io_error(absent, [&] { list_files(absent, [](const fs::path&) { return true; }); }), "cannot be listed");
}

// Nobody writes to the pipe: who opened it would wait for ever.
TEST_F(FilesTest, OnlyOrdinaryFilesAreOpened) {
  std::string word;
  open_file(put("a", "word")) >> word;
  EXPECT_EQ(word, "word");
  const fs::path pipe = folder_ / "pipe", link = folder_ / "link";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  fs::create_symlink(pipe, link);
  for (const fs::path& path : {pipe, link, folder_})
    EXPECT_SAYS(io_error(path, [&] { open_file(path); }), "is not a file");
  EXPECT_SAYS(io_error(folder_ / "absent", [&] { open_file(folder_ / "absent"); }), "No such file");
}

}  // namespace
}  // namespace voxshift
