// Networks on point clouds whose checkpoints are converted. Tensors have the checkpoints' names, and no contents.
#pragma once

#include <voxshift/graph/network.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace voxshift {

/// PointNet (Qi et al., CVPR 2017) as yanx27/Pointnet_Pointnet2_pytorch has it. `columns` of the points, of which those
/// behind x y z are features; classes of a cloud or of each point. The T-Nets' biases ..fc3.bias hold the unit matrix.
Network make_pointnet_classifier(std::int64_t columns, std::int64_t classes);
Network make_pointnet_semantic(std::int64_t columns, std::int64_t classes);

/// For parts of objects: the last `kinds` columns say which object it is. fstn.fc3, whose matrices have more numbers
/// than a value may have channels, is two layers: `fstn` + kFirstHalf has the first half of every matrix row's columns.
constexpr const char* kFirstHalf = ".fc3.first";
constexpr const char* kSecondHalf = ".fc3.second";
Network make_pointnet_parts(std::int64_t columns, std::int64_t kinds, std::int64_t classes);

/// One scale of a set abstraction.
struct PointNet2Scale {
  float radius;
  std::int64_t neighbors;
  std::vector<std::int64_t> channels;
};

/// A set abstraction: `centers` points, 0: the whole cloud.
struct PointNet2Level {
  std::int64_t centers;
  std::vector<PointNet2Scale> scales;
};

/// PointNet++ (Qi et al., NeurIPS 2017) of the same code: sa1, sa2, .., then fp.., or fc.. for the class of a cloud.
struct PointNet2Spec {
  std::int64_t columns = 3;   ///< of the points, without `kinds`
  std::int64_t features = 0;  ///< the first columns that the first level groups, or, with `behind`, those behind x y z
  bool behind = false;
  bool multi_scale = false;                   ///< names of conv_blocks and bn_blocks
  std::vector<PointNet2Level> levels;         ///< going down
  std::vector<std::vector<std::int64_t>> up;  ///< channels of fp1, fp2, ..; empty: the class of a cloud
  std::int64_t kinds = 0;                     ///< further columns, one per kind of object
  std::int64_t classes = 0;
};
Network make_pointnet2_network(const PointNet2Spec& spec);

/// PointNet of vinits5/learning3d: five layers, with norms or without, then the class of a cloud or of each point.
/// `names`: what stands before those of the five layers.
Network make_learning3d_pointnet(const std::string& names, const std::array<std::int64_t, 5>& channels, bool norms,
                                 bool of_points, std::int64_t classes);

}  // namespace voxshift
