// Checks .ply and .pcd files: the header's claims against the bytes that are there.
#include "cloud_header.h"

#include <voxshift/tensor/error.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <limits>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "scan_files.h"

namespace voxshift {
namespace {

constexpr std::size_t kLongestLine = 1000;  // Open3D and its PLY reader use buffers of 1024

/// A file taken apart from its front. Every error names the file.
class Cursor {
 public:
  Cursor(std::string name, std::string_view text) : name_(std::move(name)), rest_(text) {}

  template <class... Parts>
  void expect(bool condition, const Parts&... parts) const {
    if (condition) return;
    std::ostringstream message;
    (message << ... << parts);
    std::string text = message.str();  // quotes the file, which may hold anything
    std::ranges::replace_if(
        text, [](unsigned char c) { return c < 32 || c > 126; }, '?');
    throw IoError(name_ + ": " + text);
  }

  std::size_t left() const { return rest_.size(); }

  std::string_view take(std::size_t bytes) {
    expect(bytes <= left(), "is cut: the header promises more than the file holds");
    const std::string_view taken = rest_.substr(0, bytes);
    rest_.remove_prefix(bytes);
    return taken;
  }

  std::string_view take_line() {
    const std::size_t end = std::min(rest_.find('\n'), left());
    expect(end <= kLongestLine, "has a line of more than ", kLongestLine, " characters");
    std::string_view line = take(end);
    if (left() > 0) take(1);
    ended_with_return_ = line.ends_with('\r');
    if (ended_with_return_) line.remove_suffix(1);
    expect(std::ranges::none_of(line, [](unsigned char c) { return c < 32 && c != '\t'; }),
           "is not text where its format has text");
    return line;
  }

  /// The next word between white space; empty at the end of the file.
  std::string_view take_word() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), left()));
    const std::string_view word = take(std::min(rest_.find_first_of(" \t\r\n"), left()));
    expect(word.size() < 256, "has a word of more than 255 characters");
    return word;
  }

  /// Whether the last line taken ended in "\r\n".
  bool ended_with_return() const { return ended_with_return_; }

  std::vector<std::string_view> words_of(std::string_view line) const {
    Cursor cursor(name_, line);
    std::vector<std::string_view> words;
    for (auto word = cursor.take_word(); !word.empty(); word = cursor.take_word()) words.push_back(word);
    return words;
  }

  /// The words of the next line.
  std::vector<std::string_view> take_words() { return words_of(take_line()); }

 private:
  std::string name_;
  std::string_view rest_;
  bool ended_with_return_ = false;
};

template <class Number>
bool parse(std::string_view word, Number& number) {
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  return error == std::errc() && end == word.data() + word.size();
}

bool parse_number(std::string_view word, double& value) {
  return parse(word.starts_with('+') && !word.starts_with("+-") ? word.substr(1) : word, value);
}

// PLY

struct Scalar {
  std::size_t size;
  double lowest, highest;  ///< of the integers; a float takes anything that is finite or NaN
  bool is_float = false;
};

const Scalar* scalar_of(std::string_view name) {
  static const std::map<std::string_view, Scalar> scalars = [] {
    const Scalar i8{1, -128, 127}, u8{1, 0, 255}, i16{2, -32768, 32767}, u16{2, 0, 65535};
    const Scalar i32{4, -2147483648.0, 2147483647.0}, u32{4, 0, 4294967295.0};
    constexpr double kFloat = std::numeric_limits<float>::max(), kDouble = std::numeric_limits<double>::max();
    const Scalar f32{4, -kFloat, kFloat, true}, f64{8, -kDouble, kDouble, true};
    return std::map<std::string_view, Scalar>{{"char", i8},   {"int8", i8},     {"uchar", u8},   {"uint8", u8},
                                              {"short", i16}, {"int16", i16},   {"ushort", u16}, {"uint16", u16},
                                              {"int", i32},   {"int32", i32},   {"uint", u32},   {"uint32", u32},
                                              {"float", f32}, {"float32", f32}, {"double", f64}, {"float64", f64}};
  }();
  const auto found = scalars.find(name);
  return found == scalars.end() ? nullptr : &found->second;
}

struct Property {
  std::string_view name;
  const Scalar* value;
  const Scalar* length = nullptr;  ///< of a list: the type of its count
};

struct Element {
  std::string_view name;
  std::int64_t count;
  std::vector<Property> properties;
};

enum class PlyFormat { kAscii, kLittleEndian, kBigEndian };

struct PlyHeader {
  PlyFormat format;
  std::vector<Element> elements;
};

Property parse_property(const Cursor& file, const std::vector<std::string_view>& words) {
  Property property{};
  if (words.size() == 3) {
    property = {words[2], scalar_of(words[1])};
  } else if (words.size() == 5 && words[1] == "list") {
    property = {words[4], scalar_of(words[3]), scalar_of(words[2])};
    file.expect(property.length != nullptr && !property.length->is_float, "PLY list of unknown length type ", words[2]);
  }
  file.expect(property.value != nullptr, "PLY property of unknown type in the header");
  return property;
}

PlyHeader parse_ply_header(Cursor& file) {
  file.expect(file.take_line() == "ply", "does not start with 'ply', so it is no PLY file");
  const bool with_return = file.ended_with_return();
  const auto format = file.take_words();
  static const std::map<std::string_view, PlyFormat> formats = {{"ascii", PlyFormat::kAscii},
                                                                {"binary_little_endian", PlyFormat::kLittleEndian},
                                                                {"binary_big_endian", PlyFormat::kBigEndian}};
  file.expect(format.size() == 3 && format[0] == "format" && formats.contains(format[1]) && format[2] == "1.0",
              "expected 'format ascii|binary_little_endian|binary_big_endian 1.0' in the second line");
  PlyHeader header{formats.at(format[1]), {}};
  while (true) {
    file.expect(file.left() > 0, "is cut: the PLY header has no end_header");
    const std::string_view line = file.take_line();
    const auto words = file.words_of(line);
    if (words.empty()) continue;
    if (words[0] == "end_header") {
      // The data starts right after this line; readers find it by the line ends of the first.
      file.expect(line == "end_header" && file.ended_with_return() == with_return,
                  "PLY end_header expected alone on its line, with the line end of the first line");
      return header;
    }
    if (words[0] == "comment" || words[0] == "obj_info") {
      file.expect(words.size() > 1, "PLY ", words[0], " without text");  // Open3D would take the next line for it
      continue;
    }
    if (words[0] == "element") {
      Element element{};
      file.expect(words.size() == 3 && parse(words[2], element.count) && element.count >= 0,
                  "expected 'element NAME COUNT' in the PLY header");
      element.name = words[1];
      header.elements.push_back(std::move(element));
    } else {
      file.expect(words[0] == "property" && !header.elements.empty(), "unknown line '", words[0],
                  "' in the PLY header");
      header.elements.back().properties.push_back(parse_property(file, words));
    }
  }
}

/// The vertices, with x, y, z of one floating type and no name twice.
const Element& vertices_of(const Cursor& file, const PlyHeader& header) {
  const auto vertex = std::ranges::find(header.elements, std::string_view("vertex"), &Element::name);
  file.expect(vertex != header.elements.end(), "PLY header has no element vertex");
  std::map<std::string_view, const Property*> by_name;
  for (const Property& property : vertex->properties) {
    file.expect(by_name.emplace(property.name, &property).second, "PLY vertex has property ", property.name, " twice");
  }
  for (const char* axis : {"x", "y", "z"}) {
    file.expect(by_name.contains(axis), "PLY vertex has no property ", axis);
    const Property& property = *by_name[axis];
    file.expect(
        property.length == nullptr && property.value->is_float && property.value->size == by_name["x"]->value->size,
        "PLY vertex expected x, y, z all float or all double");
  }
  return *vertex;
}

double take_ascii(Cursor& file, const Scalar& scalar) {
  const std::string_view word = file.take_word();
  file.expect(!word.empty(), "is cut: the header promises more values than the file holds");
  double value = 0;
  file.expect(parse_number(word, value) && (scalar.is_float || word.find_first_not_of("+-0123456789") == word.npos) &&
                  !(value < scalar.lowest) && !(value > scalar.highest),
              "'", word, "' is no value of the type that the PLY header gives it");
  return value;
}

/// The count of a binary list.
std::size_t take_count(Cursor& file, const Scalar& scalar, bool big_endian) {
  std::array<unsigned char, 4> bytes{};  // little endian
  std::memcpy(bytes.data(), file.take(scalar.size).data(), scalar.size);
  if (big_endian) std::reverse(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(scalar.size));
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < scalar.size; ++i) value |= std::uint32_t{bytes[i]} << (8 * i);
  file.expect(value <= scalar.highest, "PLY list has a negative length");
  return value;
}

void walk_ascii(Cursor& file, const Element& element) {
  for (std::int64_t row = 0; row < element.count; ++row) {
    for (const Property& property : element.properties) {
      double values = property.length != nullptr ? take_ascii(file, *property.length) : 1;
      for (; values > 0; --values) take_ascii(file, *property.value);
    }
  }
}

void walk_binary(Cursor& file, const Element& element, bool big_endian) {
  std::size_t row_bytes = 0;
  bool has_list = false;
  for (const Property& property : element.properties) {
    row_bytes += property.value->size;
    has_list |= property.length != nullptr;
  }
  const auto rows = static_cast<std::size_t>(element.count);
  if (!has_list) {
    file.expect(rows <= file.left() / row_bytes, "is cut: ", rows, " ", element.name, " rows of ", row_bytes,
                " bytes are promised, ", file.left(), " bytes are left");
    file.take(rows * row_bytes);
    return;
  }
  for (std::size_t row = 0; row < rows; ++row) {
    for (const Property& property : element.properties) {
      const std::size_t values = property.length != nullptr ? take_count(file, *property.length, big_endian) : 1;
      file.take(values * property.value->size);
    }
  }
}

// PCD

using PcdHeader = std::map<std::string, std::vector<std::string_view>, std::less<>>;

PcdHeader parse_pcd_header(Cursor& file) {
  static const std::set<std::string_view> known = {"VERSION", "FIELDS", "COLUMNS",   "SIZE",   "TYPE", "COUNT",
                                                   "WIDTH",   "HEIGHT", "VIEWPOINT", "POINTS", "DATA"};
  PcdHeader header;
  while (!header.contains("DATA")) {
    file.expect(file.left() > 0,
                header.empty() ? "has no PCD header, so it is no PCD file" : "is cut: the PCD header has no DATA line");
    auto words = file.take_words();
    if (words.empty() || words[0].starts_with('#')) continue;
    file.expect(known.contains(words[0]), "unknown line '", words[0], "', expected a PCD header");
    const std::string key(words[0] == "COLUMNS" ? "FIELDS" : words[0]);
    words.erase(words.begin());
    file.expect(header.emplace(key, std::move(words)).second, "PCD header has ", key, " twice");
  }
  return header;
}

std::int64_t pcd_number(const Cursor& file, const PcdHeader& header, std::string_view key) {
  const auto found = header.find(key);
  std::int64_t value = -1;
  file.expect(found != header.end() && found->second.size() == 1 && parse(found->second[0], value) && value >= 0 &&
                  value <= std::numeric_limits<int>::max(),
              "PCD header expected ", key, " and one number");
  return value;
}

struct PcdRow {
  std::size_t bytes = 0, values = 0;
};

PcdRow pcd_row(const Cursor& file, const PcdHeader& header) {
  const auto list = [&](std::string_view key) {
    const auto found = header.find(key);
    file.expect(found != header.end() && !found->second.empty(), "PCD header has no ", key);
    return found->second;
  };
  const auto names = list("FIELDS"), sizes = list("SIZE"), types = list("TYPE");
  const auto counts = header.contains("COUNT") ? list("COUNT") : std::vector<std::string_view>(names.size(), "1");
  file.expect(sizes.size() == names.size() && types.size() == names.size() && counts.size() == names.size(),
              "PCD header expected as many SIZE, TYPE and COUNT as FIELDS");
  static const std::set<std::string_view> known = {"F4", "F8", "I1", "I2", "I4", "I8", "U1", "U2", "U4", "U8"};
  PcdRow row;
  std::map<std::string_view, std::string> floats;
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::size_t size = 0, count = 0;
    const std::string type = std::string(types[i]) + std::string(sizes[i]);
    file.expect(known.contains(type) && parse(sizes[i], size), "PCD field ", names[i], " of unknown type ", type);
    file.expect(parse(counts[i], count) && count >= 1 && count <= 65536, "PCD field ", names[i], " has COUNT ",
                counts[i]);
    row.bytes += size * count;
    row.values += count;
    if (type[0] == 'F' && count == 1) floats.emplace(names[i], type);
  }
  file.expect(floats.contains("x") && floats.contains("y") && floats.contains("z") && floats["x"] == floats["y"] &&
                  floats["x"] == floats["z"],
              "PCD expected fields x, y, z, all of type F and one size");
  return row;
}

void walk_pcd_ascii(Cursor& file, std::int64_t points, const PcdRow& row) {
  for (std::int64_t point = 0; point < points;) {
    file.expect(file.left() > 0, "is cut: ", point, " of ", points, " points are there");
    const auto words = file.take_words();
    if (words.empty()) continue;
    double value = 0;
    file.expect(
        words.size() == row.values && std::ranges::all_of(words, [&](auto word) { return parse_number(word, value); }),
        "point ", point, " expected ", row.values, " numbers");
    ++point;
  }
}

void walk_pcd_compressed(Cursor& file, std::size_t bytes) {
  constexpr std::size_t kMostPerByte = 88;  // LZF: three bytes stand for at most 264
  std::array<std::uint32_t, 2> sizes{};     // compressed, plain
  std::memcpy(sizes.data(), file.take(sizeof(sizes)).data(), sizeof(sizes));
  file.expect(sizes[1] == bytes, "PCD expected ", bytes, " bytes when unpacked, the file says ", sizes[1]);
  file.take(sizes[0]);
  file.expect(sizes[1] / kMostPerByte <= sizes[0], "PCD cannot unpack ", sizes[0], " bytes to ", sizes[1]);
}

}  // namespace

std::int64_t check_ply(const std::filesystem::path& path) {
  const std::string bytes = read_bytes(path);
  Cursor file(path.string(), bytes);
  const PlyHeader header = parse_ply_header(file);
  const Element& vertices = vertices_of(file, header);
  for (const Element& element : header.elements) {
    file.expect(!element.properties.empty(), "PLY element ", element.name, " has no properties");
    if (header.format == PlyFormat::kAscii) {
      walk_ascii(file, element);
    } else {
      walk_binary(file, element, header.format == PlyFormat::kBigEndian);
    }
  }
  return vertices.count;
}

std::int64_t check_pcd(const std::filesystem::path& path) {
  const std::string bytes = read_bytes(path);
  Cursor file(path.string(), bytes);
  const PcdHeader header = parse_pcd_header(file);
  const PcdRow row = pcd_row(file, header);
  const std::int64_t points = pcd_number(file, header, "POINTS");
  file.expect(pcd_number(file, header, "WIDTH") * pcd_number(file, header, "HEIGHT") == points,
              "PCD header expected POINTS = WIDTH * HEIGHT");
  const auto& data = header.at("DATA");
  const std::string_view kind = data.size() == 1 ? data[0] : std::string_view();
  const auto rows = static_cast<std::size_t>(points);
  if (kind == "ascii") {
    walk_pcd_ascii(file, points, row);
  } else if (kind == "binary") {
    file.expect(rows <= file.left() / row.bytes, "is cut: ", rows, " points of ", row.bytes, " bytes are promised, ",
                file.left(), " bytes are left");
  } else if (kind == "binary_compressed") {
    walk_pcd_compressed(file, rows * row.bytes);
  } else {
    file.expect(false, "PCD expected DATA ascii, binary or binary_compressed");
  }
  return points;
}

}  // namespace voxshift
