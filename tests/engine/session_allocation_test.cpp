// A segmenter, and a detector, calls the allocator for nothing but its results once it has seen its largest scan.
#include <gtest/gtest.h>
#include <voxshift/networks/minkunet.h>
#include <voxshift/networks/pvcnn.h>
#include <voxshift/networks/spvcnn.h>
#include <voxshift/synth/lidar.h>
#include <voxshift/tasks/detector.h>
#include <voxshift/tasks/model.h>
#include <voxshift/tasks/segmenter.h>

#include "counting_allocator.h"
#include "networks.h"

namespace voxshift {
namespace {

Array first_points(const SynthScan& scan, std::int64_t n) {
  return Array::from(std::vector<float>(scan.points.begin(), scan.points.begin() + 4 * n), {n, 4});
}

Model model_of(const char* arch, const Network& network, const char* profile) {
  return {arch, network.graph, network.parameters, find_profile(profile), semantic_kitti_classes()};
}

Model minkunet() { return model_of("minkunet", make_minkunet(1.0 / 16, 19, 1), "spvnas"); }

Model spvcnn() { return model_of("spvcnn", make_spvcnn(1.0 / 16, 19, 1), "spvnas"); }

Model pvcnn() {
  PvcnnSpec spec = PvcnnSpec::s3dis();
  spec.width = spec.resolution = 1.0 / 8;
  spec.in_channels = 7;
  spec.classes = 19;
  return model_of("pvcnn", make_pvcnn(spec, 1), "kitti-blocks");
}

class SessionAllocation : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    if (!kCanCount) GTEST_SKIP() << "a sanitizer, or another libc than glibc, has the allocator";
  }
};

INSTANTIATE_TEST_SUITE_P(Threads, SessionAllocation, ::testing::Values(1, 2, 3));

TEST_P(SessionAllocation, TheCounterCounts) {
  EXPECT_EQ(calls_in([] {}), 0);
  EXPECT_GE(calls_in([] { Array({3}, DType::kF32); }), 1);
  EXPECT_EQ(calls_in([] { std::free(std::malloc(100)); }), 1);
  EXPECT_EQ(calls_in([] { std::free(std::aligned_alloc(64, 128)); }), 1);
}

TEST_P(SessionAllocation, ASecondScanTakesItsResultsOnly) {
  for (const Model& model : {minkunet(), spvcnn(), pvcnn()}) {
    SCOPED_TRACE(model.arch());
    const SynthScan scan = synth_lidar(1);
    const std::int64_t all = 9000;
    Segmenter segmenter(model, Device::cpu(), GetParam());
    segmenter.segment(first_points(scan, all), true);
    for (const std::int64_t n : {all, all - 1, all / 2, std::int64_t{100}, std::int64_t{1}, std::int64_t{0}, all}) {
      SCOPED_TRACE(n);
      const Array points = first_points(scan, n);
      for (const bool with_scores : {false, true}) {
        // What the results themselves take.
        const long results = calls_in([&] {
          [[maybe_unused]] const Segmentation result{Array({n}, DType::kU8),
                                                     Array({with_scores ? n : 0, 19}, DType::kF32)};
        });
        EXPECT_GT(results, 0);
        EXPECT_EQ(calls_in([&] { segmenter.segment(points, with_scores); }), results);
      }
    }
  }
}

TEST_P(SessionAllocation, ASecondTensorTakesItsLogitsOnly) {
  const Model model = minkunet();
  const SynthScan scan = synth_lidar(1);
  Segmenter segmenter(model, Device::cpu(), GetParam());
  const SparseTensor large = voxelize(first_points(scan, 20000), model.profile().voxelize).tensor;
  const SparseTensor small = voxelize(first_points(scan, 5000), model.profile().voxelize).tensor;
  segmenter.session().forward(large);
  for (const SparseTensor& x : {large, small, large}) {
    const long results = calls_in([&] { Array({x.size(), 19}, DType::kF32); });
    EXPECT_EQ(calls_in([&] { segmenter.session().forward(x); }), results);
  }
}

TEST_P(SessionAllocation, ASecondScanTakesItsBoxesOnly) {
  for (const char* arch : {"second", "pointpillars", "centerpoint"}) {
    SCOPED_TRACE(arch);
    ModelSpec spec;
    spec.arch = arch;
    spec.width = 1.0 / 16;
    if (spec.arch == "centerpoint") spec.profile = "lidar", spec.classes = 4;
    const Model model = Model::create(spec);
    const SynthScan scan = synth_lidar(1);
    Detector detector(model, Device::cpu(), GetParam());
    const auto all = static_cast<std::int64_t>(scan.labels.size());
    const std::int64_t most = detector.detect(first_points(scan, all)).scores.count();
    EXPECT_GT(most, 5);
    for (const std::int64_t n : {all, all / 2, std::int64_t{1}, std::int64_t{0}, all}) {
      SCOPED_TRACE(n);
      const Array points = first_points(scan, n);
      const std::int64_t found = detector.detect(points).scores.count();
      const long results = calls_in([&] {
        [[maybe_unused]] const Detections result{Array({found, 7}, DType::kF32), Array({found}, DType::kF32),
                                                 Array({found}, DType::kI32)};
      });
      EXPECT_EQ(calls_in([&] { detector.detect(points); }), results);
    }
  }
}

// Of a network whose rows depend on features, too, whatever it selects.
TEST_P(SessionAllocation, SelectionsTakeTheirResultsOnly) {
  NetworkWriter b(4);
  const std::string scores = b.conv(kGraphInput, 1), kept = b.add_node("prune", {kGraphInput, scores}, 4).name,
                    y = b.conv(kept, 6), made = b.grouped("generative_conv_transpose", y, 6, cube(3, 2)),
                    number = b.conv(made, 1);
  Node& best = b.add_node("top_k", {made, number}, 6);
  best.attributes = {{"count", std::int64_t{50}}};
  b.graph.outputs = {b.conv(best.name, 5)};
  Session session({b.graph, b.parameters}, Device::cpu(), Threads(GetParam()));
  const SparseTensor large = whole_tensor(3, 3000, 4, 1), small = whole_tensor(3, 500, 4, 2);
  session.forward(large);
  for (const SparseTensor& x : {large, small, large}) {
    const std::int64_t rows = session.forward(x).dim(0);
    EXPECT_GT(rows, 50);
    const long results = calls_in([&] { Array({rows, 5}, DType::kF32); });
    EXPECT_EQ(calls_in([&] { session.forward(x); }), results);
  }
}

}  // namespace
}  // namespace voxshift
