// Scans and clips as a network's input.
#include <voxshift/quantize/quantize.h>
#include <voxshift/synth/video.h>
#include <voxshift/tasks/calibrate.h>
#include <voxshift/tasks/cloud_blocks.h>
#include <voxshift/tasks/point_limits.h>

#include <algorithm>
#include <numeric>
#include <span>
#include <utility>

namespace voxshift {
namespace {

constexpr std::size_t kMostBlocks = 16;  // of one scan
constexpr std::int64_t kClipFrames = 8;

const Profile& profile_of_points(const Model& model) {
  check(model.has_profile() && model.graph().inputs.size() == 1,
        "[quantize] expects a model with a profile, which says how points become its only input");
  check(!model.profile().frames, "[quantize] the model takes clips, not scans");
  return model.profile();
}

const FrameProfile& profile_of_frames(const Model& model) {
  check(model.profile().frames.has_value(), "[quantize] the model takes scans, not clips");
  return *model.profile().frames;
}

// The columns that the profile uses, prepared: f32 [N, profile.columns()], zeros where points have fewer.
Array prepared_columns(const Profile& profile, const Array& points, const PrepareOptions& options,
                       std::vector<std::string>& notes) {
  const std::int64_t n = points.dim(0), given = points.dim(1), columns = profile.columns();
  const float* from = points.data<float>();
  const std::span all(from, static_cast<std::size_t>(n * given));
  Preparation preparation;
  preparation.examine(all, given, profile, options);
  std::vector<float> prepared;
  if (preparation.needed()) {
    prepared.resize(all.size());
    preparation.apply(all, prepared);
    from = prepared.data();
  }
  notes = preparation.notes();
  Array result({n, columns}, DType::kF32);
  std::fill_n(result.data<float>(), result.count(), 0.0f);
  for (std::int64_t i = 0; i < n; ++i)
    std::copy_n(from + i * given, std::min(given, columns), result.data<float>() + i * columns);
  return result;
}

void check_left(std::int64_t rows) {
  check(rows > 0, "[quantize] the scan has no point that the model's profile takes");
}

bool has_bounded_windows(const Graph& graph) {
  return std::any_of(graph.nodes.begin(), graph.nodes.end(), [](const Node& node) {
    const auto semantics = node.attributes.find("semantics");
    return semantics != node.attributes.end() && semantics->second == Attribute("bounded");
  });
}

SparseTensor voxels_of(const Model& model, const Array& points) {
  const Profile& profile = model.profile();
  const SparseTensor tensor = voxelize(points, profile.voxelize).tensor;
  check_left(tensor.size());
  const std::int64_t channels = profile.columns();
  Array features({tensor.size(), channels}, DType::kF32);
  for (std::int64_t e = 0; e < features.count(); ++e)
    features.data<float>()[e] =
        tensor.features().data<float>()[e] * profile.scale[static_cast<std::size_t>(e % channels)];
  if (!has_bounded_windows(model.graph())) return {tensor.coordinates(), std::move(features)};
  SparseTensor::Options options;
  options.shape = SparseTensor::Extents{1, 1, 1, 1};
  const auto* coords = tensor.coords().data<std::int32_t>();
  for (std::int64_t i = 0; i < tensor.size(); ++i)
    for (std::size_t axis = 0; axis < 3; ++axis)
      (*options.shape)[axis] =
          std::max((*options.shape)[axis], coords[i * 4 + static_cast<std::int64_t>(axis) + 1] + 1);
  return {tensor.coords(), features, options};
}

// The fullest blocks, each a sample.
void add_blocks(CalibrationData& data, const std::string& input, const Profile& profile, const Array& points) {
  CloudBlocks blocks;
  blocks.cut(rows_of(points), profile.scale, *profile.blocks);
  check_left(blocks.count());
  std::vector<std::int64_t> chosen(static_cast<std::size_t>(blocks.count()));
  std::iota(chosen.begin(), chosen.end(), 0);
  std::stable_sort(chosen.begin(), chosen.end(),
                   [&](std::int64_t a, std::int64_t b) { return blocks.size(a) > blocks.size(b); });
  chosen.resize(std::min(chosen.size(), kMostBlocks));
  for (const std::int64_t block : chosen) {
    Array features({blocks.size(block), profile.channels()}, DType::kF32);
    blocks.features(block, features.data<float>());
    data.push_back({{input, PointSet{std::move(features), {}}}});
  }
}

PointSet cloud_of(const Profile& profile, const Array& points) {
  PointLimits limits;
  const std::int64_t columns = points.dim(1);
  const std::vector<std::int32_t>& kept = limits.choose(rows_of(points), profile, columns);
  const auto count = static_cast<std::int64_t>(kept.size());
  check_left(count);
  Array rows({count, columns}, DType::kF32);
  for (std::int64_t i = 0; i < count; ++i)
    std::copy_n(points.data<float>() + kept[static_cast<std::size_t>(i)] * columns, columns,
                rows.data<float>() + i * columns);
  return {std::move(rows), {}};
}

}  // namespace

std::vector<std::string> add_scan(CalibrationData& data, const Model& model, const Array& points,
                                  const PrepareOptions& options) {
  const Profile& profile = profile_of_points(model);
  check(points.dtype() == DType::kF32 && points.rank() == 2 && points.dim(1) >= 3 && points.device() == Device::cpu(),
        "[quantize] points expects f32 [N, C] with C >= 3 on the CPU, found ", name(points.dtype()), " ",
        points.shape(), " on ", name(points.device()));
  std::vector<std::string> notes;
  const Array columns = prepared_columns(profile, points, options, notes);
  const std::string& input = model.graph().input().name;
  if (profile.blocks) {
    add_blocks(data, input, profile, columns);
  } else if (profile.cloud) {
    data.push_back({{input, cloud_of(profile, columns)}});
  } else {
    data.push_back({{input, voxels_of(model, columns)}});
  }
  return notes;
}

void add_clip(CalibrationData& data, const Model& model, const Array& frames, std::int64_t each) {
  const FrameProfile& profile = profile_of_frames(model);
  check(frames.dtype() == DType::kU8 && frames.rank() == 4 && frames.dim(0) >= 1 && frames.dim(1) == profile.height &&
            frames.dim(2) == profile.width && frames.dim(3) == 3 && frames.device() == Device::cpu(),
        "[quantize] clip expects u8 [T, ", profile.height, ", ", profile.width, ", 3] with T >= 1 on the CPU, found ",
        name(frames.dtype()), " ", frames.shape());
  check(each >= 1, "[quantize] expects samples of one frame or more, found ", each);
  const std::int64_t numbers = profile.height * profile.width * 3;
  const auto scale = profile.scale(), shift = profile.shift();
  for (std::int64_t first = 0; first < frames.dim(0); first += each) {
    const std::int64_t count = std::min(each, frames.dim(0) - first);
    Array sample({count, profile.height, profile.width, 3}, DType::kF32);
    const std::uint8_t* from = frames.data<std::uint8_t>() + first * numbers;
    for (std::int64_t e = 0; e < sample.count(); ++e) {
      const auto c = static_cast<std::size_t>(e % 3);
      sample.data<float>()[e] = static_cast<float>(from[e]) * scale[c] + shift[c];
    }
    data.push_back({{model.graph().input().name, std::move(sample)}});
  }
}

void add_synthetic(CalibrationData& data, const Model& model, int count, std::uint64_t seed) {
  for (int i = 0; i < count; ++i) {
    const std::uint64_t one = seed + static_cast<std::uint64_t>(i);
    if (!model.profile().frames) {
      add_scan(data, model, simulated_points(profile_of_points(model), one, i % 2 == 1));
      continue;
    }
    SynthVideoOptions options;
    options.frames = kClipFrames;
    options.height = model.profile().frames->height;
    options.width = model.profile().frames->width;
    options.panning_camera = i % 2 == 1;
    const SynthClip clip = synth_video(one, options);
    add_clip(data, model, Array::from(clip.frames, {clip.count, clip.height, clip.width, 3}), kClipFrames);
  }
}

}  // namespace voxshift
