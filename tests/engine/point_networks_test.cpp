// Networks with points in the executor: the same as node by node, the same bits for any number of threads and on every
// run, batches as single clouds.
#include <voxshift/engine/evaluate.h>
#include <voxshift/networks/pointnet2.h>
#include <voxshift/networks/pvcnn.h>
#include <voxshift/networks/spvcnn.h>
#include <voxshift/networks/spvnas.h>
#include <voxshift/synth/lidar.h>
#include <voxshift/tasks/segmenter.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "device_fixture.h"

namespace voxshift {
namespace {

Model model_of(const std::string& name, const Network& network, const char* profile, int classes) {
  std::vector<ClassInfo> list;
  for (int c = 0; c < classes; ++c) list.push_back({std::to_string(c), static_cast<std::uint32_t>(c + 1), {}});
  return {name, network.graph, network.parameters, find_profile(profile), list};
}

PvcnnSpec small(PvcnnSpec spec) {
  spec.width = 0.25;
  spec.resolution = 0.125;
  return spec;
}

// A part of the points that are sampled, and of the neighbours of each.
Network thinned(Network network, std::int64_t part) {
  for (Node& node : network.graph.nodes)
    if (node.op == "furthest_point_sample" || node.op == "group")
      node.attributes["count"] = std::max<std::int64_t>(1, node.whole("count") / part);
  return network;
}

class PointNetworksTest : public DeviceTest {
 protected:
  std::vector<Model> point_models() const {
    const std::int64_t part = emulated() ? 8 : 1;
    return {model_of("pvcnn", make_pvcnn(small(PvcnnSpec::s3dis()), 1), "s3dis", 13),
            model_of("pvcnn-shapenet", make_pvcnn(small(PvcnnSpec::shapenet()), 2), "shapenet", 50),
            model_of("pvcnn++", thinned(make_pvcnn2(small(PvcnnSpec::s3dis()), 3), part), "s3dis", 13),
            model_of("pointnet++", thinned(make_pointnet2(small(PvcnnSpec::shapenet()), 4), part), "shapenet", 50)};
  }
};
VOXSHIFT_FOR_EACH_DEVICE(PointNetworksTest);

class BfloatPointNetworksTest : public PointNetworksTest {};
INSTANTIATE_TEST_SUITE_P(Devices, BfloatPointNetworksTest, ::testing::Values(Device::cuda()), device_name);

// Points in [-1, 1) with features in the same range.
Array random_points(std::int64_t n, std::int64_t channels, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(static_cast<std::size_t>(n * channels));
  for (float& v : values) v = uniform(random);
  return Array::from(values, {n, channels});
}

Array splits_of(const std::vector<std::int64_t>& splits) {
  return Array::from(splits, {static_cast<std::int64_t>(splits.size())});
}

// Folded and fused sums round otherwise.
void expect_near(const Array& actual, const Array& expected) {
  ASSERT_EQ(actual.shape(), expected.shape());
  const auto a = host<float>(actual), b = host<float>(expected);
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    error += std::pow(double{a[i]} - b[i], 2);
    norm += std::pow(double{b[i]}, 2);
  }
  EXPECT_LE(std::sqrt(error), 1e-5 * std::sqrt(norm));
}

TEST_P(PointNetworksTest, EqualTheGraphNodeByNodeForAnyNumberOfThreads) {
  for (const Model& model : point_models()) {
    SCOPED_TRACE(model.arch());
    // Unequal clouds, an empty one, and more rows in all than run together at once.
    const std::int64_t unit = emulated() ? 10 : kSanitized ? 30 : 100;
    const PointSet clouds{random_points(42 * unit, model.graph().input().channels, 5).to(device()),
                          splits_of({0, 25 * unit, 25 * unit, 41 * unit, 42 * unit})};
    Segmenter one(model, device(), 1, DType::kF32);
    const Array expected = one.session().forward(clouds);
    expect_near(expected, evaluate(model.graph(), model.parameters(), clouds));
    for (const int threads : thread_counts())
      expect_same_bits(Segmenter(model, device(), threads, DType::kF32).session().forward(clouds), expected);
  }
}

// Sums of bf16 numbers in another order are now and then rounded to the neighbour, which is less than what all rounding
// does.
TEST_P(BfloatPointNetworksTest, AreTheCpus) {
  for (const Model& model : point_models()) {
    SCOPED_TRACE(model.arch());
    const std::int64_t n = emulated() ? 100 : 2000;
    const Array points = random_points(n, model.graph().input().channels, 5);
    const auto logits = [&](Device on, DType dtype) {
      return host<float>(Segmenter(model, on, 1, dtype).session().forward(PointSet{points.to(on), std::nullopt}));
    };
    const auto wide = logits(Device::cpu(), DType::kF32), expected = logits(Device::cpu(), DType::kBF16),
               found = logits(device(), DType::kBF16);
    double error = 0, lost = 0;
    for (std::size_t i = 0; i < wide.size(); ++i) {
      error += std::pow(double{found[i]} - expected[i], 2);
      lost += std::pow(double{expected[i]} - wide[i], 2);
    }
    EXPECT_LE(error, lost);
    EXPECT_GT(lost, 0);
  }
}

TEST_P(PointNetworksTest, CloudsOfABatchDoNotSeeEachOther) {
  for (const Model& model : point_models()) {
    SCOPED_TRACE(model.arch());
    const std::int64_t channels = model.graph().input().channels;
    const std::int64_t unit = emulated() ? 30 : kSanitized ? 100 : 300;
    const Array points = random_points(3 * unit, channels, 6);
    Segmenter segmenter(model, device(), 2, DType::kF32);
    const auto both =
        host<float>(segmenter.session().forward(PointSet{points.to(device()), splits_of({0, 2 * unit, 3 * unit})}));
    const float* x = std::as_const(points).data<float>();
    const auto part = [&](std::int64_t first, std::int64_t last) {
      const std::vector<float> values(x + first * channels, x + last * channels);
      return host<float>(segmenter.session().forward(
          PointSet{Array::from(values, {last - first, channels}).to(device()), std::nullopt}));
    };
    std::vector<float> apart = part(0, 2 * unit);
    const std::vector<float> second = part(2 * unit, 3 * unit);
    apart.insert(apart.end(), second.begin(), second.end());
    EXPECT_EQ(both, apart);
  }
}

TEST_P(PointNetworksTest, EmptySets) {
  for (const Model& model : point_models()) {
    SCOPED_TRACE(model.arch());
    Segmenter segmenter(model, device(), 2, DType::kF32);
    const PointSet none{Array({0, model.graph().input().channels}, DType::kF32, device()), std::nullopt};
    EXPECT_EQ(segmenter.session().forward(none).dim(0), 0);
    EXPECT_EQ(segmenter.segment(Array({0, model.profile().columns()}, DType::kF32, device())).labels.count(), 0);
  }
}

TEST_P(PointNetworksTest, VoxelNetworksWithAPointBranch) {
  const SynthScan scan = synth_lidar(2);
  const std::int64_t n = emulated() ? 1000 : 12000;
  const Array points =
      Array::from(std::vector<float>(scan.points.begin(), scan.points.begin() + 4 * n), {n, 4}).to(device());
  for (const Model& model : {model_of("spvcnn", make_spvcnn(1.0 / 8, 19, 1), "spvnas", 19),
                             model_of("spvnas", make_spvnas(default_spvnas_config(1.0 / 8), 2), "spvnas", 19)}) {
    SCOPED_TRACE(model.arch());
    const SparseTensor x = voxelize(points, model.profile().voxelize).tensor;
    ASSERT_GT(x.size(), emulated() ? 512 : 8192);
    Segmenter one(model, device(), 1, DType::kF32);
    const Array expected = one.session().forward(x);
    expect_near(expected, evaluate(model.graph(), model.parameters(), x));
    for (const int threads : thread_counts())
      expect_same_bits(Segmenter(model, device(), threads, DType::kF32).session().forward(x), expected);
  }
}

TEST_P(PointNetworksTest, BlocksLabelEveryFinitePoint) {
  PvcnnSpec spec = small(PvcnnSpec::s3dis());
  spec.in_channels = 7;
  const Model model = model_of("pvcnn", make_pvcnn(spec, 1), "kitti-blocks", 13);
  const std::int64_t n = emulated() ? 1000 : 9000;
  Array points = random_points(n, 4, 8);
  for (std::int64_t i = 0; i < n; ++i)  // several blocks
    for (std::int64_t a = 0; a < 2; ++a) points.data<float>()[4 * i + a] *= emulated() ? 15 : 30;
  points.data<float>()[4 * 17 + 1] = std::nanf("");
  Segmenter segmenter(model, device(), 2, DType::kF32);
  const Segmentation result = segmenter.segment(points.to(device()), true);
  const auto labels = host<std::uint8_t>(result.labels);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (i == 17) {
      EXPECT_EQ(labels[i], kUnlabelled);
    } else {
      ASSERT_LT(labels[i], 13) << i;
    }
  }
  EXPECT_EQ(segmenter.report().dropped_points, 1);
  EXPECT_EQ(segmenter.report().voxels, n - 1);
}

TEST_P(PointNetworksTest, InputsThatAreRefused) {
  const Model model = point_models().front();
  Segmenter segmenter(model, device(), 1, DType::kF32);
  const Array points = random_points(10, 9, 1).to(device());
  expect_throw(
      [&] {
        segmenter.session().forward(PointSet{random_points(10, 6, 1).to(device()), std::nullopt});
      },
      {"9 channels", "6"});
  expect_throw([&] { segmenter.session().forward(PointSet{points, splits_of({0, 11})}); }, {"row_splits", "10"});
  expect_throw(
      [&] {
        segmenter.session().forward(PointSet{points, splits_of({0, 7, 3, 10})});
      },
      {"row_splits", "ascend"});
  expect_throw([&] { segmenter.segment(random_points(10, 4, 1).to(device())); }, {"C >= 6", "[10, 4]"});
  Array far = random_points(10, 6, 1);
  far.data<float>()[0] = 1e30f;
  expect_throw([&] { segmenter.segment(far.to(device())); }, {"2^31 blocks"});
  const SparseTensor voxels = voxelize(random_points(10, 9, 1).to(device()), {}).tensor;
  expect_throw([&] { segmenter.session().forward(voxels); }, {"takes points"});
}

}  // namespace
}  // namespace voxshift
