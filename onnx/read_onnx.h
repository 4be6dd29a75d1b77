// Networks of ONNX files as graphs.
#pragma once

#include <voxshift/graph/network.h>
#include <voxshift/video/window2d.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace voxshift {

struct OnnxOptions {
  std::optional<Extent2d> frame = {};     ///< where the file leaves the height and width open
  std::vector<std::string> outputs = {};  ///< values to give in place of the file's outputs
};

/// What a file becomes.
struct OnnxNetwork {
  Network network;
  std::string source;                           ///< "ONNX opset 13, by pytorch 1.13" ..
  std::vector<std::string> notes;               ///< what is another way than in the file, or left out; a line each
  Extent2d frame;                               ///< of networks on frames: what the file says, or the options
  std::map<std::string, std::string> metadata;  ///< of the file
};

/// Whether the file begins as ONNX files do.
bool is_onnx(const std::filesystem::path& path);

/// Reads a convolutional network on images, opset 7 and later: a graph on frames, whose rows are pixels [H, W, C] where
/// the file has [N, C, H, W]. Or a network of sparse convolutions as NVIDIA's (libspconv) and Autoware's exporters
/// write them: a graph on voxels. What depends on the extent of the frame alone is computed here. Maps that the file
/// reshapes and joins to one list, as detectors do, are outputs of their own, "NAME.0", "NAME.1" .., which a note says.
/// Throws IoError "FILE: what": the file is none, or damaged; or a node, which is named with its op, has no exact
/// counterpart.
OnnxNetwork read_onnx(const std::filesystem::path& path, const OnnxOptions& options = {});

}  // namespace voxshift
