// Bytes one after the other, from a file or a compressed part of one.
#pragma once

#include <voxshift/tensor/error.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace voxshift {

/// Reads ahead; every length that the bytes claim is met before memory is taken for it. Throws IoError "ends early".
class ByteReader {
 public:
  /// Writes up to `bytes` bytes to `out` and returns how many; 0 at the end.
  using Source = std::function<std::size_t(char* out, std::size_t bytes)>;

  explicit ByteReader(Source source) : source_(std::move(source)), buffer_(kBuffer) {}

  std::uint8_t byte() {
    if (next_ == end_) fill();
    return static_cast<std::uint8_t>(buffer_[next_++]);
  }
  /// A little-endian number of `bytes` bytes, at most 8.
  std::uint64_t number(int bytes);
  std::string take(std::uint64_t bytes);
  void skip(std::uint64_t bytes);
  /// Up to a newline, which is not part of it.
  std::string line();
  /// Bytes taken so far.
  std::uint64_t position() const { return before_ + next_; }

 private:
  static constexpr std::size_t kBuffer = 1 << 16;
  void fill();

  Source source_;
  std::vector<char> buffer_;
  std::size_t next_ = 0, end_ = 0;
  std::uint64_t before_ = 0;  // bytes before the buffer
};

}  // namespace voxshift
