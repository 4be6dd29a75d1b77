// Synthetic input for networks that were never trained, and the statistics of batch normalisation on it.
#pragma once

#include <voxshift/graph/graph.h>
#include <voxshift/tasks/profile.h>

#include <cstdint>

namespace voxshift {

/// A synthetic scan with the columns that a profile uses, f32 [N, profile.columns()]: x y z remission; columns that the
/// simulator has not, colours and the like, repeat the remission. vary_sensor: as SynthLidarOptions.
Array simulated_points(const Profile& profile, std::uint64_t seed, bool vary_sensor = false);

/// Frames of synthetic clips as a network's input, normalised, of the profile's size: f32 [T, height, width, 3].
Array simulated_frames(const FrameProfile& frames, std::uint64_t seed);

/// Sets running_mean and running_var of every batch_norm node to the mean and variance of its input on one synthetic
/// scan, on the fullest blocks of it, or on frames of synthetic clips, in graph order, so that activations keep their
/// scale through a network of random weights.
void calibrate_batch_norm(Graph& graph, Parameters& parameters, const Profile& profile, std::uint64_t seed);

}  // namespace voxshift
