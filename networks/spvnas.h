// SPVNAS: the networks that architecture search found in SPVCNN's space (Tang et al., ECCV 2020).
#pragma once

#include <voxshift/networks/network_builder.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <vector>

namespace voxshift {

/// One level of the U-Net: a transition to another stride, then one or two residual blocks.
struct SpvnasStage {
  int transition = 0;       ///< channels after the transition
  std::vector<int> middle;  ///< channels inside each residual block

  bool operator==(const SpvnasStage&) const = default;
};

constexpr int kMostSpvnasChannels = 512, kMostSpvnasBlocks = 2;

/// Widths of at least 1 and at most kMostSpvnasChannels, 1 or 2 residual blocks a stage.
struct SpvnasConfig {
  int classes = 19;
  double voxel_size = 0.05;              ///< metres
  std::array<int, 9> output_channels{};  ///< of the stem, the four stages going down, the four going up
  std::array<SpvnasStage, 4> down, up;
};

/// A network of the size of SPVNAS@65GMACs, 10.97 M parameters at width 1. Its widths are ours: the published ones come
/// with their checkpoint's net.config. Every width is times `width`, down to a multiple of 16, at least 16. Throws
/// InvalidArgument for a width outside [1/32, 2].
SpvnasConfig default_spvnas_config(double width = 1, int classes = 19);

/// Reads a `net.config`: JSON with num_classes, pres, vres, output_channels and one number per random module (null:
/// pruned). Throws IoError "FILE: what is wrong".
SpvnasConfig read_spvnas_config(const std::filesystem::path& path);

/// Random weights; names of the parameters as in the specialised checkpoints of spvnas. Throws InvalidArgument for a
/// width or depth out of range.
Network make_spvnas(const SpvnasConfig& config, Seed seed);

/// Widths and depths as the shapes of a checkpoint's tensors tell them. Throws InvalidArgument naming the tensor that
/// is missing or has another number of axes.
SpvnasConfig spvnas_config_of(const Parameters& checkpoint);

/// The network of a checkpoint. classifier.linear.weight may keep the columns of the widest network, of which the first
/// are used; tensors that the network has no use for are left out. Throws InvalidArgument where `config` does not match
/// the tensors, naming the module and both numbers, and for a tensor that is missing or of another shape.
Network load_spvnas(const SpvnasConfig& config, const Parameters& checkpoint);

}  // namespace voxshift
