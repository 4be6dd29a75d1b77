// Smoothing of labels: the sum over a window, and two frames that must agree.
#include <gtest/gtest.h>
#include <voxshift/tasks/label_smoother.h>
#include <voxshift/tensor/error.h>

#include <random>

namespace voxshift {
namespace {

std::vector<float> one_hot(int label, float value = 1, std::size_t classes = 4) {
  std::vector<float> logits(classes);
  logits[static_cast<std::size_t>(label)] = value;
  return logits;
}

std::vector<int> labels(LabelSmoother& smoother, const std::vector<std::vector<float>>& frames) {
  std::vector<int> result;
  for (const auto& frame : frames) result.push_back(smoother.push(frame));
  return result;
}

TEST(LabelSmoother, TheFirstFrameDecidesAlone) {
  LabelSmoother smoother;
  EXPECT_EQ(smoother.push(one_hot(2)), 2);
}

TEST(LabelSmoother, TwoFramesInARowMustAgree) {
  LabelSmoother smoother(1);
  EXPECT_EQ(labels(smoother, {one_hot(0), one_hot(1), one_hot(0), one_hot(1), one_hot(2), one_hot(1), one_hot(1),
                              one_hot(3), one_hot(3)}),
            (std::vector<int>{0, 0, 0, 0, 0, 0, 1, 1, 3}));
}

TEST(LabelSmoother, TheWindowIsSummed) {
  LabelSmoother smoother(3);
  // sums of class 1 against class 0: 0:3 | 2:3 | 4:3 | 6:0 as the first frame leaves
  EXPECT_EQ(labels(smoother, {one_hot(0, 3), one_hot(1, 2), one_hot(1, 2), one_hot(1, 2)}),
            (std::vector<int>{0, 0, 0, 1}));
}

TEST(LabelSmoother, TheLowestOfEquals) {
  LabelSmoother smoother(2);
  EXPECT_EQ(smoother.push(std::vector<float>{1, 2, 2}), 1);
  EXPECT_EQ(smoother.push(std::vector<float>{3, 2, 2}), 1);  // 4, 4, 4: the first frame of class 0
  EXPECT_EQ(smoother.push(std::vector<float>{1, 1, 1}), 0);
}

TEST(LabelSmoother, AsWrittenOut) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  for (const int window : {1, 2, 5, 12}) {
    LabelSmoother smoother(window);
    std::vector<std::vector<float>> frames;
    int label = -1, before = -1;
    for (int f = 0; f < 60; ++f) {
      std::vector<float> logits(3);
      for (float& x : logits) x = normal(random);
      logits[static_cast<std::size_t>(f / 9 % 3)] += 1;
      frames.push_back(logits);
      int best = 0;
      double most = -1e30;
      for (int c = 0; c < 3; ++c) {
        double sum = 0;
        for (int g = std::max(0, f - window + 1); g <= f; ++g)
          sum += frames[static_cast<std::size_t>(g)][static_cast<std::size_t>(c)];
        if (sum > most) best = c, most = sum;
      }
      if (f == 0 || best == before) label = best;
      before = best;
      ASSERT_EQ(smoother.push(logits), label) << "window " << window << ", frame " << f;
    }
  }
}

TEST(LabelSmoother, ResetForgets) {
  LabelSmoother smoother;
  for (int f = 0; f < 5; ++f) smoother.push(one_hot(1, 5));
  smoother.reset();
  EXPECT_EQ(smoother.push(one_hot(3, 0.5f, 7)), 3);  // also the number of classes
}

TEST(LabelSmoother, Errors) {
  EXPECT_THROW(LabelSmoother(0), InvalidArgument);
  EXPECT_THROW(LabelSmoother(-3), InvalidArgument);
  LabelSmoother smoother;
  EXPECT_THROW(smoother.push({}), InvalidArgument);
  smoother.push(one_hot(0));
  EXPECT_THROW(smoother.push(one_hot(0, 1, 5)), InvalidArgument);
  EXPECT_EQ(smoother.push(one_hot(0)), 0);
}

}  // namespace
}  // namespace voxshift
