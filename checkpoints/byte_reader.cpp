#include <voxshift/checkpoints/byte_reader.h>

#include <algorithm>

namespace voxshift {

void ByteReader::fill() {
  before_ += end_;
  next_ = 0;
  end_ = source_(buffer_.data(), buffer_.size());
  check<IoError>(end_ > 0, "is cut: it ends within its objects, after ", before_, " bytes");
}

std::uint64_t ByteReader::number(int bytes) {
  std::uint64_t value = 0;
  for (int b = 0; b < bytes; ++b) value |= std::uint64_t{byte()} << (8 * b);
  return value;
}

std::string ByteReader::take(std::uint64_t bytes) {
  std::string taken;
  while (bytes > 0) {
    if (next_ == end_) fill();
    const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(bytes, end_ - next_));
    taken.append(buffer_.data() + next_, part);
    next_ += part;
    bytes -= part;
  }
  return taken;
}

void ByteReader::skip(std::uint64_t bytes) {
  while (bytes > 0) {
    if (next_ == end_) fill();
    const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(bytes, end_ - next_));
    next_ += part;
    bytes -= part;
  }
}

std::string ByteReader::line() {
  std::string text;
  for (char c = static_cast<char>(byte()); c != '\n'; c = static_cast<char>(byte())) text.push_back(c);
  return text;
}

}  // namespace voxshift
