// `voxshift run`: any network, arrays in, arrays out.
#include <voxshift/engine/network_dtype.h>
#include <voxshift/engine/session.h>
#include <voxshift/files/read_array.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <utility>

#include "commands.h"
#include "report.h"
#include "result_files.h"

namespace voxshift {
namespace {

namespace fs = std::filesystem;

using Arrays = std::map<std::string, Array>;

/// The arrays that "NAME=FILE" name, for the names that the network has.
Arrays read_inputs(const std::vector<std::string>& inputs, const std::vector<std::string>& names) {
  Arrays arrays;
  for (const std::string& input : inputs) {
    const std::size_t at = std::min(input.find('='), input.size());
    const std::string name = input.substr(0, at);
    std::string known;
    for (const std::string& one : names) known += (known.empty() ? "" : " or ") + one;
    check(at < input.size(), "[run] --input expects NAME=FILE.npy, found \"", input, "\"");
    check(std::count(names.begin(), names.end(), name) > 0, "[run] the network takes ", known, ", found \"", name,
          "\"");
    check(arrays.emplace(name, read_array(input.substr(at + 1))).second, "[run] ", name, " is given twice");
  }
  return arrays;
}

const Array& required(const Arrays& arrays, const std::string& name, const char* what) {
  const auto found = arrays.find(name);
  check(found != arrays.end(), "[run] --input ", name, "=FILE.npy is missing: ", what);
  return found->second;
}

Outputs run_on_voxels(Session& session, const std::vector<std::string>& inputs) {
  const std::string features = kGraphInput, coords = features + ".coords", shape = features + ".shape";
  const Arrays arrays = read_inputs(inputs, {features, coords, shape});
  SparseTensor::Options options;
  if (const auto given = arrays.find(shape); given != arrays.end()) {
    const Array& extents = given->second;
    check(extents.dtype() == DType::kI32 && extents.count() == session.graph().dims, "[run] ", shape,
          " expects int32 [", session.graph().dims, "], found ", name(extents.dtype()), " ", extents.shape());
    options.shape.emplace(SparseTensor::Extents{1, 1, 1, 1});
    std::copy_n(extents.data<std::int32_t>(), extents.count(), options.shape->begin());
  }
  const SparseTensor x(required(arrays, coords, "int32 [N, 1 + dims], batch first"),
                       required(arrays, features, "float32 [N, C]"), options);
  return session.run(x.to(session.device()));
}

Outputs run_on_points(Session& session, const std::vector<std::string>& inputs) {
  const std::string points = kGraphInput, splits = points + ".row_splits";
  const Arrays arrays = read_inputs(inputs, {points, splits});
  PointSet set{required(arrays, points, "float32 [N, C], x y z first").to(session.device()), {}};
  if (arrays.contains(splits)) set.row_splits = arrays.at(splits);
  return session.run(set);
}

Outputs run_on_frames(Session& session, const std::vector<std::string>& inputs) {
  const Arrays arrays = read_inputs(inputs, {kGraphInput});
  return session.run(required(arrays, kGraphInput, "float32 [T, H, W, C], normalised").to(session.device()));
}

Outputs run_session(Session& session, const std::vector<std::string>& inputs) {
  switch (session.graph().input) {
    case GraphInput::kVoxels:
      return run_on_voxels(session, inputs);
    case GraphInput::kPoints:
      return run_on_points(session, inputs);
    case GraphInput::kFrames:
      break;
  }
  return run_on_frames(session, inputs);
}

/// The file of a value: its name, without what a folder would be.
fs::path file_of(const fs::path& folder, std::string name, const char* kind) {
  std::ranges::replace(name, '/', '_');
  return folder / (name + kind);
}

void write_output(const fs::path& folder, const std::string& name, const Output& output) {
  const fs::path path = file_of(folder, name, ".npy");
  write_array(path, output.features.to(Device::cpu()));
  std::printf("%-32s %s\n  -> %s\n", name.c_str(), to_string(output.features.shape()).c_str(), path.c_str());
  if (output.coords.rank() != 2) return;
  const fs::path coords = file_of(folder, name, ".coords.npy");
  write_array(coords, output.coords.to(Device::cpu()));
  std::printf("  -> %s\n", coords.c_str());
}

}  // namespace

int run_network(const RunOptions& options) {
  const Device device = parse_device(options.device);
  const Model model = Model::load(options.model);
  const std::optional<DType> dtype = parse_network_dtype("run", options.dtype);
  Session session = about(options.model, [&] { return Session(model.network(), device, options.threads, dtype); });
  session.report_layers(options.layers || !options.stats.empty());
  const Outputs outputs = run_session(session, options.inputs);
  make_folder(options.out);
  for (const auto& [name, output] : outputs) write_output(options.out, name, output);
  if (options.layers) print_layers(session.report(), runtime(device).fma_peak(device, session.threads()));
  if (!options.stats.empty()) write_run_stats(options.stats, session);
  return 0;
}

}  // namespace voxshift
