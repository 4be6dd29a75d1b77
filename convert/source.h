// What the converter knows of the networks of one library.
#pragma once

#include <voxshift/convert/convert.h>
#include <voxshift/convert/kernel_layout.h>
#include <voxshift/convert/state_dict.h>

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace voxshift {

/// How a tensor of the network lies in the checkpoint.
struct StoredAs {
  std::vector<Shape> shapes;                         ///< that it may have there, the usual one first
  std::function<Array(const Array& stored)> turned;  ///< the f32 tensor as the network has it; none: reshaped
  std::string name = {};                             ///< there; empty: as in the network
};

/// Tensors that a network does not use.
struct LeftOut {
  std::string beginning;  ///< of their names
  std::string reason;     ///< "unused by MinkUNet"
};

/// A network as the names and shapes of a state dict tell it. Its tensors have shapes and no contents (Seed), and the
/// names of the checkpoint.
struct Sketch {
  std::string arch;  ///< of the model file
  Network network;
  std::optional<Profile> profile = {};
  std::vector<ClassInfo> classes = {};  ///< none: the network gives features
  std::optional<DetectionHead> detection = {};
  bool reversed_axes = false;                   ///< of sparse convolutions, as in KernelShape
  std::map<std::string, StoredAs> stored = {};  ///< where the rules of places_of() do not hold
  std::vector<LeftOut> left_out = {};
  std::vector<std::string> guesses = {};  ///< a line each
  bool knows_profile = false;             ///< the checkpoint itself says what the profile does
};

/// What a source is asked for.
struct SketchOptions {
  KernelLayout layout = KernelLayout::kTorchsparse;
  std::string arch;
  std::optional<Profile> profile = {};  ///< that is asked for
};

/// The networks of one library, recognised by what only they are called.
struct Source {
  const char* name;                   ///< of ConvertOptions::from
  const char* text;                   ///< which networks
  std::vector<KernelLayout> layouts;  ///< that its kernels may have, the usual one first; none: no sparse convolution
  bool (*recognises)(const StateDict& state);

  /// Throws InvalidArgument, which names the tensor, where the network cannot be told. A network that a library makes
  /// is sketched by what it has, so that a tensor too few or too many shows where they are compared.
  Sketch (*sketch)(const StateDict& state, const SketchOptions& options);
};

/// All of them, those of one name side by side; the first that recognises a state dict has it.
std::span<const Source> sources();

// A file per family has them.
Source mmdet3d_unet_source(KernelLayout layout);  // of torchsparse, MinkowskiEngine or spconv
Source mmdet3d_cylinder3d_source();
Source cylinder3d_source();
Source pointcept_source();
Source minkowski_unet_source();
Source fcgf_source();
Source spvnas_source();
Source torchsparse_source();
Source mmdet3d_detector_source();
Source openpcdet_source();
Source tsm_source();
Source mmaction2_source();
Source pvcnn_source();
Source pointnet_source();
Source learning3d_source();
Source cifar_resnet_source();
Source face_detector_source();

}  // namespace voxshift
