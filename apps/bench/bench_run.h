// Measures a model: one run after the other, as an app would call it through the C interface.
#pragma once

#include <voxshift/c_api.h>

#include <cstdint>
#include <string>
#include <vector>

#include "bench_inputs.h"
#include "bench_options.h"

namespace voxshift::bench {

/// A model in memory. Throws Error with the text of the failed call.
class BenchModel {
 public:
  /// A file, or the name of a built-in one.
  explicit BenchModel(const std::string& source);
  ~BenchModel();
  BenchModel(const BenchModel&) = delete;
  BenchModel& operator=(const BenchModel&) = delete;

  const std::string& name() const { return name_; }
  voxshift_model handle() const { return handle_; }
  const voxshift_model_info& info() const { return info_; }
  bool is_calibrated() const;  ///< for the skip mode auto

 private:
  std::string name_;
  voxshift_model handle_ = nullptr;
  voxshift_model_info info_ = VOXSHIFT_MODEL_INFO_INIT;
};

/// Throws InvalidArgument for what is none of them.
voxshift_dtype dtype_named(const std::string& name);
voxshift_stream_options skip_named(const std::string& name);  ///< off, exact, auto or a threshold

/// How a model is run.
struct BenchCase {
  std::string dtype = "auto";
  int threads = 1;
  std::string skip = "off";  ///< of frames
};

/// What that took.
struct BenchLine {
  std::string model, dtype, input, skip;  ///< skip "-": of scans
  int threads = 1;
  std::vector<double> seconds;  ///< of each run, ascending
  std::int64_t macs = 0;        ///< of a frame or scan, mean of all runs
  std::int64_t dense_macs = 0;  ///< where nothing is left out; 0: of scans
  std::int64_t peak_bytes = 0;  ///< of the process while this case ran, its inputs among them; 0: not known

  /// The time that a fraction of the runs stayed within.
  double quantile(double fraction) const;
  double mean() const;
  double computed() const;  ///< fraction of a clip's multiply-adds that were done; 1 of scans
};

/// Warms up and measures. Throws Error where the model cannot be run so.
BenchLine measure(const BenchModel& model, const BenchInput& input, const BenchCase& how, const BenchOptions& options);

}  // namespace voxshift::bench
