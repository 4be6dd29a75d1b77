// Costs and choices of form, from counts worked out by hand.
#include <gtest/gtest.h>
#include <voxshift/streaming/skip_cost.h>

#include <string>

namespace voxshift {
namespace {

// One unit is a multiply-add of a dense step.
TEST(SkipCost, OfAStep) {
  const StepWork all{1'000'000, 500, 2000};
  EXPECT_EQ(skip_cost::dense(all), 1'000'000);
  EXPECT_EQ(skip_cost::compared(all), 1'000'000 + 20 * 2000);
  EXPECT_EQ(skip_cost::listed({160'000, 100, 320}), 170'000 + 64'000 + 9600 + 6400);
  EXPECT_EQ(skip_cost::search(1000), 24'000);
}

TEST(SkipCost, NothingIsSavedByAListOfNearlyAll) {
  const auto of = [](std::int64_t pixels) { return StepWork{pixels * 20'000, pixels * 7, pixels * 32}; };
  EXPECT_LT(skip_cost::listed(of(10)), skip_cost::compared(of(64)) / 4);
  EXPECT_LT(skip_cost::listed(of(50)), skip_cost::compared(of(64)));
  EXPECT_GT(skip_cost::listed(of(58)), skip_cost::compared(of(64)));
  EXPECT_GT(skip_cost::listed(of(64)), skip_cost::compared(of(64)));
}

constexpr std::int64_t kDense = 800;  // a frame's cost; 100 is the debt that ends comparing

/// Pushes frames that are `change` apart and cost as much as `cost` says when they are not dense; a letter each.
std::string forms(SkipPolicy& policy, int frames, double change, std::int64_t cost) {
  std::string result;
  for (int f = 0; f < frames; ++f) {
    const FrameForm form = policy.next(change);
    result += form == FrameForm::kDense ? 'd' : form == FrameForm::kFilling ? 'F' : 'c';
    if (form == FrameForm::kFilling) policy.add(kDense + 40, kDense);
    if (form == FrameForm::kCompared) policy.add(cost, kDense);
  }
  return result;
}

std::string dense(int frames) { return std::string(static_cast<std::size_t>(frames), 'd'); }

TEST(SkipPolicy, ComparesAsLongAsItPays) {
  SkipPolicy policy;
  EXPECT_EQ(forms(policy, 100, 5, 799), "F" + std::string(99, 'c'));
  EXPECT_EQ(forms(policy, 100, 50, 800), std::string(100, 'c'));
}

// The first compared frame makes no debt; then 60 and 60 are more than 100.
TEST(SkipPolicy, RestsWhereItDoesNot) {
  SkipPolicy policy;
  EXPECT_EQ(forms(policy, 20, 5, 860), "Fccc" + dense(16));
  SkipPolicy costly;
  EXPECT_EQ(forms(costly, 20, 5, 901), "Fcc" + dense(17));
}

// The frame that was to be compared is one of those that are dense.
TEST(SkipPolicy, StopsAtOnceWhereItIsTold) {
  SkipPolicy policy;
  EXPECT_EQ(forms(policy, 2, 5, 860), "Fc");
  EXPECT_EQ(policy.next(8), FrameForm::kCompared);
  policy.stop();
  EXPECT_EQ(forms(policy, 3, 0, 0), dense(3));
  EXPECT_EQ(policy.next(4), FrameForm::kFilling);
}

// What is saved pays a debt back, and no more than that: frames that cost too much end comparing, however much those
// before have saved.
TEST(SkipPolicy, DebtIsPaidBack) {
  SkipPolicy policy;
  for (int turn = 0; turn < 20; ++turn) {
    std::string found = forms(policy, 1, 5, 890);
    found += forms(policy, 1, 5, 710);
    EXPECT_EQ(found, turn == 0 ? "Fc" : "cc");
  }
  forms(policy, 50, 5, 100);
  EXPECT_EQ(forms(policy, 3, 5, 860), "ccd");
}

// Until frames differ half as much, after four frames at least.
TEST(SkipPolicy, TriesAgainWhenItIsCalm) {
  SkipPolicy policy;
  EXPECT_EQ(forms(policy, 6, 8, 901), "Fccddd");
  EXPECT_EQ(forms(policy, 8, 4.01, 100), dense(8));
  EXPECT_EQ(forms(policy, 4, 4, 100), "Fccc");
  SkipPolicy soon;
  EXPECT_EQ(forms(soon, 3, 8, 901), "Fcc");
  EXPECT_EQ(forms(soon, 6, 0, 100), dense(SkipPolicy::kShortestRest) + "Fc");
}

// A trial that did not pay doubles the rest, one that did makes it short again.
TEST(SkipPolicy, RestsLongerAfterEveryTrialInVain) {
  SkipPolicy policy;
  double change = 1e6;
  EXPECT_EQ(forms(policy, 3, change, 901), "Fcc");
  for (const int rest : {4, 8, 16, 32, 64, 64, 64}) {
    SCOPED_TRACE(rest);
    change /= 2;
    EXPECT_EQ(forms(policy, rest + 3, change, 901), dense(rest) + "Fcc");
  }
  change /= 2;
  EXPECT_EQ(forms(policy, 64 + 5, change, 100), dense(64) + "Fcccc");
  EXPECT_EQ(forms(policy, 1, change, 901), "c");
  change /= 2;
  EXPECT_EQ(forms(policy, 4 + 2, change, 100), dense(4) + "Fc");
}

// Where nothing tells that it has become calm.
TEST(SkipPolicy, TriesAgainAfterTheLongestRest) {
  SkipPolicy policy;
  forms(policy, 3, 5, 901);
  for (int trial = 0; trial < 3; ++trial)
    EXPECT_EQ(forms(policy, SkipPolicy::kLongestRest + 3, 5, 901), dense(SkipPolicy::kLongestRest) + "Fcc");
  EXPECT_EQ(forms(policy, SkipPolicy::kLongestRest + 9, 5, 100), dense(SkipPolicy::kLongestRest) + "Fcccccccc");
}

// Of a camera that always moves the trials' cost stays below 2 % of dense frames.
TEST(SkipPolicy, TrialsCostLittle) {
  for (const std::int64_t cost : {801, 830, 870, 900, 1200}) {
    SkipPolicy policy;
    const std::string found = forms(policy, 2000, 5, cost);
    std::int64_t sum = 0;
    for (const char form : found) sum += form == 'F' ? kDense + 40 : form == 'c' ? cost : kDense;
    EXPECT_LE(sum, 2000 * kDense * 102 / 100) << cost;
  }
}

TEST(SkipPolicy, ResetIsANewOne) {
  SkipPolicy policy;
  forms(policy, 200, 5, 1200);
  policy.reset();
  SkipPolicy other;
  EXPECT_EQ(forms(policy, 300, 5, 901), forms(other, 300, 5, 901));
}

}  // namespace
}  // namespace voxshift
