// How lines are shown: a table for people, JSON for programs.
#pragma once

#include <ostream>
#include <string>

#include "bench_run.h"

namespace voxshift::bench {

/// Version, instruction set, processors.
std::string machine_line(const voxshift_capabilities& machine);

/// The heads of the columns, and a line below them.
std::string head_line();
std::string text_line(const BenchLine& line);

/// One JSON object in a line.
void write_json(std::ostream& out, const voxshift_capabilities& machine, const BenchLine& line);

}  // namespace voxshift::bench
