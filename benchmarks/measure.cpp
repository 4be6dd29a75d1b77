// Repeats, their statistics, and the counters they are reported as.
#include "measure.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace voxshift::bench {
namespace {

constexpr double kMostDrift = 0.05;
constexpr int kAttempts = 3;
constexpr double kMilli = 1e3;

Timing timing_of(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  const std::size_t half = seconds.size() / 2;
  const double median = seconds.size() % 2 == 1 ? seconds[half] : (seconds[half - 1] + seconds[half]) / 2;
  return {seconds.front(), median};
}

}  // namespace

Measurement measure(int repeats, const std::function<double()>& limit,
                    const std::function<std::vector<double>()>& run) {
  Measurement steadiest{{}, 0, std::numeric_limits<double>::infinity()};
  std::vector<std::vector<double>> seconds(run().size());
  for (int attempt = 0; attempt < kAttempts && steadiest.drift > kMostDrift; ++attempt) {
    for (auto& column : seconds) column.clear();
    const double before = limit();
    for (int repeat = 0; repeat < repeats; ++repeat) {
      const std::vector<double> figures = run();
      for (std::size_t i = 0; i < figures.size(); ++i) seconds[i].push_back(figures[i]);
    }
    const double after = limit(), larger = std::max(before, after);
    const double drift = std::abs(before - after) / larger;
    if (drift >= steadiest.drift) continue;
    steadiest = {{}, larger, drift};
    for (const auto& column : seconds) steadiest.timings.push_back(timing_of(column));
  }
  return steadiest;
}

void report_time(benchmark::State& state, const std::string& name, const Timing& timing) {
  state.counters[name + "_best_ms"] = timing.best * kMilli;
  state.counters[name + "_median_ms"] = timing.median * kMilli;
}

void report_fraction(benchmark::State& state, const Measurement& measurement, const Timing& timing, double work) {
  state.counters["limit_per_second"] = measurement.limit;
  state.counters["drift"] = measurement.drift;
  state.counters["work"] = work;
  state.counters["of_limit_best"] = work / timing.best / measurement.limit;
  state.counters["of_limit_median"] = work / timing.median / measurement.limit;
}

void add_benchmark(const std::string& name, const std::function<double(benchmark::State&)>& body) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [body](benchmark::State& state) {
                                 for (auto _ : state) state.SetIterationTime(body(state));
                               })
      ->Iterations(1)
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
}

}  // namespace voxshift::bench
