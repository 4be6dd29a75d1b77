#include <voxshift/streaming/skip_cost.h>

#include <algorithm>

namespace voxshift {
namespace skip_cost {
namespace {

// As measured with AVX2 on the steps of MobileNetV2 at 128 x 128, rounded up: what is lost by too much comparing has no
// bound, what is lost by too little has.
constexpr std::int64_t kNumberCompared = 20;  // read, compared and mostly written, beyond the nearest cache
constexpr std::int64_t kPixelSearched = 24;
constexpr std::int64_t kPixelListed = 96;
constexpr std::int64_t kStepListed = 64'000;
constexpr std::int64_t kListedShare = 16;  // a multiply-add by a list costs 1 / 16 more

}  // namespace

std::int64_t dense(const StepWork& all) { return all.macs; }

std::int64_t compared(const StepWork& all) { return all.macs + kNumberCompared * all.numbers; }

std::int64_t listed(const StepWork& some) {
  return some.macs + some.macs / kListedShare + kStepListed + kPixelListed * some.pixels +
         kNumberCompared * some.numbers;
}

std::int64_t search(std::int64_t pixels) { return kPixelSearched * pixels; }

}  // namespace skip_cost

FrameForm SkipPolicy::next(double change) {
  if (comparing_) {
    if (debt_ <= most_debt_) {
      change_ = change;
      return FrameForm::kCompared;
    }
    stop();
    rested_ = 0;
  }
  const bool calm = rest_ == 0 || 2 * change <= change_;
  if (rested_ < rest_ || (!calm && rested_ < kLongestRest)) {
    ++rested_;
    return FrameForm::kDense;
  }
  comparing_ = true;
  frames_ = 0;
  debt_ = balance_ = 0;
  return FrameForm::kFilling;
}

void SkipPolicy::stop() {
  comparing_ = false;
  rest_ = balance_ > 0 ? kShortestRest : std::clamp(2 * rest_, kShortestRest, kLongestRest);
  rested_ = 1;
}

void SkipPolicy::add(std::int64_t cost, std::int64_t dense_cost) {
  most_debt_ = dense_cost / kDebtShare;
  balance_ += dense_cost - cost;
  if (++frames_ > 2) debt_ = std::max<std::int64_t>(0, debt_ + cost - dense_cost);
}

}  // namespace voxshift
