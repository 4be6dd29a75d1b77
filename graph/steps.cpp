#include <voxshift/graph/steps.h>
#include <voxshift/point_voxel/kernels.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/tensor/kernels.h>

namespace voxshift {
namespace {

void lower_reduction(const Draft& draft, Lowering& lowering, Reduce reduce) {
  const int link = lowering.link(lowering.domain(draft.inputs[0]), lowering.domain(draft.output), false);
  lowering.add(draft, std::make_unique<ReduceStep>(link, reduce));
}

}  // namespace

void AffineStep::set(const ScaleShift& norm, Device device) {
  scale_ = norm.scale.to(device);
  shift_ = norm.shift.to(device);
}

void AffineStep::run(const StepRun& run) const {
  row_kernels(run.context.device)
      .affine(run.context, run.x, floats_of(scale_), floats_of(shift_), run.other, activation_, run.y);
}

void ReduceStep::run(const StepRun& run) const {
  coordinate_kernels(run.context.device).reduce(run.context, run.x, run.rows.link(link_).parents, reduce_, run.y);
}

void InterpolateStep::run(const StepRun& run) const {
  const LinkRows& link = run.rows.link(link_);
  point_voxel_kernels(run.context.device)
      .interpolate(run.context, run.x, link.indices + run.first * link.corners, link.weights + run.first * link.corners,
                   link.corners, run.y);
}

void GatherStep::run(const StepRun& run) const {
  row_kernels(run.context.device).gather(run.context, run.x, run.rows.link(link_).parents + run.first, run.y);
}

void CoordinatesStep::run(const StepRun& run) const {
  const ConstRowView& points = run.rows.domain(domain).points;
  row_kernels(run.context.device).affine(run.context, points.columns(0, 3), nullptr, nullptr, {}, {}, run.y);
}

void lower_affine(const Draft& draft, Lowering& lowering) {
  auto step = std::make_unique<AffineStep>(draft.activation);
  if (draft.norm) step->set(*draft.norm, lowering.device());
  lowering.add(draft, std::move(step));
}

void lower_mean(const Draft& draft, Lowering& lowering) { lower_reduction(draft, lowering, Reduce::kMean); }
void lower_max(const Draft& draft, Lowering& lowering) { lower_reduction(draft, lowering, Reduce::kMax); }

void lower_sum(const Draft& draft, Lowering& lowering) { lower_reduction(draft, lowering, Reduce::kSum); }

void lower_interpolation(const Draft& draft, Lowering& lowering) {
  const int link = lowering.link(lowering.domain(draft.output), lowering.domain(draft.inputs[0]), true);
  lowering.add(draft, std::make_unique<InterpolateStep>(link));
}

void lower_gather(const Draft& draft, Lowering& lowering, const std::string& other) {
  const int link = lowering.link(lowering.domain(draft.output), lowering.domain(draft.inputs[0]), false);
  lowering.add(draft, std::make_unique<GatherStep>(draft.op->name, link), other);
}

void lower_coordinates(const Draft& draft, Lowering& lowering) {
  lowering.add(draft, std::make_unique<CoordinatesStep>());
}

}  // namespace voxshift
