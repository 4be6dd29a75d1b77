// A trained network: graph, parameters, preprocessing, classes.
#pragma once

#include <voxshift/detection/detection_head.h>
#include <voxshift/graph/network.h>
#include <voxshift/streaming/skip_thresholds.h>
#include <voxshift/tasks/classes.h>
#include <voxshift/tasks/profile.h>

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace voxshift {

struct SafeTensors;

/// The names of all architectures: minkunet, spvcnn, ..
std::vector<std::string> architecture_names();

/// What a new model shall be.
struct ModelSpec {
  std::string arch = "minkunet";      ///< one of architecture_names()
  double width = 1.0;                 ///< factor of all channel counts
  int classes = 0;                    ///< 0: 19, of pvcnn and pvcnn++ 13, of networks on ShapeNet 50, of
                                      ///< tsm-mobilenetv2 27, of tsm-resnet50 400, of second and pointpillars 3, of
                                      ///< centerpoint 10
  std::uint64_t seed = 0;             ///< of the random weights
  std::string profile = "";           ///< preprocessing: a known profile or a JSON file; empty: the architecture's own
  std::filesystem::path config = "";  ///< spvnas: a net.config; empty: a network of the size of SPVNAS@65GMACs

  /// Trained tensors in place of random ones, named and laid out as the architecture's; without a config the widths and
  /// depths of spvnas are read from their shapes. Those of networks on video may have the names of TSM's checkpoints,
  /// with "module." and "base_model." before and ".net" within, and a classifier called new_fc, fc or classifier.
  std::optional<Parameters> parameters = {};

  std::string style = "";      ///< of detectors: "mmdet3d" or "openpcdet", whose layers and names; empty: mmdet3d
  bool bidirectional = false;  ///< networks on video: the shift also looks at the next frame, for whole clips
};

/// Immutable; copies share the parameters. Safe to use from many threads.
class Model {
 public:
  /// Checks the graph against the parameters, and all else against the graph and the rules of files. Without classes
  /// the network gives no logits, without a profile its input is given as it takes it: a Session runs such a network, a
  /// Segmenter does not. Throws InvalidArgument.
  Model(std::string arch, Graph graph, Parameters parameters, std::optional<Profile> profile,
        std::vector<ClassInfo> classes, std::optional<SkipThresholds> skip_thresholds = {},
        std::optional<DetectionHead> detection = {});

  /// Reads a `.safetensors` file with voxshift's metadata and f32, f16, bf16 or, of weights, i8 tensors. Throws IoError
  /// "FILE: what is wrong".
  static Model load(const std::filesystem::path& path);

  /// The same of the file's bytes in memory, which are copied; `name` stands for FILE.
  static Model load(std::span<const std::byte> bytes, const std::string& name);

  /// A network with random weights as torchsparse or torchvision initialise them, and batch-norm statistics of
  /// synthetic data, or with the tensors of the spec. 19, 16 and 22 classes take names and colours of SemanticKITTI,
  /// nuScenes and Waymo, on video 27 and 400 those of Jester and Kinetics. Throws InvalidArgument for an unknown arch,
  /// a width or class count out of range, a profile or tensors that do not fit the network; IoError for a bad file.
  static Model create(const ModelSpec& spec);

  /// Writes the file whole or not at all, its f32 tensors as they are or rounded to f16 or bf16. Throws IoError, and
  /// InvalidArgument for a number beyond f16's range.
  void save(const std::filesystem::path& path, DType dtype = DType::kF32) const;

  /// What the file holds: the tensors as f32, f16 or bf16, all else as text; and the model of it, for which
  /// InvalidArgument is thrown as load throws IoError.
  SafeTensors content(DType dtype = DType::kF32) const;
  static Model from_content(const SafeTensors& content);

  const std::string& arch() const { return arch_; }
  const Network& network() const { return network_; }
  const Graph& graph() const { return network_.graph; }
  const Parameters& parameters() const { return network_.parameters; }
  const std::vector<ClassInfo>& classes() const { return classes_; }

  /// Preprocessing: the model's own where it has one, else what leaves points and voxels as they are, and
  /// FrameProfile's defaults for frames.
  const Profile& profile() const { return profile_; }
  bool has_profile() const { return has_profile_; }
  std::optional<Profile> own_profile() const { return has_profile_ ? std::optional(profile_) : std::nullopt; }

  /// What streams of a network on video may leave out, where it was calibrated.
  const std::optional<SkipThresholds>& skip_thresholds() const { return skip_thresholds_; }

  /// What the maps of a detector mean.
  const std::optional<DetectionHead>& detection() const { return detection_; }

  /// Rows and channels of every value of the graph.
  const GraphValues& values() const { return values_; }

  /// Trained numbers: all parameters but running statistics.
  std::int64_t parameter_count() const;

  /// The same network with other weights under the same names. Throws InvalidArgument for missing ones and other
  /// shapes.
  Model with_parameters(Parameters parameters) const;

  /// The same network behind another preprocessing. Throws InvalidArgument when its channels are not the network's.
  Model with_profile(Profile profile) const;

  /// The same network whose maps mean this. Throws InvalidArgument where they cannot.
  Model with_detection(DetectionHead detection) const;

  /// The same network with these thresholds in its file. Throws InvalidArgument for invalid ones, for layers that the
  /// graph has not, and for a network that does not take frames.
  Model with_skip_thresholds(SkipThresholds thresholds) const;

 private:
  std::string arch_;
  Network network_;
  bool has_profile_;
  Profile profile_;
  std::vector<ClassInfo> classes_;
  std::optional<SkipThresholds> skip_thresholds_;
  std::optional<DetectionHead> detection_;
  GraphValues values_;
};

/// Whether a `.safetensors` file says that it is a model, and no other tensors. Throws IoError "FILE: .." for what is
/// no such file.
bool is_model_file(const std::filesystem::path& path);

}  // namespace voxshift
