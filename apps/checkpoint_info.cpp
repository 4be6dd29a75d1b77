#include "checkpoint_info.h"

#include <voxshift/checkpoints/checkpoint.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>
#include <unordered_map>

namespace voxshift {
namespace {

constexpr std::size_t kLongestText = 60;
constexpr std::size_t kMostShown = 8;  // numbers of a list that are shown

// Control characters would steer a terminal; long texts are cut between characters.
std::string shown(std::string text) {
  if (text.size() > kLongestText) {
    std::size_t end = kLongestText;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    text = text.substr(0, end) + "..";
  }
  return one_line(std::move(text));
}

std::string number_text(double number) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.6g", number);
  return text;
}

// The text of a value that fits a line; empty for those that hold others.
std::string plain_text(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kNone:
      return "None";
    case Value::Kind::kBool:
      return value.as_bool() ? "True" : "False";
    case Value::Kind::kInt:
      return std::to_string(value.as_int());
    case Value::Kind::kFloat:
      return number_text(value.as_double());
    case Value::Kind::kString:
      return "\"" + shown(value.as_string()) + "\"";
    case Value::Kind::kBytes:
      return std::to_string(value.as_bytes().size()) + " bytes";
    default:
      return "";
  }
}

std::string sequence_text(const std::vector<Value>& items) {
  std::string text = "[";
  for (std::size_t i = 0; i < std::min(items.size(), kMostShown); ++i)
    text += (i == 0 ? "" : ", ") + plain_text(items[i]);
  return text + (items.size() > kMostShown ? ", .. " + std::to_string(items.size()) + " in all]" : "]");
}

std::string key_text(const Value& key) {
  return key.is_string()     ? shown(key.as_string())
         : key.is_sequence() ? sequence_text(key.as_list())
         : key.is_opaque()   ? std::string(key.as_opaque().name)
                             : plain_text(key);
}

// What a checkpoint holds, by the path of keys that leads there.
class Contents {
 public:
  struct Tensor {
    std::string path;
    const StoredTensor* tensor;
  };

  void add(const std::string& path, const Value& value) {
    const std::string text = plain_text(value);
    if (!text.empty()) {
      values.emplace_back(path, text);
      return;
    }
    if (value.is_tensor()) {
      tensors.push_back({path, &value.as_tensor()});
      return;
    }
    const auto [first, is_new] = seen_.emplace(value.identity(), path);
    const bool is_bare = value.is_sequence() && value.as_list().empty();
    if (!is_new && !is_bare) {
      values.emplace_back(path, "as " + first->second);
      return;
    }
    if (value.is_dict()) add_entries(path, value.as_dict());
    if (value.is_sequence()) add_items(path, value.as_list());
    if (value.is_opaque()) add_object(path, value.as_opaque());
  }

  std::vector<Tensor> tensors;
  std::vector<std::pair<std::string, std::string>> values;
  std::map<std::string, std::size_t, std::less<>> objects;

 private:
  void add_entries(const std::string& path, const Dict& dict) {
    for (const auto& [key, value] : dict.items) add((path.empty() ? "" : path + ".") + key_text(key), value);
    if (path.empty() && dict.items.empty()) values.emplace_back(path, "{}");
  }

  void add_items(const std::string& path, const std::vector<Value>& items) {
    if (std::ranges::none_of(items, [](const Value& item) { return plain_text(item).empty(); })) {
      values.emplace_back(path, sequence_text(items));
      return;
    }
    for (std::size_t i = 0; i < items.size(); ++i) add(path + "[" + std::to_string(i) + "]", items[i]);
  }

  // A module's parameters are worth a look; the state of other objects is not.
  void add_object(const std::string& path, const Opaque& object) {
    ++objects[std::string(object.name)];
    const bool is_root = path.empty();
    if (is_root || object.state.find("_modules") != nullptr) add_state(path, object);
  }

  void add_state(const std::string& path, const Opaque& object) {
    if (object.state.is_dict()) {
      add_entries(path, object.state.as_dict());
    } else if (!object.state.is_none()) {
      add(path, object.state);
    }
    add_entries(path, object.entries);
    if (!object.items.empty()) add_items(path, object.items);
  }

  std::unordered_map<const void*, std::string> seen_;
};

const char* form_of(const Checkpoint& checkpoint) {
  const std::string_view format = checkpoint.format();
  if (format == "zip") return "a checkpoint of PyTorch";
  if (format == "legacy") return "a checkpoint of PyTorch before 1.6";
  return format == "pickle" ? "a pickle" : "a safetensors file without a model of voxshift";
}

void print_tensors(const std::vector<Contents::Tensor>& tensors) {
  if (tensors.empty()) return;
  std::size_t width = 34;
  for (const Contents::Tensor& row : tensors) width = std::max(width, row.path.size());
  std::printf("%-*s %-5s %-18s %12s\n", static_cast<int>(width), "tensor", "type", "shape", "elements");
  for (const auto& [path, tensor] : tensors)
    std::printf("%-*s %-5s %-18s %12lld\n", static_cast<int>(width), path.c_str(), name(tensor->type),
                to_string(tensor->shape).c_str(), static_cast<long long>(tensor->count()));
  std::printf("\n");
}

void print_values(const std::vector<std::pair<std::string, std::string>>& values) {
  if (values.empty()) return;
  std::size_t width = 34;
  for (const auto& [path, text] : values) width = std::max(width, path.size());
  std::printf("%-*s value\n", static_cast<int>(width), "key");
  for (const auto& [path, text] : values) std::printf("%-*s %s\n", static_cast<int>(width), path.c_str(), text.c_str());
  std::printf("\n");
}

void print_objects(const std::map<std::string, std::size_t, std::less<>>& objects) {
  if (objects.empty()) return;
  std::printf("Objects of other classes, not read:");
  const char* before = " ";
  for (const auto& [name, count] : objects) {
    std::printf("%s%s%s", before, shown(name).c_str(),
                count > 1 ? (" (" + std::to_string(count) + " times)").c_str() : "");
    before = ", ";
  }
  std::printf("\n\n");
}

}  // namespace

void print_checkpoint(const std::filesystem::path& path) {
  const Checkpoint checkpoint = Checkpoint::read(path);
  Contents contents;
  contents.add("", checkpoint.root());
  std::set<std::size_t> storages;
  std::size_t bytes = 0;
  for (const Contents::Tensor& row : contents.tensors)
    if (storages.insert(row.tensor->storage).second) bytes += checkpoint.storage_bytes(row.tensor->storage);
  std::printf("%s: %s, %zu tensors, %.2f MB\n\n", path.string().c_str(), form_of(checkpoint), contents.tensors.size(),
              static_cast<double>(bytes) / 1e6);
  print_tensors(contents.tensors);
  print_values(contents.values);
  print_objects(contents.objects);
  std::printf("No model yet: `voxshift convert %s -o MODEL.safetensors` makes one of the networks that it knows.\n",
              path.string().c_str());
}

}  // namespace voxshift
