// The options of `voxshift eval`.
#pragma once

#include <CLI/CLI.hpp>

#include "commands.h"

namespace voxshift {

void add_eval(CLI::App& app, EvalOptions& options);

}  // namespace voxshift
