#include <voxshift/models/calibrate.h>
#include <voxshift/models/evaluate.h>
#include <voxshift/models/profile.h>
#include <voxshift/synth/lidar.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace voxshift {
namespace {

// Mean and biased variance per channel, in double.
void set_statistics(const Array& rows, Array& mean, Array& variance) {
  const auto n = static_cast<double>(rows.dim(0));
  const auto channels = static_cast<std::size_t>(rows.dim(1));
  std::vector<double> sums(channels), squares(channels);
  const float* x = rows.data<float>();
  for (std::int64_t i = 0; i < rows.dim(0); ++i)
    for (std::size_t c = 0; c < channels; ++c, ++x) {
      sums[c] += *x;
      squares[c] += double{*x} * *x;
    }
  for (std::size_t c = 0; c < channels; ++c) {
    const double m = sums[c] / n;
    mean.data<float>()[c] = static_cast<float>(m);
    variance.data<float>()[c] = static_cast<float>(std::max(0.0, squares[c] / n - m * m));
  }
}

}  // namespace

void calibrate_batch_norm(Graph& graph, Parameters& parameters, std::uint64_t seed) {
  check_graph(graph, parameters);
  const SynthScan scan = synth_lidar(seed);
  const auto points = static_cast<std::int64_t>(scan.labels.size());
  const Voxels voxels = voxelize(Array::from(scan.points, {points, 4}), known_profiles().front().voxelize);
  evaluate(graph, parameters, voxels.tensor, [&](const Node& node, const SparseTensor& input) {
    if (node.op == Op::kBatchNorm)
      set_statistics(input.features(), parameters.at(node.parameters.at("running_mean")),
                     parameters.at(node.parameters.at("running_var")));
  });
}

}  // namespace voxshift
