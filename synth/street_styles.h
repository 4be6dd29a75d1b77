// What the kinds of streets are like.
#pragma once

namespace voxshift {

struct Interval {
  double low, high;
};

/// One kind of street. Lengths in metres, shares in 0..1.
struct StreetStyle {
  double share;  ///< of all scenes
  Interval half_width, kerb, sidewalk;
  double verge;                     ///< share of sides with grass between kerb and sidewalk
  double sidewalk_share;            ///< of sides that have one
  double parking_lane;              ///< share of sides with one
  double parked;                    ///< share of its places that are taken
  double double_parked;             ///< cars on the carriageway or half on the sidewalk, share of places
  double built;                     ///< share of plots with a house
  Interval setback, plot, height;   ///< of houses behind the sidewalk; length of plots; height of houses
  double closed;                    ///< share of fronts with a hedge, fence or wall
  double garden;                    ///< bushes and trees per plot
  double street_trees;              ///< share of sides with a row of trees
  double bank;                      ///< highest slope of open ground
  double rails;                     ///< share of sides with a guard rail
  double background;                ///< share of far cells with trees or thickets
  int side_roads, traffic, people;  ///< at most: people per side
};

// Chosen by eye and by the statistics of KITTI's suburbs: shares of classes, occlusion, points per distance.
inline constexpr StreetStyle kStreetStyles[] = {
    // residential street with gardens
    {.share = 0.34,
     .half_width = {2.4, 4},
     .kerb = {0.03, 0.14},
     .sidewalk = {1, 2.6},
     .verge = 0.2,
     .sidewalk_share = 0.85,
     .parking_lane = 0.6,
     .parked = 0.5,
     .double_parked = 0.12,
     .built = 0.85,
     .setback = {2, 10},
     .plot = {9, 18},
     .height = {4, 9},
     .closed = 0.5,
     .garden = 3,
     .street_trees = 0.25,
     .bank = 0.08,
     .rails = 0,
     .background = 0.45,
     .side_roads = 2,
     .traffic = 2,
     .people = 4},
    // town: facades at the sidewalk
    {.share = 0.2,
     .half_width = {2.8, 5.5},
     .kerb = {0.06, 0.16},
     .sidewalk = {1.5, 4},
     .verge = 0.1,
     .sidewalk_share = 1,
     .parking_lane = 0.7,
     .parked = 0.65,
     .double_parked = 0.1,
     .built = 0.9,
     .setback = {0, 0.8},
     .plot = {8, 22},
     .height = {8, 20},
     .closed = 0.1,
     .garden = 0.4,
     .street_trees = 0.35,
     .bank = 0.02,
     .rails = 0,
     .background = 0.2,
     .side_roads = 2,
     .traffic = 3,
     .people = 8},
    // suburb: hedges, walls, big trees, houses set back
    {.share = 0.22,
     .half_width = {2.2, 3.5},
     .kerb = {0, 0.1},
     .sidewalk = {1, 2},
     .verge = 0.45,
     .sidewalk_share = 0.6,
     .parking_lane = 0.2,
     .parked = 0.4,
     .double_parked = 0.12,
     .built = 0.7,
     .setback = {6, 25},
     .plot = {14, 30},
     .height = {4, 8},
     .closed = 0.55,
     .garden = 6,
     .street_trees = 0.4,
     .bank = 0.15,
     .rails = 0,
     .background = 0.6,
     .side_roads = 2,
     .traffic = 1,
     .people = 3},
    // fields and woods
    {.share = 0.14,
     .half_width = {2.3, 3.8},
     .kerb = {0, 0.03},
     .sidewalk = {1.2, 2},
     .verge = 0.8,
     .sidewalk_share = 0.12,
     .parking_lane = 0.05,
     .parked = 0.3,
     .double_parked = 0.04,
     .built = 0.08,
     .setback = {10, 40},
     .plot = {25, 60},
     .height = {4, 8},
     .closed = 0.12,
     .garden = 2,
     .street_trees = 0.3,
     .bank = 0.35,
     .rails = 0.12,
     .background = 0.5,
     .side_roads = 1,
     .traffic = 2,
     .people = 2},
    // wide road
    {.share = 0.1,
     .half_width = {5, 9},
     .kerb = {0, 0.14},
     .sidewalk = {1.5, 3},
     .verge = 0.7,
     .sidewalk_share = 0.4,
     .parking_lane = 0.1,
     .parked = 0.4,
     .double_parked = 0.02,
     .built = 0.3,
     .setback = {8, 40},
     .plot = {20, 45},
     .height = {6, 16},
     .closed = 0.25,
     .garden = 2,
     .street_trees = 0.3,
     .bank = 0.25,
     .rails = 0.4,
     .background = 0.45,
     .side_roads = 1,
     .traffic = 6,
     .people = 2},
};

}  // namespace voxshift
