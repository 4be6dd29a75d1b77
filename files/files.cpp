#include <voxshift/files/files.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <system_error>

namespace voxshift {
namespace {

namespace fs = std::filesystem;

// In every locale.
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

/// Without all extensions at its end that begin with a letter.
std::string_view stem_of(std::string_view name) {
  const auto in_extension = [](char c) { return is_letter(c) || is_digit(c) || c == '~'; };
  while (true) {
    const std::size_t dot = name.rfind('.');
    if (dot == std::string_view::npos || dot == 0) return name;
    const std::string_view extension = name.substr(dot + 1);
    if (extension.empty() || is_digit(extension.front()) || !std::ranges::all_of(extension, in_extension)) return name;
    name = name.substr(0, dot);
  }
}

/// '~', the end of a name and digits, letters, all else.
int place_of(std::string_view text) {
  if (text.empty() || is_digit(text.front())) return 0;
  if (text.front() == '~') return -1;
  constexpr int kAfterLetters = 256;
  return static_cast<unsigned char>(text.front()) + (is_letter(text.front()) ? 0 : kAfterLetters);
}

/// Cuts the digits off the front of `text`; returns them without leading zeros.
std::string_view take_number(std::string_view& text) {
  const auto digits = static_cast<std::size_t>(std::ranges::find_if_not(text, is_digit) - text.begin());
  std::string_view number = text.substr(0, digits);
  text.remove_prefix(digits);
  number.remove_prefix(std::min(number.find_first_not_of('0'), number.size()));
  return number;
}

/// Negative where `a` comes first, 0 where only leading zeros tell the two apart.
int compare_names(std::string_view a, std::string_view b) {
  while (!a.empty() || !b.empty()) {
    while (place_of(a) != 0 || place_of(b) != 0) {
      if (place_of(a) != place_of(b)) return place_of(a) - place_of(b);
      a.remove_prefix(1);
      b.remove_prefix(1);
    }
    const std::string_view first = take_number(a), second = take_number(b);
    if (first.size() != second.size()) return first.size() < second.size() ? -1 : 1;
    if (const int order = first.compare(second)) return order;
  }
  return 0;
}

}  // namespace

std::ifstream open_file(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  check<IoError>(fs::exists(status), path.string(),
                 ": cannot be read: ", error ? error.message() : std::string("No such file or directory"));
  check<IoError>(fs::is_regular_file(status), path.string(), ": is not a file");
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  check<IoError>(file.is_open(), path.string(), ": cannot be read: ", std::generic_category().message(errno));
  return file;
}

bool natural_less(std::string_view a, std::string_view b) {
  if (const int order = compare_names(stem_of(a), stem_of(b))) return order < 0;
  const int order = compare_names(a, b);
  return order != 0 ? order < 0 : a < b;
}

std::vector<fs::path> list_files(const fs::path& folder, const std::function<bool(const fs::path&)>& wanted) {
  std::vector<fs::path> files;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::error_code dangling;
    const fs::path& path = entry->path();
    if (!path.filename().string().starts_with('.') && !entry->is_directory(dangling) && wanted(path))
      files.push_back(path);
  }
  check<IoError>(!error, folder.string(), ": cannot be listed: ", error.message());
  std::ranges::sort(files, [](const fs::path& a, const fs::path& b) {
    return natural_less(a.filename().string(), b.filename().string());
  });
  return files;
}

}  // namespace voxshift
