// The data sets' class tables and maps of raw ids, entry by entry.
#include <voxshift/tasks/protocol.h>

#include <set>

#include "device_fixture.h"

namespace voxshift {
namespace {

using Ids = std::map<std::uint32_t, int>;

// learning_map of semantic-kitti.yaml; 0 is ignored.
const Ids kSemanticKitti{{0, 0},   {1, 0},   {10, 1},  {11, 2},  {13, 5},  {15, 3},  {16, 5},  {18, 4},  {20, 5},
                         {30, 6},  {31, 7},  {32, 8},  {40, 9},  {44, 10}, {48, 11}, {49, 12}, {50, 13}, {51, 14},
                         {52, 0},  {60, 9},  {70, 15}, {71, 16}, {72, 17}, {80, 18}, {81, 19}, {99, 0},  {252, 1},
                         {253, 7}, {254, 6}, {255, 8}, {256, 5}, {257, 5}, {258, 4}, {259, 5}};

void expect_map(const LearningMap& map, const Ids& expected) {
  EXPECT_EQ(map.size(), expected.size());
  for (const auto& [raw, id] : expected) {
    ASSERT_TRUE(map.contains(raw)) << raw;
    EXPECT_EQ(map.at(raw), id == 0 ? kUnlabelled : id - 1) << raw;
  }
}

TEST(Protocol, SemanticKittiAsItsEvaluator) {
  const Protocol& protocol = find_protocol("semantickitti");
  expect_map(protocol.truth, kSemanticKitti);
  expect_map(protocol.predictions, kSemanticKitti);
  EXPECT_EQ(protocol.absent, AbsentClass::kZero);
  EXPECT_FALSE(protocol.byte_labels);
}

TEST(Protocol, SpvnasIgnoresMore) {
  Ids expected = kSemanticKitti;
  for (const std::uint32_t raw : {13, 16, 60, 256, 257}) expected[raw] = 0;
  const Protocol& protocol = find_protocol("spvnas");
  expect_map(protocol.truth, expected);
  expect_map(protocol.predictions, expected);
  EXPECT_EQ(protocol.absent, AbsentClass::kOne);
  EXPECT_EQ(protocol.classes.size(), 19U);
}

TEST(Protocol, NuscenesCategories) {
  const std::vector<int> classes{0, 0, 7, 7, 7, 0, 7, 0,  0,  1,  0,  0,  8,  0, 2,  3,
                                 3, 4, 5, 0, 0, 6, 9, 10, 11, 12, 13, 14, 15, 0, 16, 0};
  Ids truth, predictions;
  for (std::uint32_t raw = 0; raw < 32; ++raw) truth[raw] = classes[raw];
  for (int raw = 0; raw <= 16; ++raw) predictions[static_cast<std::uint32_t>(raw)] = raw;
  const Protocol& protocol = find_protocol("nuscenes");
  expect_map(protocol.truth, truth);
  expect_map(protocol.predictions, predictions);
  EXPECT_EQ(protocol.absent, AbsentClass::kLeftOut);
  EXPECT_TRUE(protocol.byte_labels);
}

TEST(Protocol, WaymoClassesInOrder) {
  Ids expected;
  for (int raw = 0; raw <= 22; ++raw) expected[static_cast<std::uint32_t>(raw)] = raw;
  expect_map(find_protocol("waymo").truth, expected);
  expect_map(find_protocol("waymo").predictions, expected);
}

TEST(Protocol, ClassesHaveNamesIdsAndColoursOfTheirOwn) {
  const std::map<std::string, std::size_t> sizes{
      {"semantickitti", 19}, {"spvnas", 19}, {"nuscenes", 16}, {"waymo", 22}};
  EXPECT_EQ(known_protocols().size(), sizes.size());
  for (const Protocol& protocol : known_protocols()) {
    SCOPED_TRACE(protocol.name);
    const std::size_t classes = protocol.classes.size();
    EXPECT_EQ(classes, sizes.at(protocol.name));
    std::set<std::string> names;
    std::set<std::uint32_t> ids;
    std::set<std::array<std::uint8_t, 3>> colours;
    for (const ClassInfo& info : protocol.classes) {
      names.insert(info.name);
      ids.insert(info.raw_id);
      colours.insert(info.rgb);
    }
    EXPECT_EQ(names.size(), classes);
    EXPECT_EQ(ids.size(), classes);
    EXPECT_EQ(colours.size(), classes);
    // What a model writes is what predictions are read as.
    for (std::size_t id = 0; id < classes; ++id) EXPECT_EQ(protocol.predictions.at(protocol.classes[id].raw_id), id);
  }
}

TEST(TrainIds, OfWordsWithInstances) {
  const LearningMap& map = find_protocol("semantickitti").truth;
  const std::vector<std::uint32_t> words{10, (7U << 16) | 252, (0xFFFFU << 16) | 81, 0, 60};
  EXPECT_EQ(train_ids(words, map), (std::vector<std::uint8_t>{0, 0, 18, kUnlabelled, 8}));
  EXPECT_TRUE(train_ids({}, map).empty());
}

TEST(TrainIds, Refused) {
  const LearningMap& map = find_protocol("semantickitti").truth;
  expect_throw(
      [&] {
        train_ids(std::vector<std::uint32_t>{10, 0, (1U << 16) | 17, 999}, map);
      },
      {"raw id", "found 17 at point 2"});
  expect_throw([&] { train_ids(std::vector<std::uint32_t>{65535}, map); }, {"found 65535 at point 0"});
  expect_throw([] { find_protocol("kitti"); }, {"semantickitti, spvnas, nuscenes, waymo", "\"kitti\""});
}

}  // namespace
}  // namespace voxshift
