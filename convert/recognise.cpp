#include <voxshift/convert/recognise.h>

#include <algorithm>
#include <array>
#include <deque>
#include <utility>

namespace voxshift {
namespace {

// What training code puts before all names, what is looked for first at the front.
constexpr std::array kPrefixes{"module.",  "_orig_mod.", "model.", "net.",     "network.",
                               "student.", "backbone.",  "ema.",   "teacher.", "net3d."};

constexpr std::size_t kMostDepth = 4;

// What all names begin with up to their first dot; empty where they differ.
std::string common_prefix(const StateDict& state) {
  if (state.tensors().empty()) return "";
  const std::string& first = state.tensors().begin()->first;
  const std::string prefix = first.substr(0, first.find('.') + 1);  // empty without a dot
  return state.tensors().rbegin()->first.starts_with(prefix) ? prefix : "";
}

// The state dict, then what is under one prefix, then under two, ..
std::vector<StateDict> candidates_of(const StateDict& state) {
  std::vector<StateDict> result{state};
  std::vector<std::size_t> depths{0};
  for (std::size_t i = 0; i < result.size(); ++i) {
    if (depths[i] == kMostDepth) continue;
    std::vector<std::string> prefixes(kPrefixes.begin(), kPrefixes.end());
    const std::string common = common_prefix(result[i]);
    if (!common.empty() && std::find(prefixes.begin(), prefixes.end(), common) == prefixes.end())
      prefixes.push_back(common);
    for (const std::string& prefix : prefixes) {
      StateDict inner = result[i].under(prefix);
      if (inner.tensors().empty()) continue;
      result.push_back(std::move(inner));
      depths.push_back(depths[i] + 1);
    }
  }
  return result;
}

const Source* source_of(const StateDict& state, const std::string& from) {
  for (const Source& source : sources())
    if ((from == "auto" || from == source.name) && source.recognises(state)) return &source;
  return nullptr;
}

std::string quoted_names(const StateDict& state) {
  constexpr std::size_t kMostNames = 3;
  std::string names;
  std::size_t count = 0;
  for (const auto& [name, tensor] : state.tensors()) {
    if (count++ == kMostNames) return names + ", ..";
    names += (names.empty() ? "\"" : ", \"") + name + "\" " + to_string(tensor.shape);
  }
  return names;
}

std::string joined_names() {
  std::string names;
  for (const std::string& name : source_names()) names += (names.empty() ? "" : ", ") + name;
  return names;
}

// What of the whole state dict lies outside of the prefix.
std::vector<std::string> notes_on_rest(const StateDict& all, const StateDict& taken) {
  std::vector<std::string> notes = all.notes();
  std::size_t copies = 0;
  std::string first;
  for (const auto& [name, tensor] : all.tensors()) {
    if (name.starts_with(taken.prefix())) continue;
    const bool is_copy = std::any_of(kPrefixes.begin(), kPrefixes.end(), [&whole = name, &taken](const char* prefix) {
      const std::size_t length = std::char_traits<char>::length(prefix);
      return whole.starts_with(prefix) && taken.has(whole.substr(length));
    });
    check(is_copy || tensor.count() == 1, "[convert] \"", name, "\" ", tensor.shape, " is outside of \"",
          taken.prefix(), "\", where a network was recognised, and has no place in it");
    if (copies++ == 0) first = name;
  }
  if (copies > 0)
    notes.push_back("left out " + std::to_string(copies) + " tensors outside of \"" + taken.prefix() +
                    "\", another copy of the weights or single numbers (\"" + first + "\")");
  return notes;
}

}  // namespace

std::vector<std::string> source_names() {
  std::vector<std::string> names;
  for (const Source& source : sources())
    if (names.empty() || names.back() != source.name) names.emplace_back(source.name);
  return names;
}

Recognised recognise(const StateDict& state, const std::string& from) {
  const std::vector<std::string> names = source_names();
  check(from == "auto" || std::find(names.begin(), names.end(), from) != names.end(),
        "[convert] from expects auto or one of ", joined_names(), ", found \"", from, "\"");
  for (StateDict& candidate : candidates_of(state)) {
    const Source* source = source_of(candidate, from);
    if (source == nullptr) continue;
    std::vector<std::string> notes = notes_on_rest(state, candidate);
    return {source, std::move(candidate), std::move(notes)};
  }
  throw InvalidArgument("[convert] expected the tensors of " + (from == "auto" ? joined_names() : from) + ", found " +
                        std::to_string(state.tensors().size()) + ": " + quoted_names(state) +
                        "; where the network's code runs, voxshift.torch.export makes a model of any");
}

}  // namespace voxshift
