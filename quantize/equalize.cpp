#include <voxshift/quantize/equalize.h>
#include <voxshift/quantize/graph_uses.h>
#include <voxshift/quantize/weight_layout.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

namespace voxshift {
namespace {

constexpr int kMostRounds = 50;
constexpr double kSettled = 1e-3;       // |log s| of every channel
constexpr double kMostScale = 1 << 10;  // of a channel in one round
// Largest |weight| by channel.
using ChannelRanges = std::vector<double>;

struct EqualPair {
  std::string first, second;  // products
};

bool scales_through(const Node& node) { return node.op == "relu" || node.op == "leaky_relu"; }

std::vector<EqualPair> equal_pairs(Graph& graph) {
  std::vector<EqualPair> pairs;
  for (const Node& node : graph.nodes) {
    if (!is_product(node)) continue;
    const Node* last = &node;
    while (last != nullptr && uses_of(graph, last->name) == 1) {
      const Node* user = user_of(graph, last->name);
      if (user != nullptr && is_product(*user)) pairs.push_back({node.name, user->name});
      last = user != nullptr && scales_through(*user) ? user : nullptr;
    }
  }
  return pairs;
}

class Equalizer {
 public:
  explicit Equalizer(Network& network) : network_(network) {}

  // The largest |log s|.
  double even_out(const EqualPair& pair) {
    Node &first = node(pair.first), &second = node(pair.second);
    const ChannelRanges given = ranges(first, true), taken = ranges(second, false);
    std::vector<double> scales(given.size(), 1);
    double change = 0;
    for (std::size_t c = 0; c < scales.size(); ++c) {
      if (given[c] == 0 || taken[c] == 0) continue;
      scales[c] = std::clamp(std::sqrt(given[c] * taken[c]) / taken[c], 1 / kMostScale, kMostScale);
      change = std::max(change, std::abs(std::log(scales[c])));
    }
    if (change > kSettled) rescale(first, second, scales);
    return change;
  }

 private:
  Node& node(const std::string& name) { return *node_of(network_.graph, name); }
  float* own(Node& node, const char* role) {
    return own_tensor(network_.graph, network_.parameters, node, role, {}).data<float>();
  }

  ChannelRanges ranges(const Node& node, bool of_outputs) const {
    const WeightLayout layout = weight_layout(node, network_.parameters);
    const float* weight = network_.parameters.at(node.parameters.at("weight")).data<float>();
    ChannelRanges result(static_cast<std::size_t>(of_outputs ? layout.out_channels() : layout.in_channels()));
    layout.for_each([&](std::int64_t at, std::int64_t out, std::int64_t in) {
      double& range = result[static_cast<std::size_t>(of_outputs ? out : in)];
      range = std::max(range, std::abs(static_cast<double>(weight[at])));
    });
    return result;
  }

  void rescale(Node& first, Node& second, const std::vector<double>& scales) {
    float* given = own(first, "weight");
    weight_layout(first, network_.parameters).for_each([&](std::int64_t at, std::int64_t out, std::int64_t) {
      given[at] = static_cast<float>(given[at] / scales[static_cast<std::size_t>(out)]);
    });
    if (first.parameters.contains("bias")) {
      float* bias = own(first, "bias");
      for (std::size_t c = 0; c < scales.size(); ++c) bias[c] = static_cast<float>(bias[c] / scales[c]);
    }
    float* taken = own(second, "weight");
    weight_layout(second, network_.parameters).for_each([&](std::int64_t at, std::int64_t, std::int64_t in) {
      taken[at] = static_cast<float>(taken[at] * scales[static_cast<std::size_t>(in)]);
    });
  }

  Network& network_;
};

}  // namespace

Network equalized(const Network& network) {
  Network result = network;
  check_graph(result.graph, result.parameters);
  const std::vector<EqualPair> pairs = equal_pairs(result.graph);
  Equalizer equalizer(result);
  for (int round = 0; round < kMostRounds; ++round) {
    double change = 0;
    for (const EqualPair& pair : pairs) change = std::max(change, equalizer.even_out(pair));
    if (change <= kSettled) break;
  }
  return result;
}

}  // namespace voxshift
