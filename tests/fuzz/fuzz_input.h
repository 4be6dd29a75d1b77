// What the fuzz targets share: what may become of bytes of strangers, and files that hold them.
#pragma once

#include <unistd.h>
#include <voxshift/files/point_cloud.h>
#include <voxshift/tensor/error.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace voxshift::fuzz {

/// Ends the program, which libFuzzer reports with the input.
inline void expect(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "expected: %s\n", what);
  std::abort();
}

/// Makes the call: it returns or throws an Error of one line. Every other exception ends the program.
template <class Call>
void may_refuse(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    const std::string_view message = error.what();
    expect(!message.empty() && message.find('\n') == message.npos, "a message of one line");
  }
}

/// A file in memory with these bytes, as long as this lives.
class MemoryFile {
 public:
  MemoryFile(std::string_view bytes, const char* extension)
      : path_("/dev/shm/voxshift_fuzz_" + std::to_string(::getpid()) + extension) {
    std::ofstream(path_, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  ~MemoryFile() { std::filesystem::remove(path_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// What holds for every point cloud that a reader gives.
inline void expect_whole(const PointCloud& cloud) {
  const auto points = static_cast<std::size_t>(cloud.count());
  const auto is_whole = [&](std::size_t size, std::size_t values) { return size == 0 || size == values * points; };
  expect(cloud.columns >= 4 && cloud.points.size() == points * static_cast<std::size_t>(cloud.columns), "whole rows");
  expect(is_whole(cloud.rgb.size(), 3), "a colour per point");
  expect(is_whole(cloud.label.size(), 1) && is_whole(cloud.ring.size(), 1) && is_whole(cloud.time.size(), 1),
         "a label, ring and time per point");
}

inline std::string text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace voxshift::fuzz
