#include <voxshift/convert/torch_file.h>
#include <voxshift/files/atomic_file.h>
#include <voxshift/tensor/error.h>

#include <array>
#include <ostream>

namespace voxshift {
namespace {

void put(std::string& bytes, std::uint64_t value, int count) {
  for (int i = 0; i < count; ++i, value >>= 8) bytes += static_cast<char>(value & 0xff);
}

// Opcodes of pickle's protocol 2 (pickletools of Python documents them).
class Pickle {
 public:
  Pickle() { text_ = "\x80\x02"; }

  void op(char code) { text_ += code; }
  void mark() { op('('); }
  void global(const std::string& module, const std::string& name) { text_ += "c" + module + "\n" + name + "\n"; }
  void string(const std::string& value) {
    op('X');
    put(text_, value.size(), 4);
    text_ += value;
  }
  void integer(std::int64_t value) {
    if (value >= 0 && value <= INT32_MAX) {
      op('J');
      put(text_, static_cast<std::uint64_t>(value), 4);
    } else {
      text_ += "\x8a\x08";
      put(text_, static_cast<std::uint64_t>(value), 8);
    }
  }
  void integers(const Shape& values) {
    mark();
    for (const std::int64_t value : values) integer(value);
    op('t');
  }
  void boolean(bool value) { op(value ? '\x88' : '\x89'); }
  void empty_tuple() { op(')'); }
  void reduce() { op('R'); }
  void ordered_dict() {
    global("collections", "OrderedDict");
    empty_tuple();
    reduce();
  }
  std::string finish() {
    op('.');
    return std::move(text_);
  }

 private:
  std::string text_;
};

const char* storage_name(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "FloatStorage";
    case DType::kF16:
      return "HalfStorage";
    case DType::kBF16:
      return "BFloat16Storage";
    case DType::kI64:
      return "LongStorage";
    case DType::kI32:
      return "IntStorage";
    case DType::kI8:
      return "CharStorage";
    case DType::kU8:
      return "ByteStorage";
  }
  return "";
}

Shape strides_of(const Shape& shape) {
  Shape strides(shape.size());
  std::int64_t stride = 1;
  for (std::size_t axis = shape.size(); axis-- > 0; stride *= shape[axis]) strides[axis] = stride;
  return strides;
}

// torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())
void add_tensor(Pickle& pickle, const Array& tensor, std::size_t number) {
  pickle.global("torch._utils", "_rebuild_tensor_v2");
  pickle.mark();
  pickle.mark();
  pickle.string("storage");
  pickle.global("torch", storage_name(tensor.dtype()));
  pickle.string(std::to_string(number));
  pickle.string("cpu");
  pickle.integer(tensor.count());
  pickle.op('t');
  pickle.op('Q');  // the tuple is the persistent id of the storage
  pickle.integer(0);
  pickle.integers(tensor.shape());
  pickle.integers(strides_of(tensor.shape()));
  pickle.boolean(false);
  pickle.ordered_dict();
  pickle.op('t');
  pickle.reduce();
}

void add_versions(Pickle& pickle, const std::map<std::string, std::int64_t>& versions) {
  pickle.op('}');
  pickle.string("_metadata");
  pickle.ordered_dict();
  pickle.mark();
  for (const auto& [module, version] : versions) {
    pickle.string(module);
    pickle.op('}');
    pickle.string("version");
    pickle.integer(version);
    pickle.op('s');
  }
  pickle.op('u');
  pickle.op('s');
  pickle.op('b');  // the attributes of the state dict
}

std::string pickled(const TorchFile& file) {
  Pickle pickle;
  if (!file.key.empty()) {
    pickle.op('}');
    pickle.string(file.key);
  }
  pickle.ordered_dict();
  pickle.mark();
  for (std::size_t i = 0; i < file.tensors.size(); ++i) {
    pickle.string(file.tensors[i].first);
    add_tensor(pickle, file.tensors[i].second, i);
  }
  pickle.op('u');
  if (!file.versions.empty()) add_versions(pickle, file.versions);
  if (!file.key.empty()) pickle.op('s');
  return pickle.finish();
}

constexpr std::array<std::uint32_t, 256> crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < table.size(); ++byte) {
    table[byte] = byte;
    for (int bit = 0; bit < 8; ++bit) table[byte] = table[byte] >> 1 ^ (table[byte] & 1) * 0xedb88320u;
  }
  return table;
}

// CRC-32 of ISO 3309, as zip files have it.
std::uint32_t crc_of(const void* data, std::size_t size) {
  static constexpr std::array<std::uint32_t, 256> kTable = crc_table();
  const auto* bytes = static_cast<const unsigned char*>(data);
  std::uint32_t crc = ~0u;
  for (std::size_t i = 0; i < size; ++i) crc = crc >> 8 ^ kTable[(crc ^ bytes[i]) & 0xff];
  return ~crc;
}

// A zip file of stored entries whose data are aligned (APPNOTE 6.3.9 of PKWARE; sizes of 32 bits).
class ZipWriter {
 public:
  explicit ZipWriter(std::ostream& out) : out_(out) {}

  void add(const std::string& name, const void* data, std::size_t size) {
    check_fits(size);
    std::string fields;  // what the local header and the directory have in common
    put(fields, 20, 2);  // version 2.0
    put(fields, 0, 4);   // no flags, stored
    put(fields, kFirstDay, 4);
    put(fields, crc_of(data, size), 4);
    put(fields, size, 4);
    put(fields, size, 4);
    put(fields, name.size(), 2);

    const std::uint64_t unpadded = offset_ + kLocalHeader + name.size() + kExtraHeader;
    const std::uint64_t padding = (kAlignment - unpadded % kAlignment) % kAlignment;
    std::string local;
    put(local, 0x04034b50, 4);
    local += fields;
    put(local, kExtraHeader + padding, 2);
    local += name;
    put(local, kPaddingField, 2);
    put(local, padding, 2);
    local.append(padding, 'Z');

    put(directory_, 0x02014b50, 4);
    put(directory_, 20, 2);
    directory_ += fields;
    put(directory_, 0, 12);  // no extra field, no comment, first disk, no attributes
    put(directory_, offset_, 4);
    directory_ += name;
    ++entries_;

    write(local.data(), local.size());
    write(data, size);
  }

  void finish() {
    check_fits(directory_.size());
    check(entries_ <= UINT16_MAX, "[convert] a checkpoint holds at most ", UINT16_MAX, " tensors");
    std::string end;
    put(end, 0x06054b50, 4);
    put(end, 0, 4);  // the first disk is the only one
    put(end, entries_, 2);
    put(end, entries_, 2);
    put(end, directory_.size(), 4);
    put(end, offset_, 4);
    put(end, 0, 2);
    write(directory_.data(), directory_.size());
    write(end.data(), end.size());
  }

 private:
  static constexpr std::uint64_t kLocalHeader = 30, kExtraHeader = 4, kAlignment = 64;
  static constexpr std::uint64_t kPaddingField = 0x4246;  // "FB", as torch calls it
  static constexpr std::uint64_t kFirstDay = 0x21 << 16;  // 1980-01-01: the same bytes for the same content
  static constexpr std::uint64_t kMostBytes = UINT32_MAX - 1024;

  void check_fits(std::uint64_t size) const {
    check(size <= kMostBytes && offset_ <= kMostBytes - size, "[convert] a checkpoint holds less than 4 GiB");
  }

  void write(const void* data, std::size_t size) {
    out_.write(static_cast<const char*>(data), static_cast<std::streamsize>(size));
    offset_ += size;
  }

  std::ostream& out_;
  std::string directory_;
  std::uint64_t offset_ = 0, entries_ = 0;
};

}  // namespace

void write_torch_file(const std::filesystem::path& path, const TorchFile& file) {
  for (const auto& [name, tensor] : file.tensors)
    check(tensor.device() == Device::cpu(), "[convert] tensor \"", name, "\" is not in the CPU's memory");
  const std::string pickle = pickled(file);
  const std::string version = "3\n", order = "little";
  write_atomically(path, [&](std::ostream& out) {
    ZipWriter zip(out);
    const std::string root = "archive/";
    zip.add(root + "data.pkl", pickle.data(), pickle.size());
    zip.add(root + "byteorder", order.data(), order.size());
    for (std::size_t i = 0; i < file.tensors.size(); ++i) {
      const Array& tensor = file.tensors[i].second;
      zip.add(root + "data/" + std::to_string(i), tensor.memory(), tensor.bytes());
    }
    zip.add(root + "version", version.data(), version.size());
    zip.finish();
  });
}

}  // namespace voxshift
