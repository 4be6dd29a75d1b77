#include <voxshift/video/video_container.h>

#include <algorithm>
#include <array>
#include <bit>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace voxshift {
namespace {

using Position = std::uintmax_t;

constexpr Position kBeyond = std::numeric_limits<Position>::max();

Position sum(Position a, Position b) { return b > kBeyond - a ? kBeyond : a + b; }

class Bytes {
 public:
  explicit Bytes(const std::filesystem::path& path) : file_(path, std::ios::binary) {
    std::error_code ignored;
    size_ = std::filesystem::file_size(path, ignored);
  }

  Position size() const { return size_; }

  /// Bytes from `at` on; what lies beyond the end is 0.
  std::string text(Position at, std::size_t length) {
    std::string bytes(length, '\0');
    if (at >= size_) return bytes;
    file_.clear();
    file_.seekg(static_cast<std::streamoff>(at));
    file_.read(bytes.data(), static_cast<std::streamsize>(length));
    return bytes;
  }

  /// Most significant byte first.
  std::uint64_t number(Position at, std::size_t length) {
    std::uint64_t value = 0;
    for (const char c : text(at, length)) value = value << 8 | static_cast<unsigned char>(c);
    return value;
  }

 private:
  std::ifstream file_;
  Position size_ = 0;
};

/// ISO 14496-12, 4.2: size and type, then the content.
struct Box {
  std::string type;
  Position content = 0, end = 0;
};

std::optional<Box> box_at(Bytes& file, Position at, Position end) {
  if (end < 8 || at > end - 8) return std::nullopt;
  const std::uint64_t size = file.number(at, 4);
  Box box{file.text(at + 4, 4), at + 8, sum(at, size)};
  if (size == 0) box.end = end;
  if (size == 1) box = {box.type, at + 16, sum(at, file.number(at + 8, 8))};
  return box.end >= box.content ? std::optional(box) : std::nullopt;
}

/// The first box of that type in [at, end).
std::optional<Box> find_box(Bytes& file, Position at, Position end, std::string_view type) {
  std::optional<Box> box = box_at(file, at, end);
  while (box && box->type != type) box = box_at(file, box->end, end);
  return box;
}

/// A number in units of time, behind two dates: 4 bytes each in version 0, 8 in version 1.
std::uint64_t duration_in(Bytes& file, const Box& header, Position bytes_between) {
  const std::size_t width = file.number(header.content, 1) == 1 ? 8 : 4;
  const std::uint64_t duration = file.number(header.content + 4 + 2 * width + bytes_between, width);
  const bool unknown = duration == (width == 8 ? std::numeric_limits<std::uint64_t>::max() : 0xFFFFFFFF);
  return unknown ? 0 : duration;
}

/// How long the track of pictures is shown; its edit list is in that.
double shown_seconds(Bytes& file, const Box& movie) {
  const std::optional<Box> header = find_box(file, movie.content, movie.end, "mvhd");
  if (!header) return 0;
  const Position dates = file.number(header->content, 1) == 1 ? 16 : 8;
  const std::uint64_t units_per_second = file.number(header->content + 4 + dates, 4);
  Position at = movie.content;
  while (const std::optional<Box> track = find_box(file, at, movie.end, "trak")) {
    at = track->end;
    const std::optional<Box> track_header = find_box(file, track->content, track->end, "tkhd");
    const std::optional<Box> media = find_box(file, track->content, track->end, "mdia");
    const std::optional<Box> handler = media ? find_box(file, media->content, media->end, "hdlr") : std::nullopt;
    if (!track_header || !handler || file.text(handler->content + 8, 4) != "vide" || units_per_second == 0) continue;
    constexpr Position kTrackNumberAndReserved = 8;
    return static_cast<double>(duration_in(file, *track_header, kTrackNumberAndReserved)) /
           static_cast<double>(units_per_second);
  }
  return 0;
}

VideoContainer read_boxes(Bytes& file) {
  VideoContainer container;
  for (auto box = box_at(file, 0, file.size()); box; box = box_at(file, box->end, file.size())) {
    container.claimed_bytes = box->end;
    if (box->type == "moov") container.shown_seconds = shown_seconds(file, *box);
  }
  return container;
}

/// RFC 8794, 4: as many bytes as the first one has leading zeros, and one more; all ones: unknown.
struct VariableSize {
  Position next = 0;
  std::optional<std::uint64_t> value;
};

VariableSize variable_size(Bytes& file, Position at) {
  const auto first = static_cast<unsigned char>(file.number(at, 1));
  const auto length = static_cast<std::size_t>(std::countl_zero(first)) + 1;
  if (length > 8) return {at + 1, std::nullopt};
  const std::uint64_t mask = (std::uint64_t{1} << (7 * length)) - 1;
  const std::uint64_t value = file.number(at, length) & mask;
  return {at + length, value == mask ? std::nullopt : std::optional(value)};
}

/// A header, then one segment that holds everything.
VideoContainer read_matroska(Bytes& file) {
  constexpr std::uint64_t kSegment = 0x18538067;
  const VariableSize header = variable_size(file, 4);
  const Position segment = sum(header.next, header.value.value_or(kBeyond));
  if (segment >= file.size() || file.number(segment, 4) != kSegment) return {};
  const VariableSize content = variable_size(file, segment + 4);
  return {content.value ? sum(content.next, *content.value) : 0, 0};
}

/// One chunk after the other, each below 4 GiB, sizes from the least significant byte on.
VideoContainer read_avi(Bytes& file) {
  VideoContainer container;
  for (Position at = 0; at + 12 <= file.size() && file.text(at, 4) == "RIFF"; at = container.claimed_bytes) {
    std::string size = file.text(at + 4, 4);
    std::ranges::reverse(size);
    std::uint32_t bytes = 0;
    for (const char c : size) bytes = bytes << 8 | static_cast<unsigned char>(c);
    container.claimed_bytes = at + 8 + bytes;
  }
  return container;
}

}  // namespace

VideoContainer read_container(const std::filesystem::path& path) {
  static constexpr std::array<std::string_view, 6> kFirstBoxes = {"ftyp", "moov", "mdat", "wide", "free", "skip"};
  Bytes file(path);
  if (file.number(0, 4) == 0x1A45DFA3) return read_matroska(file);
  if (file.text(0, 4) == "RIFF") return read_avi(file);
  if (std::ranges::find(kFirstBoxes, file.text(4, 4)) != kFirstBoxes.end()) return read_boxes(file);
  return {};
}

}  // namespace voxshift
