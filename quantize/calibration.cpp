#include <voxshift/quantize/calibration.h>
#include <voxshift/quantize/histogram.h>

#include <algorithm>
#include <cmath>

namespace voxshift {
namespace {

constexpr std::size_t kBins = 2048, kBinsOfChannel = 512;

// Of the scale of all channels together: what other data make of a channel that was quiet in these is not clipped.
constexpr float kLeastOfAll = 1.0f / 8;

// Of all channels together, and of each.
struct ValueStatistics {
  Histogram all{kBins};
  std::vector<Histogram> channels = {};

  void add(const ConstRowView& rows) {
    channels.resize(static_cast<std::size_t>(rows.channels), Histogram(kBinsOfChannel));
    const auto* first = static_cast<const float*>(rows.base);
    for (std::int64_t i = 0; i < rows.count; ++i) {
      const float* row = first + i * rows.row_stride;
      all.add(row, rows.channels, 1);
      for (std::size_t c = 0; c < channels.size(); ++c) channels[c].add(row + c, 1, 1);
    }
  }

  std::vector<float> scales() const {
    std::vector<float> result(channels.size(), all.best_scale());
    for (std::size_t c = 0; c < channels.size(); ++c)
      if (channels[c].most() > 0) result[c] = std::max(channels[c].best_scale(), result[c] * kLeastOfAll);
    return result;
  }
};

}  // namespace

Calibrated calibrated(Simulation& simulation, const Network& network, const NarrowPlan& plan,
                      const CalibrationData& data, const std::function<void()>& done) {
  std::map<std::string, ValueStatistics> statistics;
  for (const Node& node : network.graph.nodes)
    if (plan.values.contains(node.name) && !(inherits_scales(node) && plan.values.contains(node.inputs[0])))
      statistics[node.name];
  SimulatedRun run;
  run.observe = [&](const std::string& value, const ConstRowView& rows) {
    const auto found = statistics.find(value);
    if (found == statistics.end()) return;
    found->second.add(rows);
  };
  Calibrated result;
  for (const Inputs& sample : data) {
    result.outputs.push_back(simulation.run(sample, run));
    done();
  }
  for (const auto& [value, seen] : statistics) {
    result.own[value] = seen.scales();
    if (const std::int64_t count = seen.all.not_finite(); count > 0) result.not_finite[value] = count;
  }
  return result;
}

std::map<std::string, std::vector<double>> mean_errors(Simulation& simulation, const CalibrationData& data,
                                                       const std::function<void()>& done) {
  struct Sum {
    std::vector<double> errors;
    std::vector<std::int64_t> rows;
  };
  std::map<std::string, Sum> sums;
  SimulatedRun run;
  run.compare = [&](const std::string& product, const ConstRowView& exact, const ConstRowView& rounded) {
    Sum& sum = sums[product];
    const auto width = static_cast<std::size_t>(exact.channels);
    sum.errors.resize(width);
    sum.rows.resize(width);
    for (std::int64_t i = 0; i < exact.count; ++i) {
      const float* from = static_cast<const float*>(exact.base) + i * exact.row_stride;
      const float* to = static_cast<const float*>(rounded.base) + i * rounded.row_stride;
      for (std::size_t c = 0; c < width; ++c) {
        const double error = static_cast<double>(to[c]) - from[c];
        if (!std::isfinite(error)) continue;
        sum.errors[c] += error;
        ++sum.rows[c];
      }
    }
  };
  for (const Inputs& sample : data) {
    simulation.run(sample, run);
    done();
  }
  std::map<std::string, std::vector<double>> means;
  for (auto& [product, sum] : sums) {
    for (std::size_t c = 0; c < sum.errors.size(); ++c)
      if (sum.rows[c] > 0) sum.errors[c] /= static_cast<double>(sum.rows[c]);
    means[product] = std::move(sum.errors);
  }
  return means;
}

}  // namespace voxshift
