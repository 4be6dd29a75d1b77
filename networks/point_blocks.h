// Blocks of the networks on point clouds: PVCNN, PVCNN++, PointNet++.
#pragma once

#include <voxshift/networks/network_builder.h>

#include <cstdint>
#include <string>
#include <vector>

namespace voxshift {

/// A product of every row with its batch norm and ReLU: tensors `layer`.{weight,bias}, `norm`.*.
std::string linear_norm_relu(NetworkBuilder& net, const std::string& layer, const std::string& norm,
                             const std::string& x, std::int64_t out);

/// PVCNN's SharedMLP: the same layers for every row, as many as there are `channels`. Tensors
/// `name`.layers.{0,1}, `name`.layers.{3,4}, and so on.
std::string shared_mlp(NetworkBuilder& net, const std::string& name, const std::string& x,
                       const std::vector<std::int64_t>& channels);

struct PvConvOptions {
  DenseGridOptions grid;
  bool squeeze = false;  ///< squeeze and excitation of the cells, reduction 8
};

/// Point-voxel convolution (Liu et al., NeurIPS 2019): two 3^3 convolutions on a dense grid around each cloud, taken at
/// the points, plus a SharedMLP of the points. Tensors `name`.voxel_layers.{0,1,3,4,6.fc} and
/// `name`.point_features.layers.{0,1}. Throws InvalidArgument when squeeze finds fewer than 8 channels.
std::string pv_conv(NetworkBuilder& net, const std::string& name, const std::string& x, std::int64_t out,
                    const PvConvOptions& options);

/// One scale of a set abstraction.
struct Grouping {
  float radius = 0;  ///< metres
  std::int64_t neighbors = 0;
  std::vector<std::int64_t> channels;  ///< of the SharedMLP
};

/// PointNet++'s set abstraction: per scale the largest value, over the neighbours of each of `centers` furthest points,
/// of a SharedMLP of their relative x y z and features; the scales beside each other. Tensors `name`.mlps.k.*.
std::string set_abstraction(NetworkBuilder& net, const std::string& name, const std::string& x, std::int64_t centers,
                            const std::vector<Grouping>& scales);

/// The last set abstraction: one row per cloud, the largest value of a SharedMLP of features, then x y z. Tensors
/// `name`.mlps.0.*.
std::string set_abstraction_all(NetworkBuilder& net, const std::string& name, const std::string& x,
                                const std::vector<std::int64_t>& channels);

/// PointNet++'s feature propagation: `x` at the rows of `skip`, `skip` beside it, SharedMLP `name`.mlp. Three nearest
/// centers are mixed, or a cloud's row is handed to its points ("broadcast").
std::string feature_propagation(NetworkBuilder& net, const std::string& name, const std::string& x,
                                const std::string& skip, const std::vector<std::int64_t>& channels,
                                const std::string& interpolation = "three_nearest");

/// int(factor * count). Throws InvalidArgument when that is less than 1.
std::int64_t scaled(double factor, std::int64_t count);
std::vector<std::int64_t> scaled(double factor, std::vector<std::int64_t> counts);

/// Throws InvalidArgument for a width or resolution factor outside [1/32, 8], and for fewer columns than `least`.
void check_point_network(double width, double resolution, std::int64_t in_channels, std::int64_t least);

}  // namespace voxshift
