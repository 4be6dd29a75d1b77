// NumPy's .npy, format 1.0 to 3.0 (numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
#include <voxshift/files/read_array.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <vector>

#include "fields.h"
#include "formats.h"
#include "read_bytes.h"
#include "text.h"

namespace voxshift {
namespace {

constexpr std::uint64_t kMostNpyColumns = 1024;

struct NpyHeader {
  Scalar type = Scalar::kF32;
  bool swapped = false, by_columns = false;
  std::vector<std::uint64_t> shape;
  std::uint64_t rows = 0, columns = 0;  ///< the first extent, and the product of the others
};

/// The text after `key` in the header's dictionary, blanks skipped.
std::string_view npy_value(const FileText& file, std::string_view header, std::string_view key) {
  const std::size_t at = header.find(key);
  file.expect(at != header.npos, ".npy header lacks descr, fortran_order or shape");
  header.remove_prefix(at + key.size());
  header.remove_prefix(std::min(header.find_first_not_of(' '), header.size()));
  return header;
}

void parse_npy_type(const FileText& file, std::string_view text, NpyHeader& header) {
  static const std::map<std::string_view, Scalar> types = {
      {"f2", Scalar::kF16}, {"f4", Scalar::kF32}, {"f8", Scalar::kF64}, {"i1", Scalar::kI8},
      {"i2", Scalar::kI16}, {"i4", Scalar::kI32}, {"i8", Scalar::kI64}, {"u1", Scalar::kU8},
      {"u2", Scalar::kU16}, {"u4", Scalar::kU32}, {"u8", Scalar::kU64}};
  file.expect(!text.starts_with("[("),
              "expected plain numbers [N, C], found named fields; convert it: "
              "numpy.lib.recfunctions.structured_to_unstructured(array)");
  const bool known = text.size() >= 5 && text[0] == '\'' && std::string_view("<>|=").find(text[1]) != text.npos &&
                     text[4] == '\'' && types.contains(text.substr(2, 2));
  file.expect(known, "expected numbers of 1 to 8 bytes such as '<f4', found ", text.substr(0, text.find(", 'fortran")));
  header.type = types.at(text.substr(2, 2));
  header.swapped = text[1] == '>';
}

/// "(N, C)", or "(N,)", which is one column, of 1 to `most` axes.
bool parse_npy_shape(std::string_view text, std::size_t most, NpyHeader& header) {
  std::uint64_t others = 1;  // product of the extents behind the first, those of 0 apart
  header.columns = 1;
  for (char before = '('; !text.empty() && text.front() == before; before = ',') {
    text.remove_prefix(1);
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    if (!header.shape.empty() && text.starts_with(')')) break;  // "(N,)"
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || header.shape.size() == most) return false;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (!header.shape.empty()) {
      if (value > std::numeric_limits<std::uint64_t>::max() / others) return false;
      others *= std::max(value, std::uint64_t{1});
    }
    (header.shape.empty() ? header.rows : header.columns) = header.shape.empty() ? value : header.columns * value;
    header.shape.push_back(value);
  }
  return !header.shape.empty() && !text.empty() && text.front() == ')';
}

/// `wanted`: the shape that is expected, of at most so many axes.
NpyHeader npy_header(FileText& file, const std::string& wanted, std::size_t most) {
  constexpr std::size_t kMostHeader = 10000;  // numpy's own limit; a header of two numbers takes 118 bytes
  file.expect(file.left() > 12, file.left(), " bytes are no .npy file");
  const std::string_view magic = file.take(8);
  file.expect(magic.starts_with("\x93NUMPY") && magic[6] >= 1 && magic[6] <= 3 && magic[7] == 0,
              "does not start as a .npy file of format 1.0, 2.0 or 3.0");
  const std::size_t length_bytes = magic[6] == 1 ? 2 : 4;
  std::uint32_t length = 0;
  std::memcpy(&length, file.take(length_bytes).data(), length_bytes);
  file.expect(length <= std::min(kMostHeader, file.left()), ".npy header claims ", length, " bytes, the file has ",
              file.left(), " left (at most ", kMostHeader, " are read)");
  const std::string text = printable(std::string(file.take(length)));
  NpyHeader header;
  parse_npy_type(file, npy_value(file, text, "'descr':"), header);
  header.by_columns = npy_value(file, text, "'fortran_order':").starts_with("True");
  const std::string_view shape = npy_value(file, text, "'shape':");
  file.expect(parse_npy_shape(shape, most, header), "expected ", wanted, ", found ",
              shape.substr(0, std::min(shape.find(')'), std::size_t{60}) + 1));
  return header;
}

/// How many bytes a value has; the data are as many as the shape says.
std::uint64_t check_npy_size(const FileText& file, const NpyHeader& header) {
  const std::uint64_t size = size_of(header.type), values = file.left() / size;
  const bool fits = header.columns == 0 || header.rows == 0 ? file.left() == 0
                                                            : file.left() % size == 0 && values % header.columns == 0 &&
                                                                  values / header.columns == header.rows;
  file.expect(fits, "shape (", header.rows, ", ", header.columns, ") of values of ", size, " bytes does not fit ",
              file.left(), " bytes of data");
  return size;
}

}  // namespace

Array read_array(const std::filesystem::path& path) {
  const std::string bytes = read_bytes(path, "a .npy file");
  FileText file(path.string(), bytes);
  const NpyHeader header = npy_header(file, "1 to 4 axes", 4);
  const std::map<Scalar, DType> types = {
      {Scalar::kF32, DType::kF32}, {Scalar::kI32, DType::kI32}, {Scalar::kI64, DType::kI64}};
  const auto type = types.find(header.type);
  file.expect(type != types.end() && !header.swapped && !header.by_columns,
              "expected float32, int32 or int64 in C order; convert it: numpy.ascontiguousarray(x, numpy.float32)");
  check_npy_size(file, header);
  Array result(Shape(header.shape.begin(), header.shape.end()), type->second);
  if (file.left() > 0) std::memcpy(result.memory(), file.take(file.left()).data(), result.bytes());
  return result;
}

PointCloud read_npy(const std::string& name, const std::string& bytes) {
  constexpr std::uint64_t kMostTurned = 8, kLeastTurned = 64;  // so wide are rows of points, so many are there
  FileText file(name, bytes);
  const std::string wanted = "shape [N, C] with 3 <= C <= " + std::to_string(kMostNpyColumns);
  NpyHeader header = npy_header(file, wanted, 2);
  file.expect(header.shape.size() == 2, "expected ", wanted, ", found (", header.rows, ",)");
  const std::uint64_t size = check_npy_size(file, header);
  const bool turned = header.rows >= 3 && header.rows <= kMostTurned && header.columns > kLeastTurned;
  if (turned) {
    std::swap(header.rows, header.columns);
    header.by_columns = !header.by_columns;
  }
  file.expect(header.columns >= 3 && header.columns <= kMostNpyColumns, "expected ", wanted, ", found (", header.rows,
              ", ", header.columns, ")");
  std::vector<Field> columns;
  const std::string_view data = file.take(file.left());
  for (std::uint64_t c = 0; c < header.columns; ++c) {
    const std::uint64_t first = c * (header.by_columns ? header.rows : 1);
    const std::uint64_t stride = header.by_columns ? 1 : header.columns;
    columns.push_back(
        {"", header.type, data.data() + first * size, static_cast<std::ptrdiff_t>(stride * size), header.swapped});
  }
  PointCloud cloud = cloud_of_columns(columns, static_cast<std::int64_t>(header.rows));
  if (turned)
    cloud.notes.push_back("shape (" + std::to_string(header.columns) + ", " + std::to_string(header.rows) +
                          ") was taken for [C, N] and turned");
  return cloud;
}

}  // namespace voxshift
