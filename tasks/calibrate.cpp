#include <voxshift/engine/evaluate.h>
#include <voxshift/synth/lidar.h>
#include <voxshift/synth/video.h>
#include <voxshift/tasks/calibrate.h>
#include <voxshift/tasks/profile.h>

#include <algorithm>
#include <iterator>
#include <numeric>
#include <set>
#include <string>
#include <vector>

namespace voxshift {
namespace {

// Mean and biased variance per channel, in double.
void set_statistics(const ConstRowView& rows, Array& mean, Array& variance) {
  const auto n = static_cast<double>(rows.count);
  const auto channels = static_cast<std::size_t>(rows.channels);
  std::vector<double> sums(channels), squares(channels);
  for (std::int64_t i = 0; i < rows.count; ++i) {
    const auto* x = static_cast<const float*>(rows.rows(i, 1).base);
    for (std::size_t c = 0; c < channels; ++c) {
      sums[c] += x[c];
      squares[c] += double{x[c]} * x[c];
    }
  }
  for (std::size_t c = 0; c < channels; ++c) {
    const double m = sums[c] / n;
    mean.data<float>()[c] = static_cast<float>(m);
    variance.data<float>()[c] = static_cast<float>(std::max(0.0, squares[c] / n - m * m));
  }
}

// The fullest blocks of a cloud, one cloud each.
PointSet fullest_blocks(const Array& points, const Profile& profile) {
  constexpr std::ptrdiff_t kBlocks = 4;
  CloudBlocks blocks;
  blocks.cut(rows_of(points), profile.scale, *profile.blocks);
  std::vector<std::int64_t> chosen(static_cast<std::size_t>(blocks.count())), splits{0};
  std::iota(chosen.begin(), chosen.end(), 0);
  std::stable_sort(chosen.begin(), chosen.end(),
                   [&](std::int64_t a, std::int64_t b) { return blocks.size(a) > blocks.size(b); });
  if (std::ssize(chosen) > kBlocks) chosen.erase(chosen.begin() + kBlocks, chosen.end());
  for (const std::int64_t block : chosen) splits.push_back(splits.back() + blocks.size(block));
  Array features({splits.back(), profile.channels()}, DType::kF32);
  for (std::size_t b = 0; b < chosen.size(); ++b)
    blocks.features(chosen[b], features.data<float>() + splits[b] * profile.channels());
  const auto count = static_cast<std::int64_t>(splits.size());
  return {features, Array::from(splits, {count})};
}

}  // namespace

Array simulated_points(const Profile& profile, std::uint64_t seed, bool vary_sensor) {
  const SynthScan scan = synth_lidar(seed, {vary_sensor});
  const auto n = static_cast<std::int64_t>(scan.labels.size());
  const std::int64_t columns = profile.columns();
  Array points({n, columns}, DType::kF32);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t c = 0; c < columns; ++c)
      points.data<float>()[i * columns + c] =
          scan.points[static_cast<std::size_t>(4 * i + std::min<std::int64_t>(c, 3))];
  return points;
}

Array simulated_frames(const FrameProfile& frames, std::uint64_t seed) {
  constexpr std::int64_t kClips = 3, kFrames = 3;  // of each
  SynthVideoOptions options;
  options.frames = kFrames;
  options.height = frames.height;
  options.width = frames.width;
  Array result({kClips * kFrames, frames.height, frames.width, 3}, DType::kF32);
  float* to = result.data<float>();
  for (std::int64_t i = 0; i < kClips; ++i) {
    const SynthClip clip = synth_video(seed + static_cast<std::uint64_t>(i), options);
    for (std::size_t p = 0; p < clip.frames.size(); ++p)
      *to++ = (static_cast<float>(clip.frames[p]) / 255 - frames.mean[p % 3]) / frames.std[p % 3];
  }
  return result;
}

void calibrate_batch_norm(Graph& graph, Parameters& parameters, const Profile& profile, std::uint64_t seed) {
  check_graph(graph, parameters);
  std::set<std::string> known;  // layers that share their tensors are calibrated by the first
  const auto set = [&](const Node& node, const ConstRowView& input) {
    if (node.op == "batch_norm" && known.insert(node.parameters.at("running_mean")).second)
      set_statistics(input, parameters.at(node.parameters.at("running_mean")),
                     parameters.at(node.parameters.at("running_var")));
  };
  if (profile.frames) {
    evaluate(graph, parameters, simulated_frames(*profile.frames, seed), set);
    return;
  }
  const Array points = simulated_points(profile, seed);
  if (profile.cloud) {
    evaluate(graph, parameters, PointSet{points, std::nullopt}, set);
  } else if (profile.blocks) {
    evaluate(graph, parameters, fullest_blocks(points, profile), set);
  } else {
    evaluate(graph, parameters, voxelize(points, profile.voxelize).tensor, set);
  }
}

}  // namespace voxshift
