// Which scans a folder holds.
#include "scan_files.h"

#include "file_test.h"

namespace voxshift {
namespace {

using ScanFiles = FileTest;

TEST_F(ScanFiles, FoldersInNaturalOrder) {
  for (const char* name : {"b.bin", "a.pcd", "c.NPY", "notes.txt", "a.label", "10.bin", "9.bin", "._a.pcd", ".b.bin"})
    put(name, "x");
  fs::create_directory(folder_ / "z.bin");
  fs::create_symlink(folder_ / "gone.bin", folder_ / "dangling.bin");
  const std::vector<fs::path> paths = {folder_ / "b.bin", folder_};
  EXPECT_EQ(list_scans(paths), (std::vector<fs::path>{folder_ / "b.bin", folder_ / "9.bin", folder_ / "10.bin",
                                                      folder_ / "a.pcd", folder_ / "b.bin", folder_ / "c.NPY"}));
}

TEST_F(ScanFiles, PathsWithoutScans) {
  const auto listing = [](const fs::path& path) {
    return io_error(path, [&] { list_scans(std::vector<fs::path>{path}); });
  };
  EXPECT_SAYS(listing(folder_ / "none"), "no such file or folder");
  EXPECT_SAYS(listing(put("a.txt", "x")), "expected a .bin");
  EXPECT_SAYS(listing(folder_), "holds no .bin");
}

}  // namespace
}  // namespace voxshift
