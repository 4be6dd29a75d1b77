// voxshift-bench: how fast models run on this device. One file, with models inside. Exit status 0 done, 1 something
// could not be measured, 2 usage.
#include <voxshift/tensor/error.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <exception>
#include <fstream>

#include "bench_lines.h"
#include "builtin_models.h"

namespace voxshift::bench {
namespace {

constexpr int kNotMeasured = 1, kUsage = 2;
constexpr int kMostThreads = 1024;

/// What a function of a text throws, as a check of CLI11 says it.
template <class Parse>
CLI::Validator parsed_by(const Parse& parse) {
  return CLI::Validator(
      [parse](const std::string& text) {
        try {
          parse(text);
          return std::string();
        } catch (const Error& error) {
          return std::string(error.what());
        }
      },
      "");
}

void parse_size(const std::string& text, BenchOptions& options) {
  const char* const last = text.data() + text.size();
  const auto width = std::from_chars(text.data(), last, options.width);
  const bool has_height = width.ec == std::errc() && width.ptr != last && *width.ptr == 'x';
  const auto height = std::from_chars(has_height ? width.ptr + 1 : last, last, options.height);
  if (height.ec != std::errc() || height.ptr != last || options.width < 1 || options.height < 1)
    throw CLI::ValidationError("--size", "expected WIDTHxHEIGHT, found " + text);
}

void add_options(CLI::App& app, BenchOptions& options) {
  std::string builtin;
  for (const BuiltinModel& model : builtin_models()) builtin += " " + model.name;
  app.add_option("model", options.models,
                 "Model files (.safetensors), or names of those inside; default all inside:" + builtin)
      ->type_name("MODEL");
  app.add_option("--threads", options.threads, "Numbers of threads; default 1,2,4 as far as there are processors")
      ->delimiter(',')
      ->check(CLI::Range(1, kMostThreads));
  app.add_option("--dtype", options.dtypes, "Types of numbers; auto: i8 of a quantized model, else f32")
      ->delimiter(',')
      ->check(parsed_by(dtype_named))
      ->type_name("auto|f32|f16|bf16|i8");
  app.add_option("--skip", options.skips, "What streams leave out; default off, exact and, of a calibrated model, auto")
      ->delimiter(',')
      ->check(parsed_by(skip_named))
      ->type_name("off|exact|auto|THRESHOLD");
  app.add_option(
         "--input", options.inputs,
         "Scans (.bin: x y z remission as float32) or raw frames (.nv21, .nv12, .i420, .rgb, one after the other); "
         "default synthetic ones")
      ->type_name("FILE");
  app.add_option_function<std::string>(
         "--size", [&options](const std::string& text) { parse_size(text, options); }, "Width and height of raw frames")
      ->check(parsed_by([](const std::string& text) {
        BenchOptions size;
        parse_size(text, size);
      }))
      ->type_name("WIDTHxHEIGHT");
  app.add_option("--rotation", options.rotation, "By how many degrees raw frames must be turned clockwise")
      ->check(CLI::IsMember({0, 90, 180, 270}));
  app.add_option("--seconds", options.seconds, "How long each line is measured")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 3600.0));
  app.add_option("--loops", options.loops, "How often each line is measured, in place of --seconds")
      ->check(CLI::Range(1, 1000000));
  app.add_option("--warmup", options.warmup, "Runs before that; default 16 frames, 2 scans")
      ->check(CLI::Range(0, 1000000));
  app.add_option("--json", options.json, "Also write one JSON object for each line")->type_name("FILE");
}

std::vector<int> default_threads(int processors) {
  std::vector<int> threads{1};
  for (const int more : {2, 4})
    if (more <= processors) threads.push_back(more);
  return threads;
}

/// Measures all that was asked for and says what could not be.
class Bench {
 public:
  Bench(BenchOptions options, const voxshift_capabilities& machine) : options_(std::move(options)), machine_(machine) {
    if (options_.threads.empty()) options_.threads = default_threads(machine.threads);
    if (options_.json.empty()) return;
    json_.open(options_.json);
    check<IoError>(json_.is_open(), options_.json, ": cannot be written");
  }

  int run() {
    std::vector<std::string> models = options_.models;
    if (models.empty())
      for (const BuiltinModel& model : builtin_models()) models.push_back(model.name);
    check(!models.empty(), "this program has no model inside: name a file");
    std::printf("%s\n%s\n", machine_line(machine_).c_str(), head_line().c_str());
    for (const std::string& model : models) attempt(model, [&] { measure_model(model); });
    check<IoError>(options_.json.empty() || json_.good(), options_.json, ": cannot be written");
    return status_;
  }

 private:
  template <class Body>
  void attempt(const std::string& what, const Body& body) {
    try {
      body();
    } catch (const Error& error) {
      std::fprintf(stderr, "voxshift-bench: %s: %s\n", what.c_str(), error.what());
      status_ = kNotMeasured;
    }
  }

  void measure_model(const std::string& source) {
    const BenchModel model(source);
    const std::vector<BenchInput> inputs = inputs_of(model.info(), options_);
    check(!inputs.empty() || options_.models.empty(), "no --input is of the kind that it takes");
    std::vector<std::string> skips = options_.skips;
    if (skips.empty()) skips = {"off", "exact"};
    if (options_.skips.empty() && !inputs.empty() && !inputs.front().is_scan() && model.is_calibrated())
      skips.emplace_back("auto");
    for (const BenchInput& input : inputs)
      for (const std::string& dtype : options_.dtypes)
        for (const std::string& skip : input.is_scan() ? std::vector<std::string>{"off"} : skips)
          for (const int threads : options_.threads)
            attempt(source, [&] { show(measure(model, input, {dtype, threads, skip}, options_)); });
  }

  void show(const BenchLine& line) {
    std::printf("%s\n", text_line(line).c_str());
    std::fflush(stdout);
    if (json_.is_open()) write_json(json_, machine_, line);
  }

  BenchOptions options_;
  voxshift_capabilities machine_;
  std::ofstream json_;
  int status_ = 0;
};

int run(int argc, char** argv) {
  CLI::App app("How fast voxshift's models run on this device", "voxshift-bench");
  app.set_version_flag("--version", voxshift_version());
  BenchOptions options;
  add_options(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  voxshift_capabilities machine = VOXSHIFT_CAPABILITIES_INIT;
  check(voxshift_get_capabilities(&machine) == VOXSHIFT_OK, voxshift_last_error());
  return Bench(std::move(options), machine).run();
}

}  // namespace
}  // namespace voxshift::bench

int main(int argc, char** argv) {
  try {
    return voxshift::bench::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "voxshift-bench: %s\n", error.what());
    return voxshift::bench::kNotMeasured;
  }
}
