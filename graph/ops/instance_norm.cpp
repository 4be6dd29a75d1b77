#include <voxshift/graph/lowering.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/tensor/kernels.h>

#include <algorithm>
#include <utility>

namespace voxshift::ops {
namespace {

// Batch norm in training mode of every instance by itself.
class InstanceNormStep final : public Step {
 public:
  InstanceNormStep(ScaleShift norm, float eps) : norm_(std::move(norm)), eps_(eps) {}
  std::string kind() const override { return "instance_norm"; }

  void run(const StepRun& run) const override {
    const DomainRows& rows = run.rows.domain(domain);
    if (rows.splits.empty()) return normalize_batches(run, rows.level);
    for (std::size_t b = 0; b + 1 < rows.splits.size(); ++b)
      normalize(run, rows.splits[b], rows.splits[b + 1] - rows.splits[b]);
  }

 private:
  // Of voxels, whose batches follow one another.
  void normalize_batches(const StepRun& run, const Level& level) const {
    if (level.count == 0) return;
    if (level.layout.extent(0) == 1) return normalize(run, 0, level.count);
    const Device device = run.context.device;
    const Arena::Mark mark = run.context.arena->mark();
    auto* batches = run.context.arena->allocate<std::int32_t>(level.count);
    coordinate_kernels(device).batches(run.context, level, batches);
    std::vector<std::int32_t> copy;
    if (device.kind != Device::Kind::kCpu) {
      copy.resize(static_cast<std::size_t>(level.count));
      runtime(device).copy_to_host(device, copy.data(), batches, copy.size() * sizeof(*batches));
      batches = copy.data();
    }
    const std::int32_t* const end = batches + level.count;
    for (const std::int32_t *first = batches, *last = first; first != end; first = last) {
      last = std::upper_bound(first, end, *first);
      normalize(run, first - batches, last - first);
    }
    run.context.arena->rewind(mark);
  }

  void normalize(const StepRun& run, std::int64_t first, std::int64_t count) const {
    const RowKernels& kernels = row_kernels(run.context.device);
    Arena& scratch = *run.context.arena;
    const Arena::Mark mark = scratch.mark();
    const std::int64_t channels = run.y.channels;
    auto *mean = scratch.allocate<float>(channels), *variance = scratch.allocate<float>(channels);
    const BatchNormLayer layer{norm_.scale.data<float>(), norm_.shift.data<float>(), eps_, {}};
    const ConstRowView x = run.x.rows(first, count);
    const RowView y = run.y.rows(first, count);
    if (x.dtype == DType::kF32) {
      kernels.batch_norm(run.context, x, layer, {}, y, mean, variance);
    } else {
      const RowView wide{scratch.allocate<float>(count * channels), channels, count, channels, DType::kF32};
      kernels.affine(run.context, x, nullptr, nullptr, {}, {}, wide);
      kernels.batch_norm(run.context, wide, layer, {}, wide, mean, variance);
      kernels.affine(run.context, wide, nullptr, nullptr, {}, {}, y);
    }
    scratch.rewind(mark);
  }

  const ScaleShift norm_;  // on the device
  float eps_;
};

void lower_instance_norm(const Draft& draft, Lowering& lowering) {
  const std::int64_t channels = lowering.channels(draft.output);
  const auto values = [&](const char* role, float usual) {
    if (draft.node->parameters.contains(role)) return lowering.parameter(draft, role).to(lowering.device());
    return Array::from(std::vector<float>(static_cast<std::size_t>(channels), usual), {channels}).to(lowering.device());
  };
  lowering.add(draft, std::make_unique<InstanceNormStep>(ScaleShift{values("weight", 1), values("bias", 0)},
                                                         draft.node->number("eps")));
}

}  // namespace

extern const OpDefinition instance_norm{
    .name = "instance_norm",
    .text =
        "(x - mean) / sqrt(variance + eps) * weight + bias; mean and variance, biased, of each channel over the rows "
        "of each image, cloud or batch. torch.nn.InstanceNorm2d, MinkowskiInstanceNorm.",
    .inputs = {"x"},
    .parameters = {{"weight", "[C]", false}, {"bias", "[C]", false}},
    .attributes = {number("eps", 0, 1e3, "added to the variance", {1e-5})},
    .infer =
        [](Inference& node) {
          node.expect_parameter("weight", {{node.in(0).channels}});
          node.expect_parameter("bias", {{node.in(0).channels}});
          return node.in(0);
        },
    .lower = lower_instance_norm,
    .narrow = true,
};

}  // namespace voxshift::ops
