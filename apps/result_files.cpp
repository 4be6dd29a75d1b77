// Writes .label, .npy and .ply files, each complete or not at all. No library does these three in fewer lines: Open3D's
// .ply writer refuses an empty cloud and does not notice a full disk.
#include "result_files.h"

#include <voxshift/files/atomic_file.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <sstream>
#include <system_error>

#include "class_colours.h"

namespace voxshift {
namespace {

namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little, ".label, .npy and .ply are written as they lie in memory");

void write_span(std::ostream& stream, std::span<const std::byte> bytes) {
  stream.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

/// Raw id of every label; 0 where it has no class.
std::array<std::uint32_t, 256> raw_ids_of(std::span<const ClassInfo> classes) {
  std::array<std::uint32_t, 256> raw_ids{};
  for (std::size_t id = 0; id < std::min(classes.size(), std::size_t{kUnlabelled}); ++id)
    raw_ids[id] = classes[id].raw_id;
  return raw_ids;
}

/// Format 1.0; the header is padded with blanks so that the data starts at a multiple of 64 bytes.
std::string npy_header(const char* type, const Shape& shape) {
  std::ostringstream text;
  text << "{'descr': '" << type << "', 'fortran_order': False, 'shape': (";
  for (std::size_t axis = 0; axis < shape.size(); ++axis) text << (axis > 0 ? ", " : "") << shape[axis];
  text << (shape.size() == 1 ? ",), }" : "), }");
  std::string dictionary = text.str();
  constexpr std::size_t kBefore = 10;  // magic, version, length
  dictionary.append(63 - (kBefore + dictionary.size()) % 64, ' ');
  dictionary += '\n';
  const auto length = static_cast<std::uint16_t>(dictionary.size());
  const char start[kBefore] = {
      '\x93', 'N', 'U', 'M', 'P', 'Y', 1, 0, static_cast<char>(length & 0xFF), static_cast<char>(length >> 8)};
  return std::string(start, kBefore) + dictionary;
}

}  // namespace

void make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  check<IoError>(fs::is_directory(path, error), path.string(),
                 ": folder cannot be created: ", error ? error.message() : std::generic_category().message(ENOTDIR));
}

void write_bytes(const fs::path& path, std::span<const std::uint8_t> bytes) {
  write_atomically(path, [&](std::ostream& stream) { write_span(stream, std::as_bytes(bytes)); });
}

void write_labels(const fs::path& path, std::span<const std::uint8_t> labels, std::span<const ClassInfo> classes) {
  const auto raw_ids = raw_ids_of(classes);
  std::vector<std::uint32_t> raw(labels.size());
  std::ranges::transform(labels, raw.begin(), [&](std::uint8_t label) { return raw_ids[label]; });
  write_atomically(path, [&](std::ostream& stream) { write_span(stream, std::as_bytes(std::span(raw))); });
}

void write_array(const fs::path& path, const Array& array) {
  check(array.dtype() == DType::kF32 || array.dtype() == DType::kI32, "[write_array] expected f32 or i32, found ",
        name(array.dtype()));
  write_atomically(path, [&](std::ostream& stream) {
    stream << npy_header(array.dtype() == DType::kF32 ? "<f4" : "<i4", array.shape());
    write_span(stream, {static_cast<const std::byte*>(array.memory()), array.bytes()});
  });
}

void write_coloured_ply(const fs::path& path, const PointCloud& scan, std::span<const std::uint8_t> labels,
                        std::span<const ClassInfo> classes) {
  check(static_cast<std::int64_t>(labels.size()) == scan.count(), "[write_coloured_ply] expected ", scan.count(),
        " labels, found ", labels.size());
  const auto colours = colours_of(classes);
  const auto raw_ids = raw_ids_of(classes);
  // Coordinates that float32 would round keep their doubles.
  const bool wide = scan.origin != std::array<double, 3>{};
  const std::size_t xyz_bytes = 3 * (wide ? sizeof(double) : sizeof(float));
  const std::size_t row_bytes = xyz_bytes + 3 + sizeof(std::uint16_t);
  std::vector<std::byte> rows(labels.size() * row_bytes);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    std::byte* row = rows.data() + i * row_bytes;
    const float* xyz = scan.points.data() + i * static_cast<std::size_t>(scan.columns);
    if (wide) {
      const double there[] = {xyz[0] + scan.origin[0], xyz[1] + scan.origin[1], xyz[2] + scan.origin[2]};
      std::memcpy(row, there, xyz_bytes);
    } else {
      std::memcpy(row, xyz, xyz_bytes);
    }
    std::memcpy(row + xyz_bytes, colours[labels[i]].data(), 3);
    const auto raw_id = static_cast<std::uint16_t>(raw_ids[labels[i]]);
    std::memcpy(row + xyz_bytes + 3, &raw_id, sizeof(raw_id));
  }
  const char* const type = wide ? "double" : "float";
  write_atomically(path, [&](std::ostream& stream) {
    stream << "ply\nformat binary_little_endian 1.0\nelement vertex " << labels.size() << "\nproperty " << type
           << " x\nproperty " << type << " y\nproperty " << type
           << " z\nproperty uchar red\nproperty uchar green\nproperty uchar blue\nproperty ushort label\nend_header\n";
    write_span(stream, rows);
  });
}

}  // namespace voxshift
