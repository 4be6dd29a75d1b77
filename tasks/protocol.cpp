#include <voxshift/tasks/protocol.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <initializer_list>
#include <utility>

namespace voxshift {
namespace {

constexpr std::uint32_t kRawIds = 1 << 16;

struct Merged {
  const char* name;                              ///< class, empty: ignored
  std::initializer_list<std::uint32_t> raw_ids;  ///< beside the class's own
};

/// Every class's own raw id and the merged ones.
LearningMap learning_map(const std::vector<ClassInfo>& classes, std::initializer_list<Merged> merged) {
  LearningMap map;
  const auto train_id = [&](const std::string& name) {
    const auto found = std::ranges::find(classes, name, &ClassInfo::name);
    return found == classes.end() ? kUnlabelled : static_cast<std::uint8_t>(found - classes.begin());
  };
  for (const ClassInfo& info : classes) map[info.raw_id] = train_id(info.name);
  for (const auto& [name, raw_ids] : merged)
    for (const std::uint32_t raw : raw_ids) map[raw] = train_id(name);
  return map;
}

Protocol semantic_kitti_protocol() {
  const auto& classes = semantic_kitti_classes();
  const LearningMap map = learning_map(classes, {{"", {0, 1, 52, 99}},
                                                 {"car", {252}},
                                                 {"truck", {258}},
                                                 {"other-vehicle", {13, 16, 256, 257, 259}},
                                                 {"person", {254}},
                                                 {"bicyclist", {253}},
                                                 {"motorcyclist", {255}},
                                                 {"road", {60}}});
  return {"semantickitti", classes, map, map, AbsentClass::kZero};
}

Protocol spvnas_protocol() {
  Protocol protocol = semantic_kitti_protocol();
  protocol.name = "spvnas";
  for (const std::uint32_t raw : {13, 16, 60, 256, 257}) protocol.truth[raw] = kUnlabelled;
  protocol.predictions = protocol.truth;
  protocol.absent = AbsentClass::kOne;
  return protocol;
}

// Ground truth has the categories of nuScenes-lidarseg, 0 to 31; what is submitted has the numbers of the classes.
Protocol nuscenes_protocol() {
  const auto& classes = nuscenes_classes();
  LearningMap truth;
  for (const auto& [raw, class_id] : std::initializer_list<std::pair<std::uint32_t, std::uint8_t>>{
           {2, 7},  {3, 7},  {4, 7},  {6, 7},   {9, 1},   {12, 8},  {14, 2},  {15, 3},  {16, 3},  {17, 4},
           {18, 5}, {21, 6}, {22, 9}, {23, 10}, {24, 11}, {25, 12}, {26, 13}, {27, 14}, {28, 15}, {30, 16}})
    truth[raw] = static_cast<std::uint8_t>(class_id - 1);
  for (const std::uint32_t raw : {0, 1, 5, 7, 8, 10, 11, 13, 19, 20, 29, 31}) truth[raw] = kUnlabelled;
  return {"nuscenes", classes, truth, learning_map(classes, {{"", {0}}}), AbsentClass::kLeftOut, true};
}

Protocol waymo_protocol() {
  const auto& classes = waymo_classes();
  const LearningMap map = learning_map(classes, {{"", {0}}});
  return {"waymo", classes, map, map, AbsentClass::kLeftOut};
}

}  // namespace

const std::vector<Protocol>& known_protocols() {
  static const std::vector<Protocol> protocols{semantic_kitti_protocol(), spvnas_protocol(), nuscenes_protocol(),
                                               waymo_protocol()};
  return protocols;
}

const Protocol& find_protocol(const std::string& name) {
  std::string known;
  for (const Protocol& protocol : known_protocols()) {
    if (protocol.name == name) return protocol;
    known += (known.empty() ? "" : ", ") + protocol.name;
  }
  throw InvalidArgument("[protocol] expected one of " + known + ", found \"" + name + "\"");
}

std::vector<std::uint8_t> train_ids(std::span<const std::uint32_t> words, const LearningMap& map) {
  constexpr std::int16_t kUnknown = -1;
  std::vector<std::int16_t> table(kRawIds, kUnknown);
  for (const auto& [raw, train_id] : map)
    if (raw < kRawIds) table[raw] = train_id;
  std::vector<std::uint8_t> ids(words.size());
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::uint32_t raw = words[i] % kRawIds;
    check(table[raw] != kUnknown, "[train_ids] expected a raw id of the data set, found ", raw, " at point ", i);
    ids[i] = static_cast<std::uint8_t>(table[raw]);
  }
  return ids;
}

}  // namespace voxshift
