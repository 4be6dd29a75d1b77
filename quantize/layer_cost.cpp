#include <voxshift/engine/fuse.h>
#include <voxshift/quantize/layer_cost.h>

#include <algorithm>

namespace voxshift {
namespace {

constexpr int kTimedRuns = 3;

// The products that run under the name of each step, itself among them.
std::map<std::string, std::vector<std::string>> products_of_steps(const Network& network) {
  Graph graph = network.graph;
  check_graph(graph, network.parameters);
  std::map<std::string, std::vector<std::string>> result;
  for (const Draft& draft : fused_drafts(graph, network.parameters)) {
    if (!draft.multiplies()) continue;
    for (const Draft& inner : draft.front) result[draft.name()].push_back(inner.name());
    result[draft.name()].push_back(draft.name());
  }
  return result;
}

}  // namespace

std::map<std::string, double> measured_milliseconds(const Network& network, DType dtype, const Inputs& sample,
                                                    const Threads& threads, const std::map<std::string, double>& macs) {
  Session session(network, Device::cpu(), threads, dtype);
  session.run(sample);
  std::map<std::string, double> steps;
  for (int run = 0; run < kTimedRuns; ++run) {
    session.run(sample);
    std::map<std::string, double> seconds;
    for (const LayerReport& layer : session.report().layers) seconds[layer.name] += layer.seconds;
    for (const auto& [name, time] : seconds) {
      const auto best = steps.try_emplace(name, time).first;
      best->second = std::min(best->second, time);
    }
  }
  std::map<std::string, double> result;
  for (const auto& [step, products] : products_of_steps(network)) {
    const auto found = steps.find(step);
    if (found == steps.end()) continue;
    double all = 0;
    for (const std::string& product : products) all += macs.at(product);
    for (const std::string& product : products)
      result[product] = found->second * 1e3 * (all > 0 ? macs.at(product) / all : 1);
  }
  return result;
}

double nominal_saving(const LayerReport& layer) {
  constexpr double kMacs = 50e9, kBytes = 10e9, kSaved = 2.0 / 3;
  const double bytes =
      4 * static_cast<double>(layer.rows) * static_cast<double>(layer.in_channels + layer.out_channels);
  return 1e3 * kSaved * (static_cast<double>(layer.macs) / kMacs + bytes / kBytes);
}

}  // namespace voxshift
