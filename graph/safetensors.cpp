#include <voxshift/files/atomic_file.h>
#include <voxshift/graph/json_text.h>
#include <voxshift/graph/safetensors.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <istream>
#include <nlohmann/json.hpp>
#include <streambuf>
#include <string_view>
#include <system_error>
#include <tuple>
#include <vector>

namespace voxshift {
namespace {

using nlohmann::json;

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMostHeaderBytes = 100'000'000;  // the limit of the reference implementation
constexpr const char* kMetadata = "__metadata__";
constexpr std::pair<const char*, DType> kDTypes[] = {{"F32", DType::kF32}, {"F16", DType::kF16}, {"BF16", DType::kBF16},
                                                     {"I64", DType::kI64}, {"I32", DType::kI32}, {"I8", DType::kI8},
                                                     {"U8", DType::kU8}};

// Bytes of an element, for every dtype that files have; sub-byte ones have none of their own.
constexpr std::pair<std::string_view, std::uint64_t> kWords[] = {
    {"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"I64", 8}, {"I32", 4},
    {"I16", 2}, {"I8", 1},  {"U64", 8}, {"U32", 4},  {"U16", 2},     {"U8", 1},      {"BOOL", 1}};

DType dtype_from(const std::string& word, const std::string& tensor) {
  for (const auto& [known, dtype] : kDTypes)
    if (word == known) return dtype;
  throw IoError("tensor \"" + tensor + "\" has the unknown dtype \"" + word + "\"");
}

const char* word_of(DType dtype) {
  return std::find_if(std::begin(kDTypes), std::end(kDTypes), [&](const auto& row) { return row.second == dtype; })
      ->first;
}

// The numbers under `key`; none of them negative, a fraction or a boolean.
template <class T>
std::vector<T> whole_numbers(const json& entry, const char* key, const std::string& tensor) {
  const json& values = entry.at(key);
  check<IoError>(values.is_array() && std::all_of(values.begin(), values.end(),
                                                  [](const json& value) { return value.is_number_unsigned(); }),
                 "tensor \"", tensor, "\": ", key, " expects whole numbers that are not negative");
  return values.get<std::vector<T>>();
}

SafeTensorsEntry parse_entry(const std::string& tensor, const json& entry, std::uint64_t data_start,
                             std::uint64_t data_bytes) {
  const auto dtype = entry.at("dtype").get<std::string>();
  const auto shape = whole_numbers<std::int64_t>(entry, "shape", tensor);
  const auto offsets = whole_numbers<std::uint64_t>(entry, "data_offsets", tensor);
  check<IoError>(offsets.size() == 2 && offsets[0] <= offsets[1] && offsets[1] <= data_bytes, "tensor \"", tensor,
                 "\" lies outside the file, which is cut or damaged");
  const std::uint64_t held = offsets[1] - offsets[0];
  const auto word = std::ranges::find(kWords, dtype, &std::pair<std::string_view, std::uint64_t>::first);
  if (word != std::end(kWords)) {
    const std::uint64_t bytes = static_cast<std::uint64_t>(count_of(shape)) * word->second;
    check<IoError>(held == bytes, "tensor \"", tensor, "\" of shape ", shape, " expects ", bytes,
                   " bytes, the header gives it ", held);
  }
  return {tensor, dtype, shape, data_start + offsets[0], held};
}

// Bytes that belong to two tensors would let a small file ask for any amount of memory.
void check_no_overlap(std::vector<SafeTensorsEntry>& entries) {
  std::ranges::sort(entries, {}, [](const SafeTensorsEntry& entry) { return std::tie(entry.position, entry.bytes); });
  for (std::size_t i = 1; i < entries.size(); ++i)
    check<IoError>(entries[i].position >= entries[i - 1].position + entries[i - 1].bytes, "tensors \"",
                   entries[i - 1].tensor, "\" and \"", entries[i].tensor, "\" overlap");
}

Array read_tensor(std::istream& file, const SafeTensorsEntry& entry) {
  Array array(entry.shape, dtype_from(entry.dtype, entry.tensor));
  file.seekg(static_cast<std::streamoff>(entry.position));
  file.read(static_cast<char*>(array.memory()), static_cast<std::streamsize>(array.bytes()));
  check<IoError>(static_cast<bool>(file), "tensor \"", entry.tensor, "\" could not be read");
  return array;
}

SafeTensorsHeader read_header(std::istream& file, std::uint64_t file_bytes) {
  check<IoError>(file_bytes >= kLengthBytes, "has ", file_bytes, " bytes, too few for a safetensors file");
  unsigned char length_bytes[kLengthBytes];
  file.read(reinterpret_cast<char*>(length_bytes), kLengthBytes);
  std::uint64_t length = 0;
  for (std::uint64_t b = 0; b < kLengthBytes; ++b) length |= std::uint64_t{length_bytes[b]} << (8 * b);
  if (length > file_bytes - kLengthBytes)
    check<IoError>(file.peek() == '{',
                   "is no safetensors file; `voxshift convert` makes a model of a checkpoint or an ONNX network");
  check<IoError>(length <= file_bytes - kLengthBytes, "claims a header of ", length, " bytes, the file has ",
                 file_bytes, "; it is cut");
  check<IoError>(length <= kMostHeaderBytes, "claims a header of ", length, " bytes, at most ", kMostHeaderBytes,
                 " are read");
  std::string text(length, '\0');
  file.read(text.data(), static_cast<std::streamsize>(length));
  const JsonDocument document = parse_json(text);
  const json& header = document.value;
  check<IoError>(header.is_object(), "has a header that is not a JSON object; expected a safetensors file");

  SafeTensorsHeader content;
  const std::uint64_t data_start = kLengthBytes + length;
  for (const auto& [key, entry] : header.items()) {
    if (key == kMetadata) {
      content.metadata = entry.get<std::map<std::string, std::string>>();
    } else {
      content.entries.push_back(parse_entry(key, entry, data_start, file_bytes - data_start));
    }
  }
  check_no_overlap(content.entries);
  return content;
}

// What `read` returns; its errors name the file.
template <class Read>
auto naming(const std::string& file, const Read& read) try {
  return read();
} catch (const json::exception& error) {
  throw IoError(file + ": header: " + error.what());
} catch (const InvalidArgument& error) {
  throw IoError(file + ": header: " + error.what());
} catch (const IoError& error) {
  throw IoError(file + ": " + error.what());
}

// What `read` makes of the file.
template <class Read>
auto with_file(const std::filesystem::path& path, const Read& read) {
  return naming(path.string(), [&] {
    std::error_code error;
    const std::filesystem::file_status status = std::filesystem::status(path, error);
    check<IoError>(std::filesystem::exists(status), "cannot be read: ", error.message());
    check<IoError>(std::filesystem::is_regular_file(status), "is not a file");
    std::ifstream file(path, std::ios::binary);
    const std::uint64_t file_bytes = std::filesystem::file_size(path, error);
    check<IoError>(static_cast<bool>(file) && !error, "cannot be opened");
    return read(file, file_bytes);
  });
}

SafeTensors read_content(std::istream& file, std::uint64_t file_bytes) {
  const SafeTensorsHeader header = read_header(file, file_bytes);
  SafeTensors content{{}, header.metadata};
  for (const SafeTensorsEntry& entry : header.entries) content.tensors.emplace(entry.tensor, read_tensor(file, entry));
  return content;
}

// A stream of bytes that lie elsewhere.
class MemoryBuffer : public std::streambuf {
 public:
  explicit MemoryBuffer(std::span<const std::byte> bytes) {
    char* const begin = const_cast<char*>(reinterpret_cast<const char*>(bytes.data()));  // that nobody writes to
    setg(begin, begin, begin + bytes.size());
  }

 private:
  pos_type seekoff(off_type offset, std::ios::seekdir from, std::ios::openmode) override {
    const off_type start = from == std::ios::beg ? 0 : from == std::ios::cur ? gptr() - eback() : egptr() - eback();
    const off_type to = start + offset;
    if (to < 0 || to > egptr() - eback()) return pos_type(off_type(-1));
    setg(eback(), eback() + to, egptr());
    return to;
  }
  pos_type seekpos(pos_type to, std::ios::openmode mode) override { return seekoff(to, std::ios::beg, mode); }
};

}  // namespace

SafeTensorsHeader read_safetensors_header(const std::filesystem::path& path) {
  return with_file(path, [](std::istream& file, std::uint64_t bytes) { return read_header(file, bytes); });
}

SafeTensors read_safetensors(const std::filesystem::path& path) { return with_file(path, read_content); }

SafeTensors read_safetensors(std::span<const std::byte> bytes, const std::string& name) {
  return naming(name, [&] {
    MemoryBuffer buffer(bytes);
    std::istream stream(&buffer);
    return read_content(stream, bytes.size());
  });
}

void write_safetensors(const std::filesystem::path& path, const SafeTensors& content) {
  check(!content.tensors.contains(kMetadata), "[save] no tensor of a file can be called ", kMetadata);
  json header{{kMetadata, content.metadata}};
  std::uint64_t offset = 0;
  for (const auto& [tensor, array] : content.tensors) {
    header[tensor] = {{"dtype", word_of(array.dtype())},
                      {"shape", array.shape()},
                      {"data_offsets", {offset, offset + array.bytes()}}};
    offset += array.bytes();
  }
  std::string text = json_text(header);
  check(text.size() < kMostHeaderBytes, "[save] the header has ", text.size(), " bytes, at most ", kMostHeaderBytes,
        " can be read");
  text.resize((text.size() + kLengthBytes - 1) / kLengthBytes * kLengthBytes, ' ');  // data starts aligned
  write_atomically(path, [&](std::ostream& file) {
    for (std::uint64_t b = 0; b < kLengthBytes; ++b) file.put(static_cast<char>(text.size() >> (8 * b) & 0xff));
    file.write(text.data(), static_cast<std::streamsize>(text.size()));
    for (const auto& [tensor, array] : content.tensors)
      file.write(static_cast<const char*>(array.memory()), static_cast<std::streamsize>(array.bytes()));
  });
}

}  // namespace voxshift
