// Long runs: memory stays, bits stay, and what a stream keeps stays within its threshold of what is there.
// scripts/soak.sh runs 10^6 frames and 10^5 scans.
#include <unistd.h>
#include <voxshift/synth/lidar.h>
#include <voxshift/tasks/segmenter.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <utility>

#include "sanitized.h"
#include "stream_cases.h"

namespace voxshift {
namespace {

/// The number that the environment gives, else a few.
std::int64_t rounds_of(const char* variable, std::int64_t few) {
  const char* const given = std::getenv(variable);
  return given != nullptr ? std::atoll(given) : few;
}

double resident_megabytes() {
  std::int64_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return static_cast<double>(resident * sysconf(_SC_PAGESIZE)) / 1e6;
}

/// Resident memory after the first tenth of a run, and the most from then on.
class Resident {
 public:
  Resident(const char* what, std::int64_t rounds) : what_(what), rounds_(rounds) {}

  void see(std::int64_t round) {
    if ((round + 1) % std::max<std::int64_t>(1, rounds_ / 10) != 0) return;
    const double now = resident_megabytes();
    if (first_ == 0) first_ = now;
    most_ = std::max(most_, now);
  }

  void expect_flat() const {
    std::cout << rounds_ << " " << what_ << ": resident " << first_ << " MB, later at most " << most_ << " MB\n";
    if (!kSanitized) {
      EXPECT_LE(most_ - first_, 1) << what_;
    }
  }

 private:
  const char* what_;
  std::int64_t rounds_;
  double first_ = 0, most_ = 0;
};

constexpr int kPeriod = 200;

/// A moving square under light that rises and falls by one grey level in two frames, far below a threshold of 0.1, with
/// noise; so bright that ReLU6 passes it.
Clip slow_clip() {
  Clip clip = tiny_clip(kPeriod, 3);
  for (int f = 0; f < kPeriod; ++f)
    for (std::uint8_t& x : clip.frames[static_cast<std::size_t>(f)])
      x = static_cast<std::uint8_t>(x / 4 + 130 + std::min(f, kPeriod - f) / 2);
  return clip.add_noise(1);
}

constexpr const char* kFirstBlock = "stem.project";

/// The network with a first block that makes of a change no larger one: of each conv and its norm, before ReLU6, the
/// largest sum w * |gamma| / sqrt(var + eps) of an output channel is 1. No weight is negative, so that light adds up.
Network with_gain_one(Network network) {
  for (const std::string name : {"stem", "stem.filter", "stem.project"}) {
    const auto values = [&](const std::string& tensor) {
      return std::as_const(network.parameters.at(tensor)).values<float>();
    };
    const auto weight = values(name + ".weight"), gamma = values(name + ".bn.weight"),
               var = values(name + ".bn.running_var");
    const std::size_t taps = weight.size() / gamma.size();
    double gain = 0;
    for (std::size_t c = 0; c < gamma.size(); ++c) {
      double sum = 0;
      for (std::size_t i = 0; i < taps; ++i) sum += std::abs(weight[c * taps + i]);
      gain = std::max(gain, sum * std::abs(gamma[c]) / std::sqrt(var[c] + 1e-5));
    }
    Array& scaled = network.parameters.at(name + ".weight");
    for (std::int64_t i = 0; i < scaled.count(); ++i)
      scaled.data<float>()[i] = std::abs(scaled.data<float>()[i]) / static_cast<float>(gain);
  }
  return network;
}

double farthest(const Array& a, const Array& b) {
  double most = 0;
  for (std::int64_t i = 0; i < a.count(); ++i)
    most = std::max(most, std::abs(static_cast<double>(a.data<float>()[i]) - b.data<float>()[i]));
  return most;
}

TEST(Soak, StreamsKeepMemoryBitsAndThresholds) {
  constexpr float kThreshold = 0.1f;
  const std::int64_t frames = rounds_of("VOXSHIFT_SOAK_FRAMES", 5 * kPeriod);
  const VideoNetwork network(video_model(with_gain_one(tiny_network()), kStreamHeight, kStreamWidth));
  const Clip clip = slow_clip();
  std::vector<Array> pictures;
  for (std::size_t f = 0; f < clip.count(); ++f) pictures.push_back(clip.frame(f));

  std::vector<Recognizer> streams;
  streams.emplace_back(network, options_of(Skip::kOff));
  streams.emplace_back(network, always(options_of(Skip::kExact)));
  streams.emplace_back(network, always(options_of(Skip::kThreshold, kThreshold)));
  streams.emplace_back(network, auto_options(thresholds_of(network, 0.05f, 0.1f, 1)));
  const std::size_t classes = 5, exact = 1, threshold = 2;
  // [period, streams, classes] of the second period; those of approximate streams depend on all frames before
  std::vector<float> logits(kPeriod * streams.size() * classes);
  double drift = 0;
  std::int64_t changed = 0, unequal = 0;
  Resident resident("frames", frames);
  for (std::int64_t f = 0; f < frames; ++f) {
    const auto place = static_cast<std::size_t>(f % kPeriod);
    for (std::size_t s = 0; s < streams.size(); ++s) {
      const FrameResult result = streams[s].push(pictures[place]);
      float* const seen = logits.data() + (place * streams.size() + s) * classes;
      if (f / kPeriod == 1) std::ranges::copy(result.logits, seen);
      if (f / kPeriod > 1 && s <= exact) changed += !std::equal(seen, seen + classes, result.logits.begin());
      if (f / kPeriod > 0 && s == exact) unequal += !std::equal(seen, seen + classes, seen - classes);
    }
    if (f % 97 == 0)
      drift = std::max(
          drift, farthest(streams[exact].layer_output(kFirstBlock), streams[threshold].layer_output(kFirstBlock)));
    resident.see(f);
  }
  EXPECT_EQ(changed, 0) << "frames whose logits are not those of the second period";
  EXPECT_EQ(unequal, 0) << "frames whose exact logits are not the dense ones";
  // Kept pixels of the frame are within the threshold, so is what the block makes of them, and of that again what is
  // kept.
  constexpr double kAllowed = 2 * kThreshold * (1 + 1e-4);
  EXPECT_LE(drift, kAllowed);
  EXPECT_GE(drift, kThreshold / 4);  // much is left out
  std::cout << "first block: at most " << drift << " from the dense output, the threshold allows " << kAllowed << "\n";
  resident.expect_flat();
}

TEST(Soak, SessionsKeepMemoryAndBits) {
  const std::int64_t rounds = rounds_of("VOXSHIFT_SOAK_SCANS", 64);
  Segmenter segmenter(Model::create({.arch = "spvcnn", .width = 0.25, .classes = 5, .seed = 1, .profile = "spvnas"}),
                      Device::cpu(), Threads(1));
  std::vector<Array> scans;
  for (std::size_t stride = 100; stride <= 400; stride += 20) {
    const std::vector<float> all = synth_lidar(stride).points;
    std::vector<float> points;
    for (std::size_t i = 0; i + 4 <= all.size(); i += 4 * stride) points.insert(points.end(), &all[i], &all[i] + 4);
    scans.push_back(Array::from(points, {static_cast<std::int64_t>(points.size() / 4), 4}));
  }
  std::vector<std::vector<float>> scores(scans.size());
  std::int64_t changed = 0;
  Resident resident("scans", rounds);
  for (std::int64_t round = 0; round < rounds; ++round) {
    const auto s = static_cast<std::size_t>(round) % scans.size();
    const Segmentation result = segmenter.segment(scans[s], true);
    const auto found = result.scores.values<float>();
    if (scores[s].empty()) scores[s] = floats(found);
    changed += !std::ranges::equal(found, scores[s]);
    resident.see(round);
  }
  EXPECT_EQ(changed, 0) << "scans whose scores are not those of the first time";
  resident.expect_flat();
}

}  // namespace
}  // namespace voxshift
