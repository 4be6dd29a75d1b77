// What is not a number stays one through activations and maxima, on every device and instruction set.
#include <gtest/gtest.h>
#include <voxshift/point_voxel/voxelize.h>
#include <voxshift/rows/ops.h>
#include <voxshift/sparse_conv/pool.h>
#include <voxshift/video/conv2d.h>
#include <voxshift/video/kernels.h>
#include <voxshift/video/pool2d.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "image_fixture.h"

namespace voxshift {
namespace {

using oracle::Coords;
using oracle::Image;
using oracle::Matrix;
using Kind = Activation::Kind;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
const std::vector<Kind> kKinds = {Kind::kNone, Kind::kRelu, Kind::kRelu6, Kind::kLeakyRelu};

class NotANumberTest : public ImageTest {
 protected:
  // Where `wanted` is not a number, and nowhere else, `found` is none.
  static void expect_nans(const Array& found, const std::vector<double>& wanted) {
    const auto values = host<float>(found);
    ASSERT_EQ(values.size(), wanted.size());
    for (std::size_t i = 0; i < values.size(); ++i)
      ASSERT_EQ(std::isnan(values[i]), std::isnan(wanted[i])) << "value " << i << " of " << values.size();
  }
};
VOXSHIFT_FOR_EACH_DEVICE(NotANumberTest);

TEST_P(NotANumberTest, ActivationsOfRowsAndVoxels) {
  for (const std::size_t channels : {1, 3, 16, 19, 67}) {
    const auto coords = test_data::cloud(3, 40, 1);
    Matrix in = test_data::whole(coords.size(), channels, 2), identity(channels, channels);
    for (std::size_t r = 0; r < in.rows; ++r)
      if (r % 3 == 1) in.at(r, r % channels) = kNan;
    for (std::size_t c = 0; c < channels; ++c) identity.at(c, c) = 1;
    Matrix spread = in;  // a product with 0 is not a number either
    for (std::size_t r = 0; r < in.rows; ++r)
      if (r % 3 == 1) std::fill_n(spread.values.begin() + static_cast<std::ptrdiff_t>(r * channels), channels, kNan);
    for (const Kind kind : kKinds) {
      const Activation activation{kind, 0.5F};
      expect_nans(affine(array(in), {}, {}, activation), in.values);
      expect_nans(linear(array(in), array(identity), {}, activation), spread.values);
      ConvOptions options = options_of(test_data::cube(3, 1));
      options.activation = activation;
      expect_nans(conv(tensor(coords, in), weight(identity, 1), options).features(), spread.values);
    }
  }
}

TEST_P(NotANumberTest, ActivationsOfImages) {
  for (const std::int64_t channels : {1, 3, 8, 16, 19, 40})
    for (const bool depthwise : {false, true}) {
      Image in = whole_image(5, 8, channels, 3);
      in.at(1, 2, channels / 2) = in.at(4, 7, channels - 1) = kNan;
      const std::int64_t each = depthwise ? 1 : channels;
      const Array weights = DeviceTest::array(whole_numbers(channels * each * 9, 4), {channels, each, 3, 3});
      const Image expected =
          oracle::conv2d(in, whole_numbers(channels * each * 9, 4), {}, channels, {3, 1, 1}, depthwise ? channels : 1)
              .value;
      for (const Kind kind : kKinds)
        expect_nans(conv2d(array(in), weights, {}, {1, 1, depthwise ? channels : 1, {kind, 0.5F}}), expected.values);
    }
}

// The maximum of three values, one of them none, in any order.
TEST_P(NotANumberTest, Maxima) {
  for (std::size_t place = 0; place < 3; ++place)
    for (const std::size_t channels : {1, 3, 16, 19}) {
      Matrix in = test_data::whole(3, channels, 5);
      const std::size_t channel = channels / 2;
      in.at(place, channel) = kNan;
      std::vector<double> expected(channels);
      expected[channel] = kNan;
      const auto n = static_cast<std::int64_t>(channels);
      const SparseTensor x = tensor(Coords{{0, 0}, {0, 1}, {0, 2}}, in);
      expect_nans(pool(x, Pooling::kMax, options_of(test_data::cube(1, 4, 4))).features(), expected);
      expect_nans(global_pool(x, Pooling::kMax), expected);
      expect_nans(max_pool2d(array(in, {1, 3, n}), {5, 5, 2}), expected);
      const Array inverse = Array::from(std::vector<std::int32_t>{0, 0, 0}, {3}).to(device());
      expect_nans(voxelize_features(array(in), inverse, 1, Reduce::kMax), expected);

      std::vector<double> gradient(3 * channels);
      gradient[place * channels + channel] = 1;
      Matrix grad(1, channels);
      grad.at(0, channel) = 1;
      const auto as_floats = std::vector<float>(gradient.begin(), gradient.end());
      EXPECT_EQ(host<float>(pool_backward(x, array(grad), Pooling::kMax, options_of(test_data::cube(1, 4, 4)))),
                as_floats);
      EXPECT_EQ(host<float>(global_pool_backward(x, array(grad), Pooling::kMax)), as_floats);
    }
}

}  // namespace
}  // namespace voxshift
