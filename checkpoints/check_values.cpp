#include <voxshift/checkpoints/content.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace voxshift {
namespace {

constexpr std::size_t kDeepest = 100;
// Values of the tree in which each place that refers to an object has a copy of it: what a walk over it meets.
constexpr std::uint64_t kMostVisits = 4 * std::uint64_t{ValueArena::kMostObjects};

void check_keys(const Dict& dict) {
  std::unordered_set<std::string_view> texts;
  std::unordered_set<std::int64_t> numbers;
  for (const auto& [key, value] : dict.items) {
    const bool is_new = key.is_string()                   ? texts.insert(key.as_string()).second
                        : key.kind() == Value::Kind::kInt ? numbers.insert(key.as_int()).second
                                                          : true;
    check<IoError>(is_new, "is damaged: a dict has the key ", key.is_string() ? key.as_string() : "of a number",
                   " twice");
  }
}

void add_entries(std::vector<Value*>& places, Dict& dict) {
  check_keys(dict);
  for (auto& [key, value] : dict.items) {
    places.push_back(&key);
    places.push_back(&value);
  }
  places.push_back(&dict.attributes);
}

// Where an object refers to others.
std::vector<Value*> places_of(const Value& value) {
  std::vector<Value*> places;
  if (value.is_dict()) add_entries(places, ValueArena::entries(value));
  if (value.is_sequence())
    for (Value& item : ValueArena::items(value)) places.push_back(&item);
  if (value.is_opaque()) {
    Opaque& object = ValueArena::placeholder(value);
    places = {&object.arguments, &object.state};
    for (Value& item : object.items) places.push_back(&item);
    add_entries(places, object.entries);
  }
  return places;
}

bool holds_others(const Value& value) { return value.is_dict() || value.is_sequence() || value.is_opaque(); }

struct Extent {
  std::uint64_t visits = 1;  // 0: not known yet, it is being visited
  std::size_t height = 1;
};

struct Visit {
  Value value;
  std::vector<Value*> places;
  std::size_t next = 0;
  Extent extent{};

  void add(const Extent& child) {
    extent.visits += child.visits;
    extent.height = std::max(extent.height, child.height + 1);
    check<IoError>(extent.visits <= kMostVisits, "refers to its objects more than ", kMostVisits, " times");
  }
};

}  // namespace

void check_values(CheckpointContent& content) {
  std::unordered_map<const void*, Extent> extents;
  std::vector<Visit> path;
  const auto enter = [&](const Value& value) {
    check<IoError>(path.size() < kDeepest, "nests objects more than ", kDeepest, " deep");
    extents[value.identity()] = {0, 0};
    path.push_back({value, places_of(value)});
  };
  if (holds_others(content.root)) enter(content.root);
  while (!path.empty()) {
    Visit& visit = path.back();
    if (visit.next == visit.places.size()) {
      const Extent extent = extents[visit.value.identity()] = visit.extent;
      check<IoError>(path.size() + extent.height <= kDeepest + 1, "nests objects more than ", kDeepest, " deep");
      path.pop_back();
      if (!path.empty()) path.back().add(extent);
      continue;
    }
    Value& place = *visit.places[visit.next++];
    if (!holds_others(place)) {
      visit.add({1, 0});
      continue;
    }
    const auto known = extents.find(place.identity());
    if (known == extents.end()) {
      enter(place);
    } else if (known->second.visits > 0) {
      visit.add(known->second);
    } else {
      check<IoError>(place.is_opaque(), "is damaged: ", name(place.kind()), " holds itself");
      place = content.arena.opaque({place.as_opaque().name, place.as_opaque().is_object});
    }
  }
}

}  // namespace voxshift
