// Networks and single layers on a CUDA device, beside what cuBLAS and a copy reach on it in the same run. What is timed
// is held against the CPU first. Prints JSON, an object a line: the device and its limits, then the results.
//
//   cuda_bench [SCAN] [--parts=NAME,NAME..] [--tiny]
//
// SCAN: as of load_scan. Parts, all without --parts: network, labels, layers, dense, designs, video, sessions. --tiny:
// everything small and once, to see on an emulated device that it works.
#include <algorithm>
#include <cstdio>
#include <sstream>
#include <string>

#include "cuda_report.h"
#include "input.h"

namespace voxshift::bench {
namespace {

struct Part {
  const char* name;
  void (*measure)(const CudaRun&);
};

constexpr Part kParts[] = {{"network", measure_networks}, {"labels", measure_labels},   {"layers", measure_layers},
                           {"dense", measure_dense},      {"designs", measure_designs}, {"video", measure_video},
                           {"sessions", measure_sessions}};

std::vector<Part> parts_of(const std::string& names) {
  std::vector<Part> parts;
  std::istringstream list(names);
  for (std::string name; std::getline(list, name, ',');) {
    const auto* const found =
        std::find_if(std::begin(kParts), std::end(kParts), [&](const Part& part) { return name == part.name; });
    check(found != std::end(kParts),
          "--parts expects network, labels, layers, dense, designs, video or sessions, found ", name);
    parts.push_back(*found);
  }
  return parts;
}

// The first points of a scan.
Array first_points(const Array& scan, std::int64_t count) {
  const std::int64_t n = std::min(count, scan.dim(0));
  return Array::from(scan.values<float>().first(static_cast<std::size_t>(4 * n)), {n, 4});
}

void run(int argc, char** argv) {
  constexpr std::string_view kOnly = "--parts=";
  std::vector<Part> parts(std::begin(kParts), std::end(kParts));
  std::string scan;
  CudaRun run;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.starts_with(kOnly)) {
      parts = parts_of(argument.substr(kOnly.size()));
    } else if (argument == "--tiny") {
      run.tiny = true;
    } else {
      check(!argument.starts_with("--") && scan.empty(), "unknown argument ", argument,
            ", expected [SCAN] [--parts=NAME,NAME] [--tiny]");
      scan = argument;
    }
  }
  run.scan = load_scan(scan);
  if (run.tiny) run.scan = first_points(run.scan, 150), run.width = 0.125, run.repeats = 1;
  run.limits = measure_limits();
  std::printf("{\"device\": \"%s\", \"matmul_f16_tflops\": %.1f, \"copy_gb_per_s\": %.0f}\n",
              runtime(kCuda).target(kCuda).c_str(), 1e-12 * run.limits.matmul_flops, 1e-9 * run.limits.copy_bytes);
  for (const Part& part : parts) part.measure(run);
}

}  // namespace
}  // namespace voxshift::bench

int main(int argc, char** argv) {
  try {
    voxshift::bench::run(argc, argv);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cuda_bench: %s\n", error.what());
    return 1;
  }
}
