#include <voxshift/checkpoints/content.h>
#include <voxshift/checkpoints/elements.h>
#include <voxshift/files/files.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <system_error>

namespace voxshift {
namespace {

constexpr std::size_t kPart = 1 << 20;  // bytes that are read and converted at a time

bool starts_with(const std::string& bytes, std::string_view start) { return bytes.starts_with(start); }

// Content decides: what the file begins with.
void read_content(CheckpointContent& content, const std::string& start) {
  const std::uint64_t claimed_header = [&] {
    std::uint64_t length = 0;
    for (std::size_t b = 0; b < 8 && b < start.size(); ++b)
      length |= std::uint64_t{static_cast<unsigned char>(start[b])} << (8 * b);
    return length;
  }();
  check<IoError>(!starts_with(start, "\x1F\x8B"), "is compressed by gzip; expected what is in it");
  check<IoError>(!starts_with(start, "\x89HDF"), "is an HDF5 file; expected a checkpoint of PyTorch or safetensors");
  check<IoError>(start.size() < 262 || start.compare(257, 5, "ustar") != 0,
                 "is a tar archive: of PyTorch 0.1, which newer versions write again, or of files to be unpacked");
  if (starts_with(start, "PK")) return read_zip(content);
  if (start.size() > 8 && start[8] == '{' && claimed_header <= content.file_bytes) return read_tensor_file(content);
  constexpr std::string_view kFirstOfPickles = "\x80(c}])";  // of protocol 2 and later, of containers and calls before
  check<IoError>(kFirstOfPickles.find(start[0]) != std::string_view::npos,
                 "is no checkpoint: neither a zip archive nor a pickle of PyTorch, nor safetensors");
  read_pickles(content);
}

void check_root(const Value& root) {
  if (!root.is_opaque()) return;
  const Opaque& object = root.as_opaque();
  const bool is_empty = object.state.is_none() && object.items.empty() && object.entries.items.empty();
  check<IoError>(!is_empty || !object.is_object, "is a call of ", object.name, ", which is not made; expected tensors");
  check<IoError>(!is_empty, "is the name ", object.name, "; expected tensors");
}

std::shared_ptr<const CheckpointContent> read_checkpoint(const std::filesystem::path& path) {
  auto content = std::make_shared<CheckpointContent>();
  content->path = path;
  std::ifstream file = open_file(path);
  try {
    std::error_code error;
    content->file_bytes = std::filesystem::file_size(path, error);
    check<IoError>(!error, "cannot be read: ", error.message());
    check<IoError>(content->file_bytes > 0, "is empty, expected a checkpoint");
    std::string start(std::min<std::uint64_t>(content->file_bytes, 512), '\0');
    file.read(start.data(), static_cast<std::streamsize>(start.size()));
    read_content(*content, start);
    check_values(*content);
    check_root(content->root);
  } catch (const IoError& error) {
    const std::string name = path.string() + ": ";
    if (std::string_view(error.what()).starts_with(one_line(name))) throw;
    throw IoError(name + error.what());
  } catch (const InvalidArgument& error) {
    throw IoError(path.string() + ": is damaged: " + error.what());
  }
  return content;
}

}  // namespace

Checkpoint Checkpoint::read(const std::filesystem::path& path) { return Checkpoint(read_checkpoint(path)); }

const Value& Checkpoint::root() const { return content_->root; }
const std::filesystem::path& Checkpoint::path() const { return content_->path; }
const char* Checkpoint::format() const { return content_->format; }
std::size_t Checkpoint::storages() const { return content_->storages.size(); }
std::size_t Checkpoint::storage_bytes(std::size_t storage) const { return content_->storages.at(storage).bytes; }

void Checkpoint::read_storage(std::size_t storage, std::size_t offset, std::span<std::byte> out) const {
  const Storage& from = content_->storages.at(storage);
  check(offset <= from.bytes && out.size() <= from.bytes - offset, "[checkpoint] storage ", storage, " has ",
        from.bytes, " bytes, found ", out.size(), " wanted from byte ", offset);
  if (out.empty()) return;
  if (from.memory != nullptr) {
    std::memcpy(out.data(), from.memory + offset, out.size());
    return;
  }
  try {
    content_->file->read(from.position, offset, out);
  } catch (const IoError& error) {
    throw IoError(content_->path.string() + ": " + error.what());
  }
}

// Elements that a view repeats cost no bytes of the file.
void Checkpoint::check_repeats(const StoredTensor& tensor) const {
  check<IoError>(static_cast<std::uint64_t>(tensor.count()) <=
                     std::max<std::uint64_t>(content_->file_bytes, storage_bytes(tensor.storage)),
                 content_->path.string(), ": a tensor of shape ", tensor.shape, " repeats the ",
                 storage_bytes(tensor.storage), " bytes of its storage");
}

std::vector<std::byte> Checkpoint::bytes(const StoredTensor& tensor) const {
  check_repeats(tensor);
  const std::size_t size = size_of(tensor.type);
  std::vector<std::byte> elements(static_cast<std::size_t>(tensor.count()) * size);
  if (elements.empty()) return elements;
  if (tensor.is_contiguous()) {
    read_storage(tensor.storage, static_cast<std::size_t>(tensor.offset) * size, elements);
    return elements;
  }
  std::int64_t last = 0;
  for (std::size_t axis = 0; axis < tensor.shape.size(); ++axis) last += (tensor.shape[axis] - 1) * tensor.stride[axis];
  std::vector<std::byte> range(static_cast<std::size_t>(last + 1) * size);
  read_storage(tensor.storage, static_cast<std::size_t>(tensor.offset) * size, range);
  gather_elements(tensor, range.data(), elements.data());
  return elements;
}

Array Checkpoint::f32(const StoredTensor& tensor) const {
  check_repeats(tensor);
  Array floats(tensor.shape, DType::kF32);
  if (floats.count() == 0) return floats;
  auto* const to = floats.data<float>();
  if (!tensor.is_contiguous()) {
    const std::vector<std::byte> elements = bytes(tensor);
    to_floats(elements.data(), tensor.type, static_cast<std::size_t>(floats.count()), to);
    return floats;
  }
  const std::size_t size = size_of(tensor.type);
  const std::size_t first = static_cast<std::size_t>(tensor.offset) * size;
  if (tensor.type == ScalarType::kF32) {
    read_storage(tensor.storage, first, std::as_writable_bytes(std::span(to, floats.bytes() / sizeof(float))));
    return floats;
  }
  const auto count = static_cast<std::size_t>(floats.count());
  std::vector<std::byte> part(std::min(kPart, count * size));
  for (std::size_t done = 0; done < count;) {
    const std::size_t now = std::min(part.size() / size, count - done);
    read_storage(tensor.storage, first + done * size, std::span(part).first(now * size));
    to_floats(part.data(), tensor.type, now, to + done);
    done += now;
  }
  return floats;
}

}  // namespace voxshift
