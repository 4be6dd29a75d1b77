// docs/detection.md has a page with every key.
#include <voxshift/detection/kernels.h>
#include <voxshift/tasks/detection_head_json.h>
#include <voxshift/tasks/detector.h>
#include <voxshift/tasks/json_object.h>

#include <cmath>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

namespace voxshift {
namespace {

using nlohmann::json;

constexpr std::int64_t kMostBins = 64;
constexpr std::int64_t kMostAnchors = 1024;
constexpr Words<bool> kRotations{{true, "sin_cos"}, {false, "cos_sin"}};
constexpr Words<bool> kPlaces{{true, "edges"}, {false, "centers"}};

json range_to_json(const MapRange& range) { return {{"lowest", range.lowest}, {"highest", range.highest}}; }

MapRange map_range_from(JsonObject document) {
  const MapRange range{document.array<2>("lowest"), document.array<2>("highest")};
  document.expect_no_more();
  return range;
}

json head_to_json(const AnchorHead& head) {
  json anchors = json::array();
  for (const Anchor& anchor : head.anchors)
    anchors.push_back({{"size", anchor.size}, {"z", anchor.z}, {"yaw", anchor.yaw}});
  json document{{"scores", head.scores},
                {"boxes", head.boxes},
                {"range", range_to_json(head.range)},
                {"anchors", anchors},
                {"anchors_at", word_of(kPlaces, head.at_edges)}};
  if (head.directions.empty()) return document;
  document["directions"] = head.directions;
  document["direction_bins"] = head.direction_bins;
  document["direction_offset"] = head.direction_offset;
  return document;
}

json head_to_json(const CenterHead& head) {
  json document{{"heatmap", head.heatmap},
                {"offset", head.offset},
                {"height", head.height},
                {"size", head.size},
                {"rotation", head.rotation},
                {"rotation_is", word_of(kRotations, head.sine_first)},
                {"range", range_to_json(head.range)},
                {"classes", head.classes}};
  if (!head.velocity.empty()) document["velocity"] = head.velocity;
  if (head.radius >= 0) document["radius"] = head.radius;
  return document;
}

AnchorHead anchor_head_from(JsonObject& document) {
  AnchorHead head;
  head.scores = document.text("scores");
  head.boxes = document.text("boxes");
  head.range = map_range_from(document.object("range"));
  head.at_edges = document.word("anchors_at", kPlaces);
  for (JsonObject& anchor : document.objects("anchors")) {
    head.anchors.push_back({anchor.array<3>("size"), anchor.number("z"), anchor.number("yaw")});
    anchor.expect_no_more();
  }
  if (!document.has("directions")) return head;
  head.directions = document.text("directions");
  head.direction_bins = document.whole("direction_bins");
  head.direction_offset = document.number("direction_offset");
  return head;
}

CenterHead center_head_from(JsonObject& document) {
  CenterHead head;
  head.heatmap = document.text("heatmap");
  head.offset = document.text("offset");
  head.height = document.text("height");
  head.size = document.text("size");
  head.rotation = document.text("rotation");
  head.sine_first = document.word("rotation_is", kRotations);
  head.range = map_range_from(document.object("range"));
  for (const std::int64_t one : document.wholes("classes")) head.classes.push_back(static_cast<std::int32_t>(one));
  if (document.has("velocity")) head.velocity = document.text("velocity");
  if (document.has("radius")) head.radius = document.number("radius");
  return head;
}

BoxSelection selection_from(JsonObject document) {
  BoxSelection selection;
  selection.score_threshold = document.number("score_threshold");
  selection.candidates = document.whole("candidates");
  selection.most = document.whole("most");
  selection.per_class = document.flag("per_class");
  selection.overlap = document.number("overlap");
  selection.lowest = document.array<3>("lowest");
  selection.highest = document.array<3>("highest");
  selection.least_size = document.number("least_size");
  selection.most_size = document.number("most_size");
  document.expect_no_more();
  return selection;
}

// The maps of a head are images of one size, with so many channels.
class MapCheck {
 public:
  MapCheck(const Graph& graph, const GraphValues& values) : graph_(graph), values_(values) {}

  void expect(const char* what, const std::string& map, std::int64_t channels) {
    check(std::ranges::find(graph_.outputs, map) != graph_.outputs.end(), "[detection] ", what,
          " expects an output, \"", map, "\" is none");
    const ValueType& type = values_.at(map);
    const Domain::Kind kind = values_.domains[type.domain].kind;
    check(kind == Domain::Kind::kBev || kind == Domain::Kind::kImages, "[detection] ", what, " expects an image, \"",
          map, "\" is none");
    check(!domain_ || *domain_ == type.domain, "[detection] the maps of a head expect one size, \"", map,
          "\" has another");
    domain_ = type.domain;
    check(channels < 0 || type.channels == channels, "[detection] ", what, " expects ", channels, " channels, \"", map,
          "\" has ", type.channels);
  }
  std::int64_t channels(const std::string& map) const { return values_.channels(map); }

 private:
  const Graph& graph_;
  const GraphValues& values_;
  std::optional<int> domain_;
};

void check_range(const MapRange& range) {
  for (std::size_t axis = 0; axis < 2; ++axis)
    check(range.lowest[axis] < range.highest[axis], "[detection] range expects lowest below highest, found ",
          range.lowest[axis], " and ", range.highest[axis]);
}

void check_head(const AnchorHead& head, MapCheck maps, std::size_t classes) {
  const auto anchors = static_cast<std::int64_t>(head.anchors.size());
  check(anchors >= 1 && anchors <= kMostAnchors, "[detection] anchors expects 1 to ", kMostAnchors, ", found ",
        anchors);
  for (const Anchor& anchor : head.anchors)
    check(std::ranges::all_of(anchor.size, [](float size) { return size > 0; }),
          "[detection] size of anchors expects metres above 0");
  maps.expect("scores", head.scores, anchors * static_cast<std::int64_t>(classes));
  maps.expect("boxes", head.boxes, -1);
  const std::int64_t found = maps.channels(head.boxes);
  check(found == 7 * anchors || found == 9 * anchors, "[detection] boxes expects 7 or 9 channels for each of ", anchors,
        " anchors, \"", head.boxes, "\" has ", found);
  check(head.direction_bins >= 1 && head.direction_bins <= kMostBins, "[detection] direction_bins expects 1 to ",
        kMostBins, ", found ", head.direction_bins);
  if (!head.directions.empty()) maps.expect("directions", head.directions, anchors * head.direction_bins);
  check_range(head.range);
}

void check_head(const CenterHead& head, MapCheck maps, std::size_t classes) {
  check(!head.classes.empty(), "[detection] classes expects at least one");
  for (const std::int32_t one : head.classes)
    check(one >= 0 && static_cast<std::size_t>(one) < classes, "[detection] classes expects 0 to ", classes - 1,
          ", found ", one);
  maps.expect("heatmap", head.heatmap, std::ssize(head.classes));
  maps.expect("offset", head.offset, 2);
  maps.expect("height", head.height, 1);
  maps.expect("size", head.size, 3);
  maps.expect("rotation", head.rotation, 2);
  if (!head.velocity.empty()) maps.expect("velocity", head.velocity, 2);
  check_range(head.range);
}

void check_selection(const BoxSelection& selection) {
  check(selection.score_threshold >= 0 && selection.score_threshold < 1,
        "[detection] score_threshold expects 0 to 1, found ", selection.score_threshold);
  check(selection.candidates >= 1 && selection.candidates <= kMostCandidates, "[detection] candidates expects 1 to ",
        kMostCandidates, ", found ", selection.candidates);
  check(selection.most >= 1 && selection.most <= selection.candidates, "[detection] most expects 1 to the ",
        selection.candidates, " candidates, found ", selection.most);
  check(selection.overlap >= 0 && selection.overlap <= 1, "[detection] overlap expects 0 to 1, found ",
        selection.overlap);
  check(selection.least_size >= 0 && selection.least_size <= selection.most_size,
        "[detection] least_size expects 0 to most_size, found ", selection.least_size, " and ", selection.most_size);
}

}  // namespace

json to_json(const DetectionHead& detection) {
  json heads = json::array();
  for (const auto& head : detection.heads)
    heads.push_back(std::visit([](const auto& one) { return head_to_json(one); }, head));
  const BoxSelection& s = detection.selection;
  return {{"heads", heads},
          {"selection",
           {{"score_threshold", s.score_threshold},
            {"candidates", s.candidates},
            {"most", s.most},
            {"per_class", s.per_class},
            {"overlap", s.overlap},
            {"lowest", s.lowest},
            {"highest", s.highest},
            {"least_size", s.least_size},
            {"most_size", s.most_size}}}};
}

DetectionHead detection_head_from_json(const json& given) {
  JsonObject document("detection", given);
  DetectionHead detection;
  for (JsonObject& head : document.objects("heads")) {
    if (head.has("anchors")) {
      detection.heads.emplace_back(anchor_head_from(head));
    } else {
      detection.heads.emplace_back(center_head_from(head));
    }
    head.expect_no_more();
  }
  detection.selection = selection_from(document.object("selection"));
  document.expect_no_more();
  return detection;
}

std::string to_text(const DetectionHead& detection) {
  return to_json(detection).dump(2, ' ', false, json::error_handler_t::replace);
}

DetectionHead detection_head_from_text(const std::string& text) {
  const JsonDocument document = parse_json(text);
  check(!document.value.is_discarded(), "[detection] is not JSON, expected a detection head");
  return detection_head_from_json(document.value);
}

void check_valid(const DetectionHead& detection, const Graph& graph, const GraphValues& values, std::size_t classes) {
  constexpr std::size_t kMostHeads = 64;
  check(!detection.heads.empty() && detection.heads.size() <= kMostHeads, "[detection] heads expects 1 to ", kMostHeads,
        ", found ", detection.heads.size());
  check(classes >= 1, "[detection] expects classes, the model has none");
  for (const auto& head : detection.heads)
    std::visit([&](const auto& one) { check_head(one, MapCheck(graph, values), classes); }, head);
  check_selection(detection.selection);
}

}  // namespace voxshift
