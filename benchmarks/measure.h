// Repeated runs between two readings of the machine's limit, and how they are reported.
#pragma once

#include <benchmark/benchmark.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace voxshift::bench {

/// Seconds over the repeats of one run.
struct Timing {
  double best, median;
};

struct Measurement {
  std::vector<Timing> timings;  ///< one per figure that the run gives
  double limit;                 ///< the larger of the readings before and after, per second
  double drift;                 ///< their difference over the larger
};

/// Runs `run`, which gives seconds, once to warm up and `repeats` times between two readings of `limit`. Does it all
/// again where the readings differ by more than 5 %, at most three times, and keeps the steadiest attempt. A run that
/// does A and then B and gives both of their seconds compares them in turn: A B A B.
Measurement measure(int repeats, const std::function<double()>& limit, const std::function<std::vector<double>()>& run);

/// Counters NAME_best_ms and NAME_median_ms.
void report_time(benchmark::State& state, const std::string& name, const Timing& timing);

/// Counters limit_per_second, drift, work (in the limit's unit), of_limit_best and of_limit_median: work / time /
/// limit.
void report_fraction(benchmark::State& state, const Measurement& measurement, const Timing& timing, double work);

/// Registers a benchmark of one iteration, whose repeats are measure()'s own: each result has to stand between two
/// readings of the limit. `body` returns the seconds that the console shows. An exception ends the program.
void add_benchmark(const std::string& name, const std::function<double(benchmark::State&)>& body);

/// Wall seconds of a call.
template <class Call>
double seconds_of(const Call& call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace voxshift::bench
