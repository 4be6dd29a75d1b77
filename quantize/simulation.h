// A network run node by node in f32, some of it as i8 would compute it.
#pragma once

#include <voxshift/engine/session.h>
#include <voxshift/quantize/rounding.h>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace voxshift {

/// Scales by value, one per channel.
using ValueScales = std::map<std::string, std::vector<float>>;

/// What a run is to do beside computing the network's outputs in f32.
struct SimulatedRun {
  /// Products, by node, that read their input rounded and multiply by rounded weights.
  const std::set<std::string>* narrow = nullptr;

  /// Values that are rounded where they are made.
  const ValueScales* stored = nullptr;

  /// Called with the rows of each node's value, f32 as computed, before they are rounded.
  std::function<void(const std::string& value, const ConstRowView& rows)> observe = {};

  /// Called with the rows of every product that has rounded weights, and with those that the product of the rounded
  /// input and weights would have.
  std::function<void(const std::string& product, const ConstRowView& exact, const ConstRowView& rounded)> compare = {};
};

/// Holds a network's plan, each node one step, twice: with its own and with rounded weights.
class Simulation {
 public:
  Simulation(const Network& network, const Threads& threads);
  ~Simulation();
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;

  /// The same network with rounded weights, and the scales of the values that products read.
  void set_rounded(const Network& rounded, ValueScales scales);

  /// Every output, f32 [rows, channels], in the graph's order. Throws as Session::run.
  std::vector<Array> run(const Inputs& inputs, const SimulatedRun& wanted = {});

  /// Rows and multiply-adds of each step of the last run, under the names of nodes; and whether such a name is a
  /// product's.
  const RunReport& report() const;
  bool is_product(const std::string& node) const;

  /// Of an output of the last run that is an image; else 0.
  Extent2d extent(std::size_t output) const;

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace voxshift
