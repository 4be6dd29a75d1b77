// PCD, the Point Cloud Library's format 0.5 to 0.7 (pointclouds.org/documentation/tutorials/pcd_file_format.html).
extern "C" {  // its own header leaves that to whoever includes it
#include <lzf.h>
}

#include <cstring>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include "fields.h"
#include "formats.h"
#include "text.h"

namespace voxshift {
namespace {

using PcdHeader = std::map<std::string, std::vector<std::string_view>, std::less<>>;

PcdHeader pcd_header(FileText& file) {
  static const std::set<std::string_view> known = {"VERSION", "FIELDS", "COLUMNS",   "SIZE",   "TYPE", "COUNT",
                                                   "WIDTH",   "HEIGHT", "VIEWPOINT", "POINTS", "DATA"};
  PcdHeader header;
  while (!header.contains("DATA")) {
    file.expect(file.left() > 0,
                header.empty() ? "has no PCD header, so it is no PCD file" : "is cut: the PCD header has no DATA line");
    auto words = file.take_words();
    if (words.empty() || words[0].starts_with('#')) continue;
    file.expect(known.contains(words[0]), "unknown line '", words[0].substr(0, 40), "', expected a PCD header");
    const std::string key(words[0] == "COLUMNS" ? "FIELDS" : words[0]);
    words.erase(words.begin());
    file.expect(header.emplace(key, std::move(words)).second, "PCD header has ", key, " twice");
  }
  return header;
}

std::int64_t pcd_number(const FileText& file, const PcdHeader& header, std::string_view key) {
  const auto found = header.find(key);
  std::int64_t value = -1;
  file.expect(found != header.end() && found->second.size() == 1 && parse(found->second[0], value) && value >= 0 &&
                  value <= std::numeric_limits<int>::max(),
              "PCD header expected ", key, " and one number");
  return value;
}

struct PcdField {
  std::string name;
  Scalar type;
  std::size_t count;  ///< values of a point, 0 for none
  std::size_t bytes() const { return count * size_of(type); }
};

std::vector<PcdField> pcd_fields(const FileText& file, const PcdHeader& header) {
  static const std::map<std::string_view, Scalar> types = {
      {"F4", Scalar::kF32}, {"F8", Scalar::kF64}, {"I1", Scalar::kI8},  {"I2", Scalar::kI16}, {"I4", Scalar::kI32},
      {"I8", Scalar::kI64}, {"U1", Scalar::kU8},  {"U2", Scalar::kU16}, {"U4", Scalar::kU32}, {"U8", Scalar::kU64}};
  const auto list = [&](std::string_view key) {
    const auto found = header.find(key);
    file.expect(found != header.end() && !found->second.empty(), "PCD header has no ", key);
    return found->second;
  };
  const auto names = list("FIELDS"), sizes = list("SIZE"), kinds = list("TYPE");
  const auto counts = header.contains("COUNT") ? list("COUNT") : std::vector<std::string_view>(names.size(), "1");
  file.expect(sizes.size() == names.size() && kinds.size() == names.size() && counts.size() == names.size(),
              "PCD header expected as many SIZE, TYPE and COUNT as FIELDS");
  std::vector<PcdField> fields;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string type = std::string(kinds[i]) + std::string(sizes[i]);
    std::size_t count = 0;
    file.expect(types.contains(type), "PCD field ", names[i], " of unknown type ", type);
    file.expect(parse(counts[i], count) && count <= 65536, "PCD field ", names[i], " has COUNT ", counts[i]);
    fields.push_back({std::string(names[i]), types.at(type), count});
  }
  return fields;
}

/// The points as DATA binary would have them.
std::string pcd_from_text(FileText& file, std::size_t points, const std::vector<PcdField>& fields) {
  std::size_t row_bytes = 0, values = 0;
  for (const PcdField& field : fields) row_bytes += field.bytes(), values += field.count;
  file.expect(values > 0 && points <= (file.left() + 1) / (2 * values), "is cut: ", points, " points of ", values,
              " values are promised, ", file.left(), " bytes are left");
  std::string table(points * row_bytes, '\0');
  char* to = table.data();
  for (std::size_t point = 0; point < points;) {
    file.expect(file.left() > 0, "is cut: ", point, " of ", points, " points are there");
    FileText line(file.name(), file.take_line());
    std::string_view word = line.take_word();
    if (word.empty()) continue;
    for (const PcdField& field : fields)
      for (std::size_t k = 0; k < field.count; ++k, to += size_of(field.type), word = line.take_word()) {
        double value = 0;
        file.expect(!word.empty(), "point ", point, " expected ", values, " numbers");
        file.expect(parse(word, value) && store(value, field.type, to), "point ", point, ": '", word.substr(0, 40),
                    "' is no value of the type that the PCD header gives ", field.name);
      }
    file.expect(word.empty(), "point ", point, " expected ", values, " numbers");
    ++point;
  }
  return table;
}

/// All values of one field after the other, packed by LZF.
std::string pcd_unpacked(FileText& file, std::size_t bytes) {
  constexpr std::size_t kMostPerByte = 88;  // three bytes stand for at most 264
  std::uint32_t sizes[2];                   // packed, plain
  std::memcpy(sizes, file.take(sizeof sizes).data(), sizeof sizes);
  file.expect(sizes[1] == bytes, "PCD expected ", bytes, " bytes when unpacked, the file says ", sizes[1]);
  const std::string_view packed = file.take(sizes[0]);
  file.expect(bytes / kMostPerByte <= packed.size(), "PCD cannot unpack ", packed.size(), " bytes to ", bytes);
  std::string plain(bytes, '\0');
  file.expect(bytes == 0 || lzf_decompress(packed.data(), sizes[0], plain.data(), sizes[1]) == bytes,
              "PCD's packed points are damaged");
  return plain;
}

}  // namespace

PointCloud read_pcd(const std::string& name, const std::string& bytes, std::vector<OtherField>* others) {
  FileText file(name, bytes);
  const PcdHeader header = pcd_header(file);
  const std::vector<PcdField> layout = pcd_fields(file, header);
  const std::int64_t points = pcd_number(file, header, "WIDTH") * pcd_number(file, header, "HEIGHT");
  file.expect(!header.contains("POINTS") || pcd_number(file, header, "POINTS") == points,
              "PCD header expected POINTS = WIDTH * HEIGHT");
  const auto& data = header.at("DATA");
  const std::string_view kind = data.size() == 1 ? data[0] : std::string_view();
  file.expect(kind == "ascii" || kind == "binary" || kind == "binary_compressed",
              "PCD expected DATA ascii, binary or binary_compressed");
  const auto rows = static_cast<std::size_t>(points);
  std::size_t row_bytes = 0;
  for (const PcdField& field : layout) row_bytes += field.bytes();
  file.expect(row_bytes == 0 || rows <= std::numeric_limits<std::size_t>::max() / row_bytes, "PCD header promises ",
              rows, " points");

  std::string table;
  std::string_view values;
  if (kind == "binary") {
    file.expect(rows * row_bytes <= file.left(), "is cut: ", rows, " points of ", row_bytes, " bytes are promised, ",
                file.left(), " bytes are left");
    values = file.take(rows * row_bytes);
  } else {
    table = kind == "ascii" ? pcd_from_text(file, rows, layout) : pcd_unpacked(file, rows * row_bytes);
    values = table;
  }
  // Padding is called "_", as often as there is some.
  std::vector<Field> fields;
  std::size_t offset = 0;
  for (const PcdField& field : layout) {
    const bool packed = kind == "binary_compressed";
    const std::size_t stride = packed ? field.bytes() : row_bytes;
    if (field.count > 0 && field.name != "_")
      fields.push_back({field.name, field.type, values.data() + offset * (packed ? rows : 1),
                        static_cast<std::ptrdiff_t>(stride), false, field.count});
    offset += field.bytes();
  }
  return cloud_of_fields(name, fields, points, others);
}

}  // namespace voxshift
