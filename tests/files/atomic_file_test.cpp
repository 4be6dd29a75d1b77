// Files that are complete or absent, on every system.
#include <voxshift/files/atomic_file.h>
#include <voxshift/files/unfinished_file.h>

#include <stdexcept>

#include "file_test.h"

namespace voxshift {
namespace {

using AtomicFile = FileTest;
using Names = std::vector<std::string>;

TEST_F(AtomicFile, BytesAsTheyAre) {
  const std::string bytes("a\nb\r\n\0\x1a\xff", 8);
  write_atomically(folder_ / "new", [&](std::ostream& stream) {
    stream << bytes;
    EXPECT_EQ(names().size(), 1U);
    EXPECT_FALSE(fs::exists(folder_ / "new")) << "half of it can be seen";
  });
  EXPECT_EQ(get(folder_ / "new"), bytes);
  EXPECT_EQ(names(), Names{"new"});
}

TEST_F(AtomicFile, AnotherOneInItsPlace) {
  const fs::path path = put("a", "a long text that was there");
  write_atomically(path, [&](std::ostream& stream) {
    stream << "new";
    EXPECT_EQ(get(path), "a long text that was there");
  });
  EXPECT_EQ(get(path), "new");
  EXPECT_EQ(names(), Names{"a"});
}

TEST_F(AtomicFile, WhatFailsLeavesTheOldOne) {
  const fs::path path = put("a", "old");
  EXPECT_THROW(write_atomically(path,
                                [](std::ostream& stream) {
                                  stream << "half";
                                  throw std::runtime_error("of the writer");
                                }),
               std::runtime_error);
  EXPECT_EQ(get(path), "old");
  EXPECT_EQ(names(), Names{"a"});
}

TEST_F(AtomicFile, NoPlaceToWrite) {
  const auto nothing = [](std::ostream&) {};
  EXPECT_SAYS(io_error(folder_, [&] { write_atomically(folder_, nothing); }), "cannot be written");
  const fs::path absent = folder_ / "absent" / "a";
  EXPECT_SAYS(io_error(absent, [&] { write_atomically(absent, nothing); }), "cannot be written");
  EXPECT_EQ(names(), Names{});
}

TEST_F(AtomicFile, AnUnfinishedFileGoesWithItsOwner) {
  {
    const UnfinishedFile unfinished(folder_ / "part");
    EXPECT_EQ(unfinished.path(), folder_ / "part");
    put("part", "x");
  }
  EXPECT_EQ(names(), Names{});
}

}  // namespace
}  // namespace voxshift
