#include <voxshift/detection/box_finder.h>
#include <voxshift/detection/boxes.h>
#include <voxshift/quantize/loss.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace voxshift {
namespace {

constexpr float kSameBox = 0.7f;

std::int64_t largest(const float* row, std::int64_t channels) { return std::max_element(row, row + channels) - row; }

// Boxes of `a` that have no box of the same class and place in `b`.
std::int64_t without_counterpart(const Detections& a, const Detections& b) {
  const std::int64_t count = a.scores.count(), others = b.scores.count();
  if (count == 0 || others == 0) return count;
  const Array overlaps = boxes_iou_bev(a.boxes, b.boxes);
  std::int64_t missing = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    bool found = false;
    for (std::int64_t j = 0; j < others && !found; ++j)
      found = a.classes.data<std::int32_t>()[i] == b.classes.data<std::int32_t>()[j] &&
              overlaps.data<float>()[i * others + j] >= kSameBox;
    missing += found ? 0 : 1;
  }
  return missing;
}

Detections boxes_of(const Model& model, const BoxFinder& finder, const std::vector<Array>& outputs,
                    const std::function<Extent2d(std::size_t)>& extent) {
  Arena arena;
  const Context context{Device::cpu(), nullptr, num_threads(), &arena};
  return finder.find(context, [&](const std::string& name) {
    const auto o =
        static_cast<std::size_t>(std::ranges::find(model.graph().outputs, name) - model.graph().outputs.begin());
    const Extent2d image = extent(o);
    return MapView{rows_of(outputs[o]), image.height, image.width};
  });
}

}  // namespace

void OutputLoss::add(const std::vector<Array>& exact, const std::vector<Array>& rounded,
                     const std::function<Extent2d(std::size_t)>& extent) {
  for (std::size_t o = 0; o < exact.size(); ++o) {
    check(exact[o].shape() == rounded[o].shape(), "[quantize] output ", o, " has other rows than in f32, ",
          rounded[o].shape(), " in place of ", exact[o].shape());
    const float *a = exact[o].data<float>(), *b = rounded[o].data<float>();
    for (std::int64_t e = 0; e < exact[o].count(); ++e) {
      const double difference = static_cast<double>(b[e]) - a[e];
      if (!std::isfinite(difference)) continue;
      signal_ += static_cast<double>(a[e]) * a[e];
      noise_ += difference * difference;
    }
  }
  if (model_->detection()) {
    add_boxes(exact, rounded, extent);
  } else if (!model_->classes().empty()) {
    add_labels(exact.front(), rounded.front());
  }
}

void OutputLoss::add_labels(const Array& exact, const Array& rounded) {
  const std::int64_t channels = exact.dim(1);
  if (channels < 2) return;
  for (std::int64_t i = 0; i < exact.dim(0); ++i) {
    ++things_;
    other_ +=
        largest(exact.data<float>() + i * channels, channels) != largest(rounded.data<float>() + i * channels, channels)
            ? 1
            : 0;
  }
}

void OutputLoss::add_boxes(const std::vector<Array>& exact, const std::vector<Array>& rounded,
                           const std::function<Extent2d(std::size_t)>& extent) {
  const BoxFinder finder(*model_->detection(), static_cast<std::int64_t>(model_->classes().size()), Device::cpu(),
                         [this](const std::string& output) { return model_->values().channels(output); });
  const Detections a = boxes_of(*model_, finder, exact, extent), b = boxes_of(*model_, finder, rounded, extent);
  things_ += a.scores.count() + b.scores.count();
  other_ += without_counterpart(a, b) + without_counterpart(b, a);
}

double OutputLoss::snr() const {
  if (noise_ == 0) return std::numeric_limits<double>::infinity();
  return 10 * std::log10(signal_ / noise_);
}

double OutputLoss::points() const {
  const bool has_things =
      model_->detection() || (!model_->classes().empty() && model_->values().channels(model_->graph().output()) > 1);
  if (has_things) return things_ == 0 ? 0 : 100 * static_cast<double>(other_) / static_cast<double>(things_);
  return noise_ == 0 ? 0 : 100 * std::sqrt(noise_ / signal_);
}

}  // namespace voxshift
