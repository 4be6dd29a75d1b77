// Options of the commands that take scans.
#pragma once

#include <CLI/CLI.hpp>

#include "commands.h"

namespace voxshift {

/// Where a network runs, and in what numbers.
template <class Options>
void add_device(CLI::App& command, Options& options) {
  command.add_option("--device", options.device, "cpu or cuda")->capture_default_str();
  command
      .add_option(
          "--dtype", options.dtype,
          "Features and weights: auto (i8 of a quantized model, else f32 on cpu, f16 on cuda), f32, f16, bf16 or i8")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "f32", "f16", "bf16", "i8"}));
}

template <class Options>
void add_trace(CLI::App& command, Options& options) {
  command
      .add_option("--trace", options.trace,
                  "Write what ran when, layer by layer, in Chrome's trace format, for ui.perfetto.dev")
      ->type_name("FILE");
}

void add_segment(CLI::App& app, SegmentOptions& options);
void add_detect(CLI::App& app, DetectOptions& options);
void add_view(CLI::App& app, ViewOptions& options);
void add_quantize(CLI::App& app, QuantizeCommand& options);

}  // namespace voxshift
