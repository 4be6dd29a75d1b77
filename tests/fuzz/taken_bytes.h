// An input as what a target builds of it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace voxshift::fuzz {

/// Numbers and bytes off the front; zeros behind the end.
class TakenBytes {
 public:
  TakenBytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

  template <class T>
  T number() {
    T value{};
    std::ranges::copy(take(sizeof value), reinterpret_cast<std::uint8_t*>(&value));
    return value;
  }

  /// As many as are left of `count`, in memory of their own.
  std::vector<std::uint8_t> take(std::size_t count) {
    count = std::min(count, size_);
    const std::vector<std::uint8_t> bytes(data_, data_ + count);
    data_ += count;
    size_ -= count;
    return bytes;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
};

}  // namespace voxshift::fuzz
