// What the benchmarks of video run on.
#pragma once

#include <voxshift/tasks/recognizer.h>

#include <cstdint>
#include <string>
#include <vector>

namespace voxshift::bench {

/// TSM network with random weights and 27 classes, the online shift.
Model video_model(const std::string& arch, double width);

/// The same network with its shifts taken out.
Model without_shift(const Model& model);

/// Frames u8 [H, W, 3] of a synthetic clip of the model's size.
std::vector<Array> synthetic_frames(const Model& model, std::uint64_t seed, std::int64_t count, bool panning_camera);

/// The frames of a clip [T, H, W, 3], on its memory.
std::vector<Array> frames_of(const Array& clip);

/// check_network for the first frame's logits of a new stream.
void check_first_frame(const VideoNetwork& network, const Array& frame);

}  // namespace voxshift::bench
