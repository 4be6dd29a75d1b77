// Networks on images as ONNX files.
#pragma once

#include <voxshift/graph/network.h>
#include <voxshift/video/window2d.h>

#include <filesystem>
#include <map>
#include <string>

namespace voxshift {

/// Writes a network on one input of frames as an ONNX file of opset 13 (20 with gelu), whole or not at all. Its values
/// are f32 [N, C, H, W], what was pooled over frames [N, C], N open, and so are H and W of the input where `frame` is 0
/// x 0. Names are those of the graph. read_onnx() gives the same network back. Throws InvalidArgument "[onnx] .."
/// naming the node and op that ONNX has not, as temporal_shift; IoError where the file cannot be written.
void write_onnx(const std::filesystem::path& path, const Network& network, Extent2d frame = {},
                const std::map<std::string, std::string>& metadata = {});

}  // namespace voxshift
