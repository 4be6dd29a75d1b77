#include "bench_lines.h"

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace voxshift::bench {
namespace {

constexpr double kMega = 1e6;

template <class... Values>
std::string formatted(const char* format, Values... values) {
  std::array<char, 256> text{};
  std::snprintf(text.data(), text.size(), format, values...);
  return text.data();
}

}  // namespace

std::string machine_line(const voxshift_capabilities& machine) {
  return formatted("voxshift %s, %s, i8 by %s, bf16 by %s, f16 by %s, %d processors", voxshift_version(),
                   machine.instruction_set, machine.i8_instructions, machine.bf16_instructions,
                   machine.f16_instructions, machine.threads);
}

std::string head_line() {
  return formatted("%-30s %-5s %-14s %-5s %7s %9s %9s %9s %9s %9s %8s %8s %5s %7s", "model", "dtype", "input", "skip",
                   "threads", "median ms", "mean ms", "p90 ms", "p99 ms", "min ms", "per s", "MMACs", "done",
                   "peak MB");
}

std::string text_line(const BenchLine& line) {
  const auto ms = [](double seconds) { return 1e3 * seconds; };
  return formatted("%-30s %-5s %-14s %-5s %7d %9.2f %9.2f %9.2f %9.2f %9.2f %8.1f %8.1f %4.0f%% %7.1f",
                   line.model.c_str(), line.dtype.c_str(), line.input.c_str(), line.skip.c_str(), line.threads,
                   ms(line.quantile(0.5)), ms(line.mean()), ms(line.quantile(0.9)), ms(line.quantile(0.99)),
                   ms(line.seconds.front()), 1 / line.mean(), static_cast<double>(line.macs) / kMega,
                   100 * line.computed(), static_cast<double>(line.peak_bytes) / kMega);
}

void write_json(std::ostream& out, const voxshift_capabilities& machine, const BenchLine& line) {
  const nlohmann::ordered_json object{
      {"model", line.model},
      {"dtype", line.dtype},
      {"input", line.input},
      {"skip", line.skip},
      {"threads", line.threads},
      {"runs", line.seconds.size()},
      {"median_seconds", line.quantile(0.5)},
      {"mean_seconds", line.mean()},
      {"p90_seconds", line.quantile(0.9)},
      {"p99_seconds", line.quantile(0.99)},
      {"min_seconds", line.seconds.front()},
      {"per_second", 1 / line.mean()},
      {"macs", line.macs},
      {"computed", line.computed()},
      {"peak_bytes", line.peak_bytes},
      {"version", voxshift_version()},
      {"instruction_set", machine.instruction_set},
      {"i8_instructions", machine.i8_instructions},
      {"bf16_instructions", machine.bf16_instructions},
      {"f16_instructions", machine.f16_instructions},
      {"processors", machine.threads},
  };
  out << object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n' << std::flush;
}

}  // namespace voxshift::bench
