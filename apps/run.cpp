// `voxshift run`: any network, arrays in, arrays out.
#include <voxshift/engine/network_dtype.h>
#include <voxshift/engine/session.h>
#include <voxshift/files/read_array.h>
#include <voxshift/tensor/seconds.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <map>
#include <utility>

#include "commands.h"
#include "report.h"
#include "result_files.h"
#include "trace.h"

namespace voxshift {
namespace {

namespace fs = std::filesystem;

using Arrays = std::map<std::string, Array>;

/// The arrays that "NAME=FILE" name, for the names that a network has.
Arrays read_arrays(const std::vector<std::string>& inputs, const std::vector<std::string>& names) {
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

/// The names of the arrays that make an input.
std::vector<std::string> array_names(const GraphInput& input) {
  std::vector<std::string> names{input.name};
  if (!input.rows_of.empty()) return names;
  if (input.kind == InputKind::kVoxels) names.insert(names.end(), {input.name + ".coords", input.name + ".shape"});
  if (input.kind == InputKind::kPoints) names.push_back(input.name + ".row_splits");
  return names;
}

/// A network's inputs as files give them.
class Files {
 public:
  Files(const Graph& graph, const std::vector<std::string>& inputs) : graph_(graph) {
    std::vector<std::string> names;
    for (const GraphInput& input : graph.inputs) std::ranges::copy(array_names(input), std::back_inserter(names));
    arrays_ = read_arrays(inputs, names);
  }

  Input input(const GraphInput& input, Device device) const {
    const bool own_rows = input.rows_of.empty();
    if (input.kind == InputKind::kVoxels) {
      const SparseTensor x = voxels(own_rows ? input.name : input.rows_of, input.name);
      return own_rows ? Input(x.to(device)) : Input(x.features().to(device));
    }
    if (input.kind == InputKind::kFrames) return required(input.name, "float32 [T, H, W, C], normalised").to(device);
    if (!own_rows) return required(input.name, "float32 [N, C]").to(device);
    PointSet set{required(input.name, "float32 [N, C], x y z first").to(device), {}};
    if (const auto splits = arrays_.find(input.name + ".row_splits"); splits != arrays_.end())
      set.row_splits = splits->second;
    return set;
  }

 private:
  const Array& required(const std::string& name, const char* what) const {
    const auto found = arrays_.find(name);
    check(found != arrays_.end(), "[run] --input ", name, "=FILE.npy is missing: ", what);
    return found->second;
  }

  /// Features on the voxels of an input, in whose order the tensor brings them.
  SparseTensor voxels(const std::string& coords, const std::string& features) const {
    SparseTensor::Options options;
    if (const auto given = arrays_.find(coords + ".shape"); given != arrays_.end()) {
      const Array& extents = given->second;
      check(extents.dtype() == DType::kI32 && extents.count() == graph_.dims, "[run] ", given->first,
            " expects int32 [", graph_.dims, "], found ", name(extents.dtype()), " ", extents.shape());
      options.shape.emplace(SparseTensor::Extents{1, 1, 1, 1});
      std::copy_n(extents.data<std::int32_t>(), extents.count(), options.shape->begin());
    }
    return {required(coords + ".coords", "int32 [N, 1 + dims], batch first"), required(features, "float32 [N, C]"),
            options};
  }

  const Graph& graph_;
  Arrays arrays_;
};

Outputs run_session(Session& session, const std::vector<std::string>& given) {
  const Files files(session.graph(), given);
  Inputs inputs;
  for (const GraphInput& input : session.graph().inputs)
    inputs.emplace(input.name, files.input(input, session.device()));
  return session.run(inputs);
}

/// The file of a value: its name, without what a folder would be.
fs::path file_of(const fs::path& folder, std::string name, const char* kind) {
  std::ranges::replace(name, '/', '_');
  return folder / (name + kind);
}

void write_output(const fs::path& folder, const std::string& name, const Output& output) {
  const fs::path path = file_of(folder, name, ".npy");
  write_array(path, output.features.to(Device::cpu()));
  std::printf("%-32s %s\n  -> %s\n", name.c_str(), to_string(output.features.shape()).c_str(), path.string().c_str());
  if (output.coords.rank() != 2) return;
  const fs::path coords = file_of(folder, name, ".coords.npy");
  write_array(coords, output.coords.to(Device::cpu()));
  std::printf("  -> %s\n", coords.string().c_str());
}

}  // namespace

int run_network(const RunOptions& options) {
  const Device device = parse_device(options.device);
  const Model model = Model::load(options.model);
  const std::optional<DType> dtype = parse_network_dtype("run", options.dtype);
  Session session = about(options.model, [&] { return Session(model.network(), device, options.threads, dtype); });
  Trace trace(options.trace, "run");
  trace_session(trace, session);
  session.report_layers(options.layers || !options.stats.empty() || trace.wanted());
  const Clock::time_point start = Clock::now();
  const Outputs outputs = run_session(session, options.inputs);
  const RunReport& run = session.report();
  trace.compute(options.model.filename().string(), {start, seconds_since(start)},
                {{"maps", run.maps_seconds}, {"network", run.network_seconds}}, run);
  make_folder(options.out);
  for (const auto& [name, output] : outputs) write_output(options.out, name, output);
  if (options.layers) print_layers(session.report(), runtime(device).fma_peak(device, session.threads()));
  if (!options.stats.empty()) write_run_stats(options.stats, session);
  trace.write();
  return 0;
}

}  // namespace voxshift
