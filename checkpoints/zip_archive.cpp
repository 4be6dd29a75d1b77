#include <voxshift/checkpoints/zip_archive.h>
#include <zip.h>

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

namespace voxshift {
namespace {

zip_stat_t status_of(zip_t* archive, std::uint64_t entry) {
  zip_stat_t status;
  check<IoError>(zip_stat_index(archive, entry, 0, &status) == 0 && (status.valid & ZIP_STAT_SIZE) != 0 &&
                     (status.valid & ZIP_STAT_COMP_SIZE) != 0,
                 "is a zip archive with an entry of unknown size");
  return status;
}

// A stored entry as it lies there: no checksum, which torch.save may leave out. PyTorch checks none either.
std::shared_ptr<zip_file_t> open_entry(zip_t* archive, std::uint64_t entry) {
  const zip_stat_t status = status_of(archive, entry);
  const bool stored = (status.valid & ZIP_STAT_COMP_METHOD) != 0 && status.comp_method == ZIP_CM_STORE &&
                      (status.valid & ZIP_STAT_ENCRYPTION_METHOD) != 0 && status.encryption_method == ZIP_EM_NONE;
  zip_file_t* opened = zip_fopen_index(archive, entry, stored ? ZIP_FL_COMPRESSED : 0);
  check<IoError>(opened != nullptr, "is a damaged zip archive: ", zip_strerror(archive));
  return {opened, [](zip_file_t* file) { zip_fclose(file); }};
}

std::size_t read_some(zip_file_t* file, void* out, std::size_t bytes) {
  const zip_int64_t got = zip_fread(file, out, bytes);
  check<IoError>(got >= 0, "is a damaged zip archive: ", zip_file_strerror(file));
  return static_cast<std::size_t>(got);
}

void skip_bytes(zip_file_t* file, std::uint64_t bytes) {
  if (bytes == 0 || zip_fseek(file, static_cast<zip_int64_t>(bytes), SEEK_SET) == 0) return;
  std::array<char, 1 << 14> scratch;
  while (bytes > 0) {
    const std::size_t got = read_some(file, scratch.data(), std::min<std::uint64_t>(bytes, scratch.size()));
    check<IoError>(got > 0, "is cut: an entry of the zip archive ends early");
    bytes -= got;
  }
}

}  // namespace

ZipArchive::ZipArchive(const std::filesystem::path& path) {
  int code = 0;
  archive_ = zip_open(path.string().c_str(), ZIP_RDONLY, &code);
  if (archive_ == nullptr) {
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    const std::string text = zip_error_strerror(&error);
    zip_error_fini(&error);
    throw IoError("is a zip archive that is cut or damaged: " + text);
  }
  const zip_int64_t count = zip_get_num_entries(archive_, 0);
  for (zip_int64_t entry = 0; entry < count; ++entry) {
    const char* name = zip_get_name(archive_, static_cast<zip_uint64_t>(entry), ZIP_FL_ENC_RAW);
    names_.emplace_back(name == nullptr ? "" : name);
    entries_.emplace(names_.back(), entry);
  }
}

ZipArchive::~ZipArchive() {
  current_.reset();
  zip_discard(archive_);
}

std::optional<std::uint64_t> ZipArchive::find(const std::string& name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? std::nullopt : std::optional(found->second);
}

std::uint64_t ZipArchive::bytes(std::uint64_t entry) const { return status_of(archive_, entry).size; }
std::uint64_t ZipArchive::packed_bytes(std::uint64_t entry) const { return status_of(archive_, entry).comp_size; }

std::function<std::size_t(char*, std::size_t)> ZipArchive::open(std::uint64_t entry) const {
  return
      [file = open_entry(archive_, entry)](char* out, std::size_t bytes) { return read_some(file.get(), out, bytes); };
}

void ZipArchive::read(std::uint64_t entry, std::uint64_t offset, std::span<std::byte> out) {
  const std::lock_guard lock(mutex_);
  const bool goes_on = current_ && current_entry_ == entry && current_offset_ == offset;
  const std::shared_ptr<zip_file_t> file = goes_on ? std::exchange(current_, nullptr) : open_entry(archive_, entry);
  if (!goes_on) skip_bytes(file.get(), offset);
  current_.reset();
  current_entry_ = entry;
  current_offset_ = offset + out.size();
  while (!out.empty()) {
    const std::size_t got = read_some(file.get(), out.data(), out.size());
    check<IoError>(got > 0, "is cut: an entry of the zip archive ends early");
    out = out.subspan(got);
  }
  current_ = file;
}

}  // namespace voxshift
