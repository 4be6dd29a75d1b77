// What models are run on: clips and scans, synthetic ones or those of files.
#pragma once

#include <voxshift/c_api.h>

#include <cstdint>
#include <string>
#include <vector>

#include "bench_options.h"

namespace voxshift::bench {

/// Frames one after the other, or points x y z remission.
struct BenchInput {
  std::string name;
  std::vector<float> points = {};  ///< [count, 4]; empty: these are frames
  std::vector<std::uint8_t> bytes = {};
  voxshift_frame layout = VOXSHIFT_FRAME_INIT;  ///< of every frame, its planes as offsets into bytes still to be set
  std::int64_t count = 0;                       ///< of points or frames

  bool is_scan() const { return !points.empty(); }

  /// Of a run that goes through the clip forwards and backwards: what moves never jumps.
  voxshift_frame frame(std::int64_t number) const;
};

/// The inputs that a model of this kind is measured on: those of the files that it takes, else, where there are no
/// files, a street's scan, or a clip of a camera at rest and one of a panning camera, of the size that the network
/// wants. Throws IoError "FILE: ..", InvalidArgument where raw frames have no size.
std::vector<BenchInput> inputs_of(const voxshift_model_info& model, const BenchOptions& options);

}  // namespace voxshift::bench
