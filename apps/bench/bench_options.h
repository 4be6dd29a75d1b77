// What voxshift-bench is asked to measure.
#pragma once

#include <string>
#include <vector>

namespace voxshift::bench {

struct BenchOptions {
  std::vector<std::string> models;  ///< files, or names of built-in ones; empty: all of those
  std::vector<int> threads;         ///< empty: 1, 2 and 4, as far as the machine has them
  std::vector<std::string> dtypes = {"auto"};
  std::vector<std::string> skips;           ///< off, exact, auto or a threshold; empty: off, exact and auto
  std::vector<std::string> inputs;          ///< scans and raw frames; empty: synthetic ones
  int width = 0, height = 0, rotation = 0;  ///< of raw frames
  int loops = 0;                            ///< 0: as many as `seconds` allow
  int warmup = -1;                          ///< -1: as many as the kind of model needs
  double seconds = 2;
  std::string json;
};

}  // namespace voxshift::bench
