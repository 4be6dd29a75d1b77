#include <voxshift/graph/elementwise.h>
#include <voxshift/rows/kernels.h>

#include <utility>

namespace voxshift {

void ElementwiseStep::run(const StepRun& run) const {
  row_kernels(run.context.device).apply(run.context, f_, run.x, run.y);
}

RowFunctionStep::RowFunctionStep(const char* kind, const RowFunction& f, std::optional<ScaleShift> norm)
    : kind_(kind), f_(f), norm_(std::move(norm)) {
  if (!norm_) return;
  f_.weight = std::as_const(norm_->scale).data<float>();
  if (norm_->shift.count() > 0) f_.bias = std::as_const(norm_->shift).data<float>();
}

void RowFunctionStep::run(const StepRun& run) const {
  row_kernels(run.context.device).apply(run.context, f_, run.x, run.y);
}

void lower_elementwise(const Draft& draft, Lowering& lowering) {
  lowering.add(draft, std::make_unique<ElementwiseStep>(draft.op->name, draft.activation.function));
}

}  // namespace voxshift
