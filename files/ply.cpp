// PLY, the Stanford polygon format (paulbourke.net/dataformats/ply): the vertices alone.
#include <bit>
#include <cstring>
#include <map>

#include "fields.h"
#include "formats.h"
#include "text.h"

namespace voxshift {
namespace {

enum class PlyFormat { kAscii, kLittleEndian, kBigEndian };

struct PlyProperty {
  std::string name;
  Scalar type;
  std::optional<Scalar> length = {};  ///< of a list: the type of its count
};

struct PlyElement {
  std::string name;
  std::int64_t count = 0;
  std::vector<PlyProperty> properties;
};

struct PlyHeader {
  std::optional<PlyFormat> format;
  std::vector<PlyElement> elements;
};

Scalar ply_type(const FileText& file, std::string_view word) {
  static const std::map<std::string_view, Scalar> types = {
      {"char", Scalar::kI8},    {"int8", Scalar::kI8},    {"uchar", Scalar::kU8},   {"uint8", Scalar::kU8},
      {"short", Scalar::kI16},  {"int16", Scalar::kI16},  {"ushort", Scalar::kU16}, {"uint16", Scalar::kU16},
      {"int", Scalar::kI32},    {"int32", Scalar::kI32},  {"uint", Scalar::kU32},   {"uint32", Scalar::kU32},
      {"int64", Scalar::kI64},  {"uint64", Scalar::kU64}, {"float", Scalar::kF32},  {"float32", Scalar::kF32},
      {"double", Scalar::kF64}, {"float64", Scalar::kF64}};
  const auto found = types.find(word);
  file.expect(found != types.end(), "PLY property of unknown type ", word, " in the header");
  return found->second;
}

PlyProperty ply_property(const FileText& file, const std::vector<std::string_view>& words) {
  const bool is_list = words.size() == 5 && words[1] == "list";
  file.expect(is_list || words.size() == 3, "expected 'property TYPE NAME' or 'property list TYPE TYPE NAME'");
  if (!is_list) return {std::string(words[2]), ply_type(file, words[1])};
  const Scalar length = ply_type(file, words[2]);
  file.expect(!is_float(length), "PLY list with a length of type ", words[2]);
  return {std::string(words[4]), ply_type(file, words[3]), length};
}

PlyHeader ply_header(FileText& file) {
  static const std::map<std::string_view, PlyFormat> formats = {{"ascii", PlyFormat::kAscii},
                                                                {"binary_little_endian", PlyFormat::kLittleEndian},
                                                                {"binary_big_endian", PlyFormat::kBigEndian}};
  file.expect(file.take_line() == "ply", "does not start with 'ply', so it is no PLY file");
  PlyHeader header;
  while (true) {
    file.expect(file.left() > 0, "is cut: the PLY header has no end_header");
    const auto words = file.take_words();
    if (words.empty() || words[0] == "comment" || words[0] == "obj_info") continue;
    if (words[0] == "end_header") break;
    if (words[0] == "format") {
      file.expect(words.size() == 3 && formats.contains(words[1]) && words[2] == "1.0" && !header.format,
                  "expected one 'format ascii|binary_little_endian|binary_big_endian 1.0'");
      header.format = formats.at(words[1]);
    } else if (words[0] == "element") {
      PlyElement element;
      file.expect(words.size() == 3 && parse(words[2], element.count) && element.count >= 0,
                  "expected 'element NAME COUNT' in the PLY header");
      element.name = words[1];
      header.elements.push_back(std::move(element));
    } else {
      file.expect(words[0] == "property" && !header.elements.empty(), "unknown line '", words[0],
                  "' in the PLY header");
      header.elements.back().properties.push_back(ply_property(file, words));
    }
  }
  file.expect(header.format.has_value(), "the PLY header has no format");
  return header;
}

/// Takes the values of one element after the other, as text or as bytes.
class PlyValues {
 public:
  PlyValues(FileText& file, PlyFormat format) : file_(file), format_(format) {}

  bool swapped() const { return format_ == PlyFormat::kBigEndian; }

  /// The scalars of an element's rows, which lie `row_bytes` apart where the result starts. Values of lists are left
  /// out, as are all of an element that is not wanted.
  std::string_view take(const PlyElement& element, std::size_t row_bytes, bool wanted) {
    const bool has_list = std::ranges::any_of(element.properties,
                                              [](const PlyProperty& property) { return property.length.has_value(); });
    const auto rows = static_cast<std::size_t>(element.count);
    if (element.properties.empty()) return {};
    if (format_ != PlyFormat::kAscii && !has_list) {
      file_.expect(rows <= file_.left() / row_bytes, "is cut: ", rows, " ", element.name, " rows of ", row_bytes,
                   " bytes are promised, ", file_.left(), " bytes are left");
      return file_.take(rows * row_bytes);
    }
    // A value takes at least a byte, and in text one between two.
    const std::size_t least = element.properties.size() * (format_ == PlyFormat::kAscii ? 2 : 1);
    file_.expect(rows <= (file_.left() + 1) / least, "is cut: ", rows, " ", element.name, " rows are promised, ",
                 file_.left(), " bytes are left");
    table_.assign(wanted ? rows * row_bytes : row_bytes, '\0');
    for (std::size_t row = 0; row < rows; ++row) {
      char* to = table_.data() + (wanted ? row * row_bytes : 0);
      for (const PlyProperty& property : element.properties) {
        if (property.length) {
          skip_list(property);
        } else {
          take_value(property.type, to);
          to += size_of(property.type);
        }
      }
    }
    return table_;
  }

 private:
  void take_value(Scalar type, char* to) {
    if (format_ != PlyFormat::kAscii) {
      std::memcpy(to, file_.take(size_of(type)).data(), size_of(type));
      return;
    }
    const std::string_view word = file_.take_word();
    double value = 0;
    file_.expect(!word.empty(), "is cut: the header promises more values than the file holds");
    file_.expect(parse(word, value) && store(value, type, to), "'", word.substr(0, 40),
                 "' is no value of the type that the PLY header gives it");
  }

  void skip_list(const PlyProperty& property) {
    char bytes[8] = {};
    take_value(*property.length, bytes);
    const std::size_t size = size_of(*property.length);
    if (swapped()) std::reverse(bytes, bytes + size);
    std::uint64_t length = 0;
    std::memcpy(&length, bytes, size);
    const bool is_signed = *property.length == Scalar::kI8 || *property.length == Scalar::kI16 ||
                           *property.length == Scalar::kI32 || *property.length == Scalar::kI64;
    file_.expect(!is_signed || (bytes[size - 1] & 0x80) == 0, "PLY list has a negative length");
    if (format_ != PlyFormat::kAscii) {
      file_.expect(length <= file_.left() / size_of(property.type), "is cut: a PLY list of ", length,
                   " values is promised, ", file_.left(), " bytes are left");
      file_.take(length * size_of(property.type));
      return;
    }
    for (; length > 0; --length) take_value(property.type, bytes);
  }

  FileText& file_;
  PlyFormat format_;
  std::string table_;
};

}  // namespace

PointCloud read_ply(const std::string& name, const std::string& bytes, std::vector<OtherField>* others) {
  FileText file(name, bytes);
  const PlyHeader header = ply_header(file);
  PlyValues values(file, *header.format);
  std::optional<PointCloud> cloud;
  for (const PlyElement& element : header.elements) {
    std::vector<Field> fields;
    std::size_t row_bytes = 0;
    for (const PlyProperty& property : element.properties) {
      if (property.length) continue;
      fields.push_back({property.name, property.type, nullptr, 0, values.swapped()});
      row_bytes += size_of(property.type);
    }
    const bool wanted = element.name == "vertex";
    const std::string_view rows = values.take(element, row_bytes, wanted);
    if (!wanted) continue;  // read all the same: a file that is cut is refused
    file.expect(!cloud, "PLY header has element vertex twice");
    std::size_t offset = 0;
    for (Field& field : fields) {
      field.first = rows.data() + offset;
      field.stride = static_cast<std::ptrdiff_t>(row_bytes);
      offset += size_of(field.type);
    }
    file.expect(element.count == 0 || !fields.empty(), "PLY vertices have no properties, expected x, y, z");
    cloud = cloud_of_fields(name, fields, element.count, others);
  }
  file.expect(cloud.has_value(), "PLY header has no element vertex");
  return *cloud;
}

}  // namespace voxshift
