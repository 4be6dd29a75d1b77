// Public ops called one by one, results allocated anew, beside the bandwidth of copies.
#pragma once

#include <voxshift/tensor/runtime.h>

#include <string>

#include "input.h"
#include "limits.h"
#include "measure.h"

namespace voxshift::bench {

/// Registers NAME/threads:T. `run` gives the op's result, `check` throws for a wrong one, `bytes` is what must be read
/// and written at least to make it.
template <class Run, class Check, class Bytes>
void add_op(const Options& options, const std::string& name, int threads, const Run& run, const Check& check,
            const Bytes& bytes) {
  add_benchmark(name + "/threads:" + std::to_string(threads),
                [run, check, bytes, repeats = options.repeats, threads](benchmark::State& state) {
                  set_num_threads(threads);
                  double work = 0;
                  {
                    const auto result = run();
                    check(result);
                    work = bytes(result);
                  }
                  const Measurement measured = measure(
                      repeats, [&] { return copy_bandwidth(threads); },
                      [&] { return std::vector<double>{seconds_of([&] { run(); })}; });
                  state.counters["on_threads"] = threads;
                  report_time(state, "op", measured.timings[0]);
                  report_fraction(state, measured, measured.timings[0], work);
                  return measured.timings[0].median;
                });
}

}  // namespace voxshift::bench
