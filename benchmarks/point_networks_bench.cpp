// Point-voxel networks: SPVCNN beside MinkUNet in turn and SPVNAS, points to labels; PVCNN on one block of points.
#include <voxshift/tasks/cloud_blocks.h>
#include <voxshift/tasks/segmenter.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "input.h"
#include "limits.h"
#include "measure.h"

namespace voxshift::bench {
namespace {

constexpr std::int64_t kBlockPoints = 4096;
constexpr float kBlockSize = 20;  // metres: S3DIS' 1.5 hold fewer points of a LiDAR scan

Model model_of(const char* arch) {
  ModelSpec spec;
  spec.arch = arch;
  return Model::create(spec);
}

// 4096 points of the fullest block of a scan, with columns as S3DIS has them: x y z, three times remission for the
// colours, x y z within the scan.
PointSet block_of(const Array& scan) {
  Array points({scan.dim(0), 6}, DType::kF32);
  for (std::int64_t i = 0; i < scan.dim(0); ++i)
    for (std::int64_t c = 0; c < 6; ++c)
      points.data<float>()[6 * i + c] = scan.data<float>()[4 * i + std::min(c, std::int64_t{3})];
  BlockOptions options;
  options.size = kBlockSize;
  options.points = scan.dim(0);
  CloudBlocks blocks;
  blocks.cut({points.data<float>(), 6, points.dim(0), 6, DType::kF32}, std::vector<float>(6, 1), options);
  std::int64_t fullest = 0;
  for (std::int64_t i = 1; i < blocks.count(); ++i)
    if (blocks.size(i) > blocks.size(fullest)) fullest = i;
  const std::int64_t size = blocks.size(fullest);
  check<Error>(size >= kBlockPoints, "the scan's fullest block has ", size, " points, expected ", kBlockPoints);
  Array all({size, 9}, DType::kF32), chosen({kBlockPoints, 9}, DType::kF32);
  blocks.features(fullest, all.data<float>());
  for (std::int64_t i = 0; i < kBlockPoints; ++i)
    std::copy_n(all.data<float>() + 9 * (i * size / kBlockPoints), 9, chosen.data<float>() + 9 * i);
  return {chosen, {}};
}

// Multiply-adds as published: of a 3^3 window all 27, also where it ends at the grid's border.
double nominal_macs(const RunReport& report) {
  double macs = 0;
  for (const LayerReport& layer : report.layers)
    macs += static_cast<double>(layer.kind == "conv 3x3x3" ? 27 * layer.rows * layer.in_channels * layer.out_channels
                                                           : layer.macs);
  return macs;
}

/// Points to labels by a network; by MinkUNet, too, in turn, where it is given.
void add_segment(const Options& options, const Array& points, const char* arch, const Model* minkunet, int threads) {
  const auto run = [&points, arch, minkunet, repeats = options.repeats, threads](benchmark::State& state) {
    Segmenter segmenter(model_of(arch), Device::cpu(), threads);
    std::optional<Segmenter> other;
    if (minkunet != nullptr) other.emplace(*minkunet, Device::cpu(), threads);
    const SparseTensor x = voxels_of(points, segmenter.model().profile());
    check_logits(segmenter.model(), x, segmenter.session().forward(x));
    const SegmentReport& report = segmenter.report();
    const Measurement result = measure(
        repeats, [&] { return fma_peak(threads); },
        [&] {
          std::vector<double> seconds{seconds_of([&] { segmenter.segment(points); }), report.network_seconds};
          if (other) seconds.push_back(seconds_of([&] { other->segment(points); }));
          return seconds;
        });
    state.counters["on_threads"] = threads;
    report_time(state, "segment", result.timings[0]);
    report_time(state, "network", result.timings[1]);
    if (other) report_time(state, "minkunet", result.timings[2]);
    report_fraction(state, result, result.timings[1], static_cast<double>(report.macs));
    return result.timings[0].median;
  };
  add_benchmark(arch + ("/threads:" + std::to_string(threads)), run);
}

void add_pvcnn(const Options& options, const PointSet& block, int threads) {
  add_benchmark("pvcnn/threads:" + std::to_string(threads),
                [&block, repeats = options.repeats, threads](benchmark::State& state) {
                  Segmenter segmenter(model_of("pvcnn"), Device::cpu(), threads);
                  check_logits(segmenter.model(), block, segmenter.session().forward(block));
                  const Measurement result = measure(
                      repeats, [&] { return fma_peak(threads); },
                      [&] { return std::vector<double>{seconds_of([&] { segmenter.session().forward(block); })}; });
                  state.counters["on_threads"] = threads;
                  state.counters["points"] = static_cast<double>(block.points.dim(0));
                  state.counters["nominal_macs"] = nominal_macs(segmenter.report());
                  report_time(state, "forward", result.timings[0]);
                  report_fraction(state, result, result.timings[0], static_cast<double>(segmenter.report().macs));
                  return result.timings[0].median;
                });
}

void add(const Options& options) {
  static const Array points = load_scan(options.scan);
  static const Model minkunet = load_model(options.model);
  static const PointSet block = block_of(points);
  for (const int threads : options.threads) {
    add_segment(options, points, "spvcnn", &minkunet, threads);
    add_segment(options, points, "spvnas", nullptr, threads);
    add_pvcnn(options, block, threads);
  }
}

}  // namespace
}  // namespace voxshift::bench

int main(int argc, char** argv) { return voxshift::bench::run_benchmarks(argc, argv, voxshift::bench::add); }
