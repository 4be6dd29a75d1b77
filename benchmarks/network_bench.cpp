// MinkUNet on a scan: `segment` is points to labels with the times of its stages, `forward` voxels to logits.
#include <voxshift/tasks/segmenter.h>

#include "input.h"
#include "limits.h"
#include "measure.h"

namespace voxshift::bench {
namespace {

struct Case {
  Model model;
  Array points;
  SparseTensor x;
};

void add_segment(const Options& options, const Case& input, int threads) {
  add_benchmark("segment/threads:" + std::to_string(threads), [&input, options, threads](benchmark::State& state) {
    Segmenter segmenter(input.model, Device::cpu(), threads, options.dtype);
    const SegmentReport& report = segmenter.report();
    const Measurement result = measure(
        options.repeats, [&] { return fma_peak(threads); },
        [&] {
          const double total = seconds_of([&] { segmenter.segment(input.points); });
          return std::vector<double>{total, report.voxelize_seconds, report.maps_seconds, report.network_seconds};
        });
    state.counters["on_threads"] = threads;
    state.counters["points"] = static_cast<double>(report.points);
    state.counters["voxels"] = static_cast<double>(report.voxels);
    report_time(state, "segment", result.timings[0]);
    report_time(state, "voxelize", result.timings[1]);
    report_time(state, "maps", result.timings[2]);
    report_time(state, "network", result.timings[3]);
    report_fraction(state, result, result.timings[3], static_cast<double>(report.macs));
    return result.timings[0].median;
  });
}

void add_forward(const Options& options, const Case& input, int threads) {
  add_benchmark("forward/threads:" + std::to_string(threads), [&input, options, threads](benchmark::State& state) {
    Segmenter segmenter(input.model, Device::cpu(), threads, options.dtype);
    check_logits(input.model, input.x, segmenter.session().forward(input.x), segmenter.session().dtype());
    const Measurement result = measure(
        options.repeats, [&] { return fma_peak(threads); },
        [&] { return std::vector<double>{seconds_of([&] { segmenter.session().forward(input.x); })}; });
    state.counters["on_threads"] = threads;
    report_time(state, "forward", result.timings[0]);
    report_fraction(state, result, result.timings[0], static_cast<double>(segmenter.report().macs));
    return result.timings[0].median;
  });
}

void add(const Options& options) {
  static const Case input = [&] {
    Model model = load_model(options.model);
    Array points = load_scan(options.scan);
    SparseTensor x = voxels_of(points, model.profile());
    return Case{std::move(model), std::move(points), std::move(x)};
  }();
  for (const int threads : options.threads) {
    add_forward(options, input, threads);
    add_segment(options, input, threads);
  }
}

}  // namespace
}  // namespace voxshift::bench

int main(int argc, char** argv) { return voxshift::bench::run_benchmarks(argc, argv, voxshift::bench::add); }
