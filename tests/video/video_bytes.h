// Finds places in the bytes of videos that OpenCV wrote, so that tests can change what it has no option for.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

namespace voxshift::bytes {

/// Most significant byte first.
inline std::uint64_t number(const std::string& file, std::size_t at, std::size_t length) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < length; ++i) value = value << 8 | static_cast<unsigned char>(file.at(at + i));
  return value;
}

inline void put_number(std::string& file, std::size_t at, std::size_t length, std::uint64_t value) {
  for (std::size_t i = 0; i < length; ++i) file.at(at + i) = static_cast<char>(value >> (8 * (length - 1 - i)));
}

/// Where the content of an MP4's only box of that type begins.
inline std::size_t box(const std::string& file, const std::string& type) {
  const std::size_t at = file.rfind(type);
  EXPECT_NE(at, std::string::npos) << type;
  return at + 4;
}

/// The box with its size and type.
inline std::string whole_box(const std::string& file, const std::string& type) {
  const std::size_t at = box(file, type) - 8;
  return file.substr(at, number(file, at, 4));
}

/// Matroska's lists of elements: what begins at `at` has its content at `content` and ends at `end`.
struct Element {
  std::uint64_t id;
  std::size_t at, content, end;
};

inline Element element(const std::string& file, std::size_t at) {
  const auto length_of = [&](std::size_t place) {
    return static_cast<std::size_t>(std::countl_zero(static_cast<unsigned char>(file.at(place)))) + 1;
  };
  const std::size_t id_length = length_of(at), size_length = length_of(at + id_length);
  const std::uint64_t mask = (std::uint64_t{1} << (7 * size_length)) - 1;
  const std::size_t content = at + id_length + size_length;
  return {number(file, at, id_length), at, content, content + (number(file, at + id_length, size_length) & mask)};
}

inline std::vector<Element> elements(const std::string& file, std::size_t begin, std::size_t end) {
  std::vector<Element> found;
  for (std::size_t at = begin; at < end; at = found.back().end) found.push_back(element(file, at));
  return found;
}

/// What lies in the segment of a Matroska file.
inline std::vector<Element> segment(const std::string& file) {
  const Element whole = element(file, element(file, 0).end);
  return elements(file, whole.content, whole.end);
}

/// The blocks of a Matroska file, one per frame.
inline std::vector<Element> blocks(const std::string& file) {
  constexpr std::uint64_t kCluster = 0x1F43B675, kSimpleBlock = 0xA3;
  std::vector<Element> found;
  for (const Element& cluster : segment(file))
    if (cluster.id == kCluster)
      for (const Element& inside : elements(file, cluster.content, cluster.end))
        if (inside.id == kSimpleBlock) found.push_back(inside);
  return found;
}

}  // namespace voxshift::bytes
