#include <voxshift/ros/latency.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <bit>
#include <cmath>

namespace voxshift::ros {
namespace {

using std::chrono::nanoseconds;

constexpr std::uint64_t kMostMicroseconds = (std::uint64_t{1} << 36) - 1;

/// With e the doublings above 64, us >> e is in 32..63: bins 32 e + 32 to 32 e + 63; below 64 a bin each.
std::size_t bin_of(std::uint64_t us) {
  const int e = std::max(0, static_cast<int>(std::bit_width(us)) - 6);
  return static_cast<std::size_t>(32 * e) + static_cast<std::size_t>(us >> e);
}

/// The first microsecond that is above the bin.
std::uint64_t end_of(std::size_t bin) {
  const std::size_t e = bin < 64 ? 0 : bin / 32 - 1;
  return static_cast<std::uint64_t>(bin - 32 * e + 1) << e;
}

/// With one digit behind the point, whatever the locale.
std::string milliseconds_text(nanoseconds time) {
  const std::int64_t tenths = (time.count() / 50'000 + 1) / 2;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " ms";
}

}  // namespace

void LatencyHistogram::add(nanoseconds time) {
  const nanoseconds taken = std::max(time, nanoseconds(0));
  ++bins_[bin_of(std::min(static_cast<std::uint64_t>(taken.count() / 1000), kMostMicroseconds))];
  least_ = count_ == 0 ? taken : std::min(least_, taken);
  most_ = std::max(most_, taken);
  ++count_;
}

nanoseconds LatencyHistogram::quantile(double share) const {
  if (count_ == 0) return nanoseconds(0);
  // a little less: 0.07 of 100 is the 7th, and more than that in binary
  const double rank = std::ceil(std::clamp(share, 0.0, 1.0) * static_cast<double>(count_) * (1 - 1e-12));
  std::int64_t left = std::max<std::int64_t>(1, static_cast<std::int64_t>(rank));
  std::size_t bin = 0;
  while (bin + 1 < bins_.size() && bins_[bin] < left) left -= bins_[bin++];
  const nanoseconds end = std::chrono::microseconds(static_cast<std::int64_t>(end_of(bin)));
  return bin + 1 == bins_.size() ? most_ : std::min(end, most_);
}

LatencyBudget::LatencyBudget(nanoseconds budget) : budget_(budget) {
  check(budget.count() > 0, "[latency] budget expects a time above 0, found ", budget.count(), " ns");
}

void LatencyBudget::add(nanoseconds time) {
  times_.add(time);
  late_ += time > budget_ ? 1 : 0;
}

std::string LatencyBudget::text() const {
  std::string text = std::to_string(times_.count()) + " frames, " + std::to_string(late_) + " later than " +
                     milliseconds_text(budget_);
  const char* between = "; ";
  for (const int percent : {50, 90, 99}) {
    text += between + ("p" + std::to_string(percent)) + " " + milliseconds_text(times_.quantile(percent / 100.0));
    between = ", ";
  }
  return text + ", most " + milliseconds_text(times_.most());
}

}  // namespace voxshift::ros
