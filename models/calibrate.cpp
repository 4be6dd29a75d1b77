#include <voxshift/models/calibrate.h>
#include <voxshift/models/evaluate.h>
#include <voxshift/models/profile.h>
#include <voxshift/synth/lidar.h>

#include <algorithm>
#include <cmath>
#include <optional>

namespace voxshift {
namespace {

// Mean and biased variance per channel, in double.
void set_statistics(const Array& rows, Array& mean, Array& variance) {
  const std::int64_t n = rows.dim(0), channels = rows.dim(1);
  for (std::int64_t c = 0; c < channels; ++c) {
    double sum = 0, squares = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const double x = rows.data<float>()[i * channels + c];
      sum += x;
      squares += x * x;
    }
    const double m = sum / static_cast<double>(n);
    mean.data<float>()[c] = static_cast<float>(m);
    variance.data<float>()[c] = static_cast<float>(std::max(0.0, squares / static_cast<double>(n) - m * m));
  }
}

}  // namespace

void calibrate_batch_norm(Graph& graph, Parameters& parameters, std::uint64_t seed) {
  check_graph(graph, parameters);
  const LabelledScan scan = synth_lidar(seed);
  const auto points = static_cast<std::int64_t>(scan.labels.size());
  const Voxels voxels = voxelize(Array::from(scan.points, {points, 4}), known_profiles().front().voxelize);
  evaluate(graph, parameters, voxels.tensor, [&](const Node& node, const SparseTensor& input) {
    if (node.op == Op::kBatchNorm)
      set_statistics(input.features(), parameters.at(node.parameters.at("running_mean")),
                     parameters.at(node.parameters.at("running_var")));
  });
}

}  // namespace voxshift
