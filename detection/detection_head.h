// What the maps of a detection network mean.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace voxshift {

/// What a map shows, seen from above: metres along x and y.
struct MapRange {
  std::array<float, 2> lowest, highest;
};

/// A box that every cell of a map has, to which found ones are relative.
struct Anchor {
  std::array<float, 3> size;  ///< length, width, height, metres
  float z;                    ///< of its centre, metres
  float yaw;                  ///< radians
};

/// Boxes relative to anchors (SECOND, PointPillars; Yan et al., 2018, Lang et al., 2019). Maps are outputs of the
/// network, by name: images [x, y, channels] over the detection range.
struct AnchorHead {
  std::string scores;           ///< channels a * classes + c: logits of anchor a
  std::string boxes;            ///< a * 7 + i, or a * 9 + i with velocities
  std::string directions;       ///< a * bins + b: logits of the heading's half turns; empty: none
  MapRange range;               ///< of the anchors
  std::vector<Anchor> anchors;  ///< of one cell
  bool at_edges = true;  ///< the first and last ones along an axis lie on the range's edges, else in the middle of
                         ///< their cells
  std::int64_t direction_bins = 2;
  float direction_offset = 0;  ///< radians
};

/// Boxes by their centres (CenterPoint; Yin et al., CVPR 2021), of a group of classes.
struct CenterHead {
  MapRange range;
  std::vector<std::int32_t> classes;  ///< of the heat map's channels
  std::string heatmap;                ///< logits
  std::string offset;                 ///< 2: of the centre from the cell's corner, cells along x and y
  std::string height;                 ///< 1: z of the centre, metres
  std::string size;                   ///< 3: logarithms of length, width, height
  std::string rotation;               ///< 2: cosine and sine of the heading
  std::string velocity;               ///< 2: metres a second; empty: none
  bool sine_first = false;            ///< rotation is sine and cosine
  float radius = -1;                  ///< from 0 on, in place of the selection's overlap: a box suppresses those whose
                                      ///< centres are within this distance, metres
};

/// Which boxes become the result.
struct BoxSelection {
  float score_threshold = 0.1f;    ///< scores are above it
  std::int64_t candidates = 1000;  ///< this many of the highest scores of a head take part, at most 16384
  std::int64_t most = 500;         ///< boxes of a head's result, at most as many
  bool per_class = false;  ///< a box suppresses only those of its own class; with anchors also: an anchor may be
                           ///< several boxes, one a class, else it is its best class's
  float overlap = 0.1f;    ///< boxes seen from above whose intersection over union with a better one is above
                           ///< this are suppressed
  std::array<float, 3> lowest{-1e6f, -1e6f, -1e6f}, highest{1e6f, 1e6f, 1e6f};  ///< of the centres, metres
  float least_size = 0, most_size = 1000;                                       ///< of length, width, height, metres
};

/// All heads of a network. The boxes of different heads leave each other alone.
struct DetectionHead {
  std::vector<std::variant<AnchorHead, CenterHead>> heads;
  BoxSelection selection;
};

}  // namespace voxshift
