// Reads point clouds from .bin and .npy, hands .ply and .pcd to Open3D, finds scans in folders.
#include "scan_files.h"

#include <voxshift/tensor/error.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <optional>
#include <string_view>
#include <system_error>

#include "cloud_header.h"
#include "open3d_files.h"

namespace voxshift {
namespace {

namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little, ".bin and .npy are read as they lie in memory");

constexpr std::int64_t kMaxColumns = 1024;

std::string lower_extension(const fs::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return extension;
}

bool is_scan_name(const fs::path& path) {
  static constexpr std::array<std::string_view, 4> kExtensions = {".bin", ".npy", ".ply", ".pcd"};
  return std::ranges::find(kExtensions, lower_extension(path)) != kExtensions.end();
}

struct OpenFile {
  std::ifstream stream;
  std::uintmax_t size;
};

OpenFile open_file(const fs::path& path, const char* content = "a point cloud") {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  check<IoError>(fs::exists(status), path.string(),
                 ": cannot be read: ", error ? error.message() : std::string("No such file or directory"));
  check<IoError>(fs::is_regular_file(status), path.string(), ": is not a file");
  errno = 0;
  OpenFile file{std::ifstream(path, std::ios::binary), fs::file_size(path, error)};
  check<IoError>(file.stream.is_open() && !error, path.string(),
                 ": cannot be read: ", std::generic_category().message(error ? error.value() : errno));
  check<IoError>(file.size > 0, path.string(), ": is empty, expected ", content);
  return file;
}

void read_exactly(OpenFile& file, const fs::path& path, void* to, std::uintmax_t bytes) {
  file.stream.read(static_cast<char*>(to), static_cast<std::streamsize>(bytes));
  check<IoError>(static_cast<std::uintmax_t>(file.stream.gcount()) == bytes, path.string(), ": ended after ",
                 file.stream.gcount(), " of ", bytes, " bytes");
}

/// A scan of three columns gains a fourth of zeros, so that remission is always there.
Scan with_remission(Scan scan) {
  if (scan.columns > 3) return scan;
  Scan wider{std::vector<float>(static_cast<std::size_t>(scan.count()) * 4), 4};
  for (std::size_t i = 0; i < scan.points.size(); ++i) wider.points[i / 3 * 4 + i % 3] = scan.points[i];
  return wider;
}

Scan read_bin(const fs::path& path, int columns) {
  check(columns >= 3 && columns <= kMaxColumns, "[read_scan] columns expected in 3..", kMaxColumns, ", found ",
        columns);
  OpenFile file = open_file(path);
  const std::uintmax_t row_bytes = static_cast<std::uintmax_t>(columns) * sizeof(float);
  check<IoError>(file.size % row_bytes == 0, path.string(), ": ", file.size, " bytes are no multiple of ", row_bytes,
                 " (", columns, " float32 columns): the file is cut, or has another number of columns (--columns N)");
  Scan scan{std::vector<float>(file.size / sizeof(float)), columns};
  read_exactly(file, path, scan.points.data(), file.size);
  return with_remission(std::move(scan));
}

/// The text after `key` in the header's dictionary, blanks skipped; nothing where the key is missing.
std::optional<std::string_view> header_value(std::string_view header, std::string_view key) {
  const std::size_t at = header.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  header.remove_prefix(at + key.size());
  header.remove_prefix(std::min(header.find_first_not_of(' '), header.size()));
  return header;
}

struct NpyHeader {
  bool is_double;
  std::uintmax_t rows, columns;
};

/// "(N, C)" with both numbers; nothing else is a shape of points.
bool parse_shape(std::string_view text, NpyHeader& header) {
  const auto number = [&](char before, std::uintmax_t& value) {
    if (text.empty() || text.front() != before) return false;
    text.remove_prefix(1);
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return error == std::errc();
  };
  if (!number('(', header.rows) || !number(',', header.columns)) return false;
  if (!text.empty() && text.front() == ',') text.remove_prefix(1);
  return !text.empty() && text.front() == ')';
}

NpyHeader parse_npy_header(const fs::path& path, std::string_view text) {
  const auto descr = header_value(text, "'descr':");
  const auto order = header_value(text, "'fortran_order':");
  const auto shape = header_value(text, "'shape':");
  check<IoError>(descr && order && shape, path.string(), ": .npy header lacks descr, fortran_order or shape");
  NpyHeader header{};
  header.is_double = descr->starts_with("'<f8'");
  check<IoError>(header.is_double || descr->starts_with("'<f4'"), path.string(),
                 ": expected little-endian float32 or float64 ('<f4', '<f8'), found ",
                 descr->substr(0, descr->find(',')));
  check<IoError>(order->starts_with("False"), path.string(),
                 ": array is in Fortran order, expected C order (numpy.ascontiguousarray)");
  check<IoError>(parse_shape(*shape, header) && header.columns >= 3 && header.columns <= kMaxColumns, path.string(),
                 ": expected shape [N, C] with 3 <= C <= ", kMaxColumns, ", found ",
                 shape->substr(0, std::min(shape->find(')'), std::size_t{60}) + 1));
  return header;
}

Scan read_npy(const fs::path& path) {
  constexpr std::uintmax_t kMaxHeader = 10000;  // numpy's own limit; a header of two numbers takes 118 bytes
  OpenFile file = open_file(path);
  std::array<char, 8> magic{};
  check<IoError>(file.size > 12, path.string(), ": ", file.size, " bytes are no .npy file");
  read_exactly(file, path, magic.data(), magic.size());
  check<IoError>(std::memcmp(magic.data(), "\x93NUMPY", 6) == 0 && magic[6] >= 1 && magic[6] <= 3 && magic[7] == 0,
                 path.string(), ": does not start as a .npy file of format 1.0, 2.0 or 3.0");
  const std::uintmax_t length_bytes = magic[6] == 1 ? 2 : 4;
  std::uint32_t length = 0;
  read_exactly(file, path, &length, length_bytes);
  const std::uintmax_t before = magic.size() + length_bytes;
  check<IoError>(length <= std::min(kMaxHeader, file.size - before), path.string(), ": .npy header claims ", length,
                 " bytes, the file has ", file.size - before, " left (at most ", kMaxHeader, " are read)");
  std::string text(length, '\0');
  read_exactly(file, path, text.data(), length);
  std::ranges::replace_if(
      text, [](unsigned char c) { return c < 32 || c > 126; }, ' ');  // messages quote it

  const NpyHeader header = parse_npy_header(path, text);
  const std::uintmax_t data_bytes = file.size - before - length;
  const std::uintmax_t row_bytes = header.columns * (header.is_double ? sizeof(double) : sizeof(float));
  check<IoError>(data_bytes % row_bytes == 0 && data_bytes / row_bytes == header.rows, path.string(), ": shape (",
                 header.rows, ", ", header.columns, ") needs ", row_bytes, " bytes a row, the file holds ", data_bytes,
                 " bytes of data");
  Scan scan{std::vector<float>(header.rows * header.columns), static_cast<std::int64_t>(header.columns)};
  if (header.is_double) {
    std::vector<double> values(scan.points.size());
    read_exactly(file, path, values.data(), data_bytes);
    std::ranges::transform(values, scan.points.begin(), [](double value) { return static_cast<float>(value); });
  } else {
    read_exactly(file, path, scan.points.data(), data_bytes);
  }
  return with_remission(std::move(scan));
}

/// Open3D prints on bad files and reads past what they hold, so it sees only those whose header and size agree.
Scan read_checked_cloud(const fs::path& path, std::int64_t (*check_header)(const fs::path&)) {
  if (check_header(path) == 0) return {};
  return read_cloud(path);
}

}  // namespace

std::string read_bytes(const fs::path& path, const char* content) {
  OpenFile file = open_file(path, content);
  std::string bytes(file.size, '\0');
  read_exactly(file, path, bytes.data(), file.size);
  return bytes;
}

Scan read_scan(const fs::path& path, int columns) {
  const std::string extension = lower_extension(path);
  if (extension == ".bin") return read_bin(path, columns);
  if (extension == ".npy") return read_npy(path);
  if (extension == ".ply") return read_checked_cloud(path, check_ply);
  if (extension == ".pcd") return read_checked_cloud(path, check_pcd);
  throw IoError(path.string() + ": expected a .bin, .npy, .ply or .pcd file");
}

std::vector<fs::path> list_scans(std::span<const fs::path> paths) {
  std::vector<fs::path> scans;
  for (const fs::path& path : paths) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    check<IoError>(fs::exists(status), path.string(), ": no such file or folder");
    if (!fs::is_directory(status)) {
      check<IoError>(is_scan_name(path), path.string(), ": expected a .bin, .npy, .ply or .pcd file");
      scans.push_back(path);
      continue;
    }
    std::vector<fs::path> inside;
    fs::directory_iterator entry(path, error);
    for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
      std::error_code dangling;
      if (is_scan_name(entry->path()) && entry->is_regular_file(dangling)) inside.push_back(entry->path());
    }
    check<IoError>(!error, path.string(), ": cannot be listed: ", error.message());
    check<IoError>(!inside.empty(), path.string(), ": folder holds no .bin, .npy, .ply or .pcd file");
    std::ranges::sort(inside);
    scans.insert(scans.end(), inside.begin(), inside.end());
  }
  return scans;
}

}  // namespace voxshift
