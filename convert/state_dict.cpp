#include <voxshift/convert/state_dict.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace voxshift {
namespace {

// Keys under which training code keeps a model's tensors, the usual ones first.
constexpr std::array kWrappers{"state_dict", "model_state", "model_state_dict", "model",   "net",
                               "network",    "module",      "student",          "weights", "params"};

// Keys under which it keeps averages of them.
constexpr std::array kAverages{"state_dict_ema", "ema_state_dict", "model_ema", "ema_model", "ema", "teacher"};

constexpr int kMostWrappers = 4;

bool holds_tensors(const Value& value) {
  if (!value.is_dict()) return false;
  const auto& items = value.as_dict().items;
  return std::any_of(items.begin(), items.end(),
                     [](const auto& item) { return item.first.is_string() && item.second.is_tensor(); });
}

// The dict of tensors in `value`, and the keys that lead there.
struct Found {
  const Dict* dict = nullptr;
  std::string place = {};
};

Found find_dict(const Value& value, const std::string& place, int depth) {
  for (const char* key : kWrappers) {
    const Value* inner = depth < kMostWrappers ? value.find(key) : nullptr;
    if (inner == nullptr || !inner->is_dict()) continue;
    Found found = find_dict(*inner, place.empty() ? key : place + "." + key, depth + 1);
    if (found.dict != nullptr) return found;
  }
  return holds_tensors(value) ? Found{&value.as_dict(), place} : Found{};
}

std::string keys_of(const Value& value) {
  if (!value.is_dict()) return value.is_opaque() ? std::string(value.as_opaque().name) : name(value.kind());
  constexpr std::size_t kMostKeys = 8;
  std::string keys;
  std::size_t count = 0;
  for (const auto& [key, item] : value.as_dict().items) {
    if (!key.is_string()) continue;
    if (++count > kMostKeys) return keys + ", ..";
    keys += (keys.empty() ? "\"" : ", \"") + key.as_string() + "\"";
    if (item.is_opaque()) keys += " (an object of " + std::string(item.as_opaque().name) + ")";
  }
  return keys.empty() ? "an empty dict" : "a dict of " + keys;
}

}  // namespace

StateDict StateDict::find(const Checkpoint& checkpoint) {
  const Value& root = checkpoint.root();
  const Found found = find_dict(root, "", 0);
  check<IoError>(
      found.dict != nullptr, checkpoint.path().string(),
      ": expected a state dict, tensors by name, in the file or under \"state_dict\", \"model\" and the like; "
      "found ",
      keys_of(root));
  StateDict state(checkpoint);
  state.place_ = found.place;
  state.take(*found.dict);
  for (const char* key : kAverages)
    if (found.place != key && root.find(key) != nullptr && root.find(key)->is_dict())
      state.notes_.push_back("left out \"" + std::string(key) + "\", another copy of the weights");
  return state;
}

void StateDict::take(const Dict& dict) {
  std::size_t others = 0;
  for (const auto& [key, value] : dict.items) {
    if (key.is_string() && value.is_tensor())
      tensors_.emplace(key.as_string(), value.as_tensor());
    else
      ++others;
  }
  if (others > 0) notes_.push_back("left out " + std::to_string(others) + " entries that are no tensors");
  const Value* metadata = dict.attributes.find("_metadata");
  if (metadata == nullptr || !metadata->is_dict()) return;
  for (const auto& [module, about] : metadata->as_dict().items) {
    const Value* version = about.find("version");
    if (module.is_string() && version != nullptr && version->kind() == Value::Kind::kInt)
      versions_.emplace(module.as_string(), version->as_int());
  }
}

const Shape& StateDict::shape(const std::string& name) const {
  const auto found = tensors_.find(name);
  check(found != tensors_.end(), "\"", prefix_, name, "\" is missing");
  return found->second.shape;
}

Array StateDict::f32(const std::string& name) const {
  const auto found = tensors_.find(name);
  check(found != tensors_.end(), "\"", prefix_, name, "\" is missing");
  return checkpoint_->f32(found->second);
}

std::map<std::string, Array> StateDict::shapes() const {
  std::map<std::string, Array> result;
  for (const auto& [name, tensor] : tensors_)
    result.emplace(name, Array(nullptr, tensor.shape, DType::kF32, Device::cpu(), nullptr));
  return result;
}

std::optional<std::int64_t> StateDict::version(const std::string& module) const {
  const auto found = versions_.find(module);
  return found == versions_.end() ? std::nullopt : std::optional(found->second);
}

StateDict StateDict::under(const std::string& prefix) const {
  StateDict result(*checkpoint_);
  const auto without = [&](const auto& all, auto& some) {
    for (const auto& [name, value] : all)
      if (name.starts_with(prefix)) some.emplace(name.substr(prefix.size()), value);
  };
  without(tensors_, result.tensors_);
  without(versions_, result.versions_);
  result.place_ = place_;
  result.prefix_ = prefix_ + prefix;
  return result;
}

}  // namespace voxshift
