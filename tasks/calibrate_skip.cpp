#include <voxshift/tasks/calibrate_skip.h>

#include <cmath>
#include <string>

namespace voxshift {
namespace {

// Values that a threshold may take: 0, first, first * ratio, first * ratio^2 ..
std::vector<float> geometric(float first, float ratio) {
  std::vector<float> values{0, first};
  while (values.size() < 17) values.push_back(values.back() * ratio);
  return values;
}

// Part of the squared budget that is for the whole frames: what they save is every layer's work.
constexpr double kWholeFrameShare = 0.5;

// What a threshold must save of the work, so that budget is not spent on nothing.
constexpr double kLeastSaving = 0.005;

class Calibrator {
 public:
  Calibrator(const VideoNetwork& network, const std::vector<Array>& clips, int threads)
      : network_(network), clips_(clips), threads_(threads) {
    StreamOptions options;
    options.threads = threads;
    for_each_frame(options, [&](std::size_t, const FrameResult& result) {
      dense_.insert(dense_.end(), result.logits.begin(), result.logits.end());
    });
    for (const float x : dense_) squares_ += static_cast<double>(x) * x;
  }

  /// Runs all clips with the thresholds found so far.
  void measure(SkipCalibration& found) const {
    StreamOptions options;
    options.skip = Skip::kAuto;
    options.thresholds = found.thresholds;
    options.always_compare = true;  // what thresholds save, not when it is enough
    options.threads = threads_;
    double difference = 0, macs = 0, dense_macs = 0;
    for_each_frame(options, [&](std::size_t frame, const FrameResult& result) {
      const float* dense = dense_.data() + frame * result.logits.size();
      for (std::size_t c = 0; c < result.logits.size(); ++c) {
        const double d = static_cast<double>(result.logits[c]) - dense[c];
        difference += d * d;
      }
      macs += static_cast<double>(result.cost.macs);
      dense_macs += static_cast<double>(result.cost.dense_macs);
    });
    found.logit_change = difference == 0 ? 0 : std::sqrt(difference / squares_);
    found.mac_fraction = macs / dense_macs;
  }

  /// Sets `threshold`, a part of found.thresholds, to the largest of the values whose change is within `budget`, or
  /// leaves it at 0 where that would save next to nothing. The change grows with the threshold, so that a bisection
  /// will do; what it ends with was measured.
  void raise(SkipCalibration& found, float& threshold, const std::vector<float>& values, double budget) const {
    const SkipCalibration before = found;
    double change = 0, macs = before.mac_fraction;
    std::size_t good = 0, bad = values.size();
    while (bad - good > 1) {
      const std::size_t middle = (good + bad) / 2;
      threshold = values[middle];
      measure(found);
      const bool within = found.logit_change <= budget;
      (within ? good : bad) = middle;
      if (within) change = found.logit_change, macs = found.mac_fraction;
    }
    const bool saves = macs <= before.mac_fraction - kLeastSaving;
    threshold = saves ? values[good] : 0;
    found.logit_change = saves ? change : before.logit_change;
    found.mac_fraction = saves ? macs : before.mac_fraction;
  }

 private:
  template <class Body>
  void for_each_frame(const StreamOptions& options, const Body& body) const {
    Recognizer stream(network_, options);
    std::size_t number = 0;
    for (const Array& clip : clips_) {
      stream.reset();
      for (std::int64_t t = 0; t < clip.dim(0); ++t) body(number++, stream.push(frame_of(clip, t)));
    }
  }

  // Frame t of a clip, in place.
  static Array frame_of(const Array& clip, std::int64_t t) {
    const std::int64_t bytes = clip.dim(1) * clip.dim(2) * clip.dim(3);
    auto* frame = static_cast<std::uint8_t*>(clip.owner().get()) + t * bytes;
    return {frame, {clip.dim(1), clip.dim(2), clip.dim(3)}, DType::kU8, clip.device(), clip.owner()};
  }

  const VideoNetwork& network_;
  const std::vector<Array>& clips_;
  int threads_;
  std::vector<float> dense_;  // logits of all frames
  double squares_ = 0;
};

}  // namespace

SkipCalibration calibrate_skip(const VideoNetwork& network, const std::vector<Array>& clips, double budget, int threads,
                               const std::function<void(std::size_t done, std::size_t total)>& progress) {
  check(budget > 0 && std::isfinite(budget), "[calibrate] budget expects a number above 0, found ", budget);
  check(!clips.empty(), "[calibrate] expects one clip or more");
  const Extent2d size = network.extent();
  for (std::size_t i = 0; i < clips.size(); ++i)
    check(clips[i].dtype() == DType::kU8 && clips[i].rank() == 4 && clips[i].dim(0) >= 1 &&
              clips[i].dim(1) == size.height && clips[i].dim(2) == size.width && clips[i].dim(3) == 3,
          "[calibrate] clip ", i, " expects u8 [T, ", size.height, ", ", size.width, ", 3] with T >= 1, found ",
          name(clips[i].dtype()), " ", clips[i].shape());
  const Calibrator calibrator(network, clips, threads);
  const std::size_t total = network.layers().size() + 2;
  const auto report = [&](std::size_t done) {
    if (progress) progress(done, total);
  };
  // Changes of different layers hardly depend on each other: their squares add up.
  const auto share = [&](std::size_t done) {
    return budget * std::sqrt((1 - kWholeFrameShare) * static_cast<double>(done) / static_cast<double>(total - 1));
  };

  SkipCalibration found;
  std::size_t done = 0;
  report(done);
  calibrator.measure(found);
  calibrator.raise(found, found.thresholds.frame, geometric(0.02f, 1.41f), share(done + 1));
  report(++done);
  for (const FrameLayer& layer : network.layers()) {
    calibrator.raise(found, found.thresholds.layers[layer.name], geometric(0.01f, 1.5f), share(done + 1));
    report(++done);
  }
  calibrator.raise(found, found.thresholds.whole_frame, geometric(0.5f, 1.41f), budget);
  report(++done);
  return found;
}

}  // namespace voxshift
