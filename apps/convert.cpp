// `voxshift convert`.
#include <voxshift/convert/convert.h>
#include <voxshift/files/read_bytes.h>

#include <cstdio>
#include <sstream>

#include "commands.h"
#include "report.h"

namespace voxshift {
namespace {

// A name a line.
std::vector<std::string> read_class_names(const std::filesystem::path& path) {
  std::istringstream lines(read_bytes(path, "names of classes"));
  std::vector<std::string> names;
  for (std::string line; std::getline(lines, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty()) names.push_back(line);
  }
  check<IoError>(!names.empty(), path.string(), ": expected the names of the classes, a line each");
  return names;
}

}  // namespace

std::vector<std::string> convertible_sources() { return source_names(); }

int convert_checkpoint(const ConvertCommand& options) {
  ConvertOptions convert_options{options.from, options.arch, options.layout, {}, options.preprocess, options.outputs};
  if (!options.classes.empty()) convert_options.classes = read_class_names(options.classes);
  const Conversion conversion = about(options.checkpoint, [&] { return convert(options.checkpoint, convert_options); });
  conversion.model.save(options.out);
  for (const std::string& line : conversion.report) std::printf("%s\n", line.c_str());
  for (const std::string& line : conversion.warnings) print_warning(line);
  std::printf("%s: %s, %.3f M parameters\n", options.out.c_str(), conversion.model.arch().c_str(),
              static_cast<double>(conversion.model.parameter_count()) / 1e6);
  return 0;
}

}  // namespace voxshift
