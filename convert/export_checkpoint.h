// A model's tensors as checkpoints of the libraries that networks are trained with.
#pragma once

#include <voxshift/convert/torch_file.h>
#include <voxshift/tasks/model.h>

#include <filesystem>
#include <string>
#include <vector>

namespace voxshift {

/// Whose layouts and endings of names.
enum class CheckpointStyle {
  kSpvnas,       ///< torchsparse 1.x: `kernel` [K, Cin, Cout], and the file {"model": state dict}
  kTorchsparse,  ///< torchsparse 2.x: the same, and the file is the state dict
  kSpconv2,      ///< spconv 2.2 and later: `weight` [Cout, k.., Cin]
  kMinkowski,  ///< MinkowskiEngine: `kernel` [K, Cin, Cout], `bias` [1, Cout], norms and linear layers one name deeper
};

/// "spvnas", "torchsparse", "spconv2", "minkowski". Throws InvalidArgument for another name.
CheckpointStyle checkpoint_style(const std::string& name);

/// The tensors of a model in the layouts of a library, under the names that they have, which are those of the
/// checkpoint that the model was converted from, or of spvnas, TSM, .. Offsets of windows are in the library's order
/// for coordinates x, y, z; second, pointpillars and centerpoint, whose sources know z, y, x, go back to that, images
/// too. Detectors lie in the file as their sources have them ({"model_state": ..}, {"state_dict": ..}). Throws
/// InvalidArgument for a sparse convolution with groups.
TorchFile checkpoint_of(const Model& model, CheckpointStyle style);

/// Writes it: a `.safetensors` by that suffix, else a file that torch.load reads. Throws IoError.
void write_checkpoint(const std::filesystem::path& path, const Model& model, CheckpointStyle style);

/// What the library does not do as the model does, one sentence each: strided convolutions that keep other voxels.
std::vector<std::string> export_notes(const Model& model, CheckpointStyle style);

}  // namespace voxshift
