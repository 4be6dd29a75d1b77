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

// A dict of tensors, and the keys that lead there.
struct Found {
  const Dict* dict = nullptr;
  std::vector<std::string> keys = {};
};

Found find_dict(const Value& value, int depth = 0);

Found find_under(const std::string& key, const Value& value, int depth) {
  Found found = find_dict(value, depth);
  if (found.dict != nullptr) found.keys.insert(found.keys.begin(), key);
  return found;
}

Found find_dict(const Value& value, int depth) {
  for (const char* key : kWrappers) {
    const Value* inner = depth < kMostWrappers ? value.find(key) : nullptr;
    if (inner == nullptr) continue;
    Found found = find_under(key, *inner, depth + 1);
    if (found.dict != nullptr) return found;
  }
  return holds_tensors(value) ? Found{&value.as_dict()} : Found{};
}

// All that lie under a key of `value`, whatever it is called.
std::vector<Found> all_under(const Value& value) {
  std::vector<Found> all;
  if (!value.is_dict()) return all;
  for (const auto& [key, item] : value.as_dict().items) {
    if (!key.is_string()) continue;
    Found found = find_under(key.as_string(), item, 1);
    if (found.dict != nullptr) all.push_back(std::move(found));
  }
  return all;
}

bool is_average(const std::string& key) {
  return std::any_of(kAverages.begin(), kAverages.end(), [&](const char* known) { return key == known; });
}

// Where no key is a usual one: averages of the weights, else the only one that there is.
Found find_unusual(const Value& root) {
  std::vector<Found> all = all_under(root);
  const auto average =
      std::find_if(all.begin(), all.end(), [](const Found& found) { return is_average(found.keys.front()); });
  if (average != all.end()) return *average;
  return all.size() == 1 ? all.front() : Found{};
}

std::string joined(const std::vector<std::string>& keys) {
  std::string place;
  for (const std::string& key : keys) place += (place.empty() ? "" : ".") + key;
  return place;
}

// Other dicts of tensors beside the one that is taken, a line each.
std::vector<std::string> notes_on_others(const Value& root, const std::vector<std::string>& taken) {
  std::vector<std::string> notes;
  const Value* value = &root;
  for (const std::string& step : taken) {
    for (const Found& other : all_under(*value))
      if (other.keys.front() != step)
        notes.push_back("left out \"" + joined(other.keys) + "\", " +
                        (is_average(other.keys.front()) ? "another copy of the weights" : "which holds tensors, too"));
    value = value->find(step);
  }
  return notes;
}

bool is_module(const Value& value) { return value.is_opaque() && value.as_opaque().state.find("_modules") != nullptr; }

// What is to be done about a checkpoint without a state dict that could be taken.
std::string advice(const Value& root) {
  const auto holds_module = [](const Dict& dict) {
    return std::any_of(dict.items.begin(), dict.items.end(), [](const auto& item) { return is_module(item.second); });
  };
  if (is_module(root) || (root.is_dict() && holds_module(root.as_dict())))
    return "; of a whole module save torch.save(module.state_dict(), ..)";
  return all_under(root).size() > 1 ? "; save the one that is wanted by itself: torch.save(checkpoint[..], ..)" : "";
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
  Found found = find_dict(root);
  if (found.dict == nullptr) found = find_unusual(root);
  check<IoError>(
      found.dict != nullptr, checkpoint.path().string(),
      ": expected a state dict, tensors by name, in the file or under \"state_dict\", \"model\" and the like; "
      "found ",
      keys_of(root), advice(root));
  StateDict state(checkpoint);
  state.place_ = joined(found.keys);
  state.take(*found.dict);
  for (std::string& note : notes_on_others(root, found.keys)) state.notes_.push_back(std::move(note));
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

std::int64_t StateDict::extent(const std::string& name, std::size_t axis) const {
  const Shape& its = shape(name);
  check(axis < its.size() && its[axis] >= 1, "\"", prefix_, name, "\" is ", its, ", expected ", axis + 1,
        " axes or more, of numbers");
  return its[axis];
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
