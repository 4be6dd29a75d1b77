#include <voxshift/convert/mmengine_config.h>
#include <voxshift/files/number_text.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <system_error>

namespace voxshift {
namespace {

bool is_in_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// Where the value of NAME=.. begins; npos: nowhere.
std::size_t value_of(const std::string& text, const std::string& name, bool whole_name) {
  for (std::size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) {
    if (whole_name && at > 0 && is_in_name(text[at - 1])) continue;
    std::size_t end = at + name.size();
    while (end < text.size() && text[end] == ' ') ++end;
    if (end < text.size() && text[end] == '=') return end + 1;
  }
  return std::string::npos;
}

// From the bracket at `begin` to its counterpart; empty where it has none.
std::string bracketed(const std::string& text, std::size_t begin) {
  int depth = 0;
  for (std::size_t i = begin; i < text.size(); ++i) {
    if (text[i] == '(' || text[i] == '[') ++depth;
    if ((text[i] == ')' || text[i] == ']') && --depth == 0) return text.substr(begin, i + 1 - begin);
  }
  return {};
}

std::vector<double> numbers_of(const std::string& text) {
  std::vector<double> numbers;
  const char* const last = text.data() + text.size();
  for (const char* at = text.data(); at < last;) {
    double number = 0;
    const auto [end, error] = number_from_chars(at, last, number);
    const bool is_word = end > at && std::isalpha(static_cast<unsigned char>(end[-1])) != 0;  // "inf", "nan"
    if (error == std::errc() && !is_word) numbers.push_back(number);
    at = std::max(end, at + 1);
  }
  return numbers;
}

const Value* found(const StateDict& state, std::initializer_list<const char*> path) {
  const Value* value = &state.checkpoint().root();
  for (const char* key : path)
    if (value != nullptr) value = value->find(key);
  return value;
}

std::string config_of(const StateDict& state) {
  for (const char* key : {"cfg", "config"})
    if (const Value* text = found(state, {"meta", key}); text != nullptr && text->is_string()) return text->as_string();
  return {};
}

// The value of a setting that has one for training and one for testing.
std::int64_t last_of(const std::vector<double>& numbers, std::int64_t most) {
  const double last = numbers.empty() ? -1 : numbers.back();
  return last >= 0 && last <= static_cast<double>(most) ? std::llround(last) : 0;
}

}  // namespace

std::vector<double> numbers_in(const std::string& text, const std::string& dict, const std::string& name) {
  const std::size_t begin = value_of(text, dict, false);
  if (begin == std::string::npos) return {};
  const std::string inner = bracketed(text, text.find('(', begin));
  const std::size_t value = value_of(inner, name, true);
  if (value == std::string::npos) return {};
  std::size_t first = value;
  while (first < inner.size() && std::isspace(static_cast<unsigned char>(inner[first])) != 0) ++first;
  if (first < inner.size() && (inner[first] == '[' || inner[first] == '(')) return numbers_of(bracketed(inner, first));
  return numbers_of(inner.substr(first, inner.find_first_of(",)", first) - first));
}

bool read_voxel_layer(const StateDict& state, Profile& profile) {
  const std::string text = config_of(state);
  const auto numbers = [&](const char* name) { return numbers_in(text, "voxel_layer", name); };
  const std::vector<double> size = numbers("voxel_size"), range = numbers("point_cloud_range");
  if (size.size() != 3 || range.size() != 6 || !profile.cloud) return false;
  const auto metres = [](const std::vector<double>& from, std::size_t first) {
    return std::array<float, 3>{static_cast<float>(from[first]), static_cast<float>(from[first + 1]),
                                static_cast<float>(from[first + 2])};
  };
  profile.name = "of the checkpoint";
  profile.voxelize.voxel_size = VoxelSize(metres(size, 0));
  profile.voxelize.range = Range{metres(range, 0), metres(range, 3)};
  profile.cloud->max_points = last_of(numbers("max_num_points"), kMostBlockPoints);
  profile.cloud->max_voxels = last_of(numbers("max_voxels"), kMostCloudVoxels);
  return true;
}

std::vector<std::string> read_classes(const StateDict& state) {
  std::vector<std::string> classes;
  for (const Value* list : {found(state, {"meta", "dataset_meta", "classes"}),
                            found(state, {"meta", "dataset_meta", "CLASSES"}), found(state, {"meta", "CLASSES"})}) {
    if (list == nullptr || !list->is_sequence()) continue;
    for (const Value& name : list->as_list())
      if (name.is_string()) classes.push_back(name.as_string());
    return classes;
  }
  return classes;
}

}  // namespace voxshift
