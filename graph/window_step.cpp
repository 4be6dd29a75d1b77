#include <voxshift/graph/window_step.h>

#include <utility>

namespace voxshift {

WindowStep::WindowStep(const Draft& draft, const Lowering& lowering, const Window2d& reads)
    : in_(lowering.domains()[lowering.domain(draft.inputs[0])].extent),
      out_(lowering.domains()[lowering.domain(draft.output)].extent),
      reads_(reads),
      shift_(draft.shift) {
  if (in_.pixels() == 0) in_ = out_ = {1, 1};  // rows that were pooled over images
  if (!shift_) return;
  zeros_ = Array({shift_->fold(lowering.channels(draft.inputs[0]))}, lowering.input_dtype(draft), lowering.device());
  runtime(lowering.device()).fill(lowering.device(), zeros_.memory(), 0, zeros_.bytes());
}

void WindowStep::run(const StepRun& run) const {
  const std::int64_t from = in_.pixels(), to = out_.pixels();
  for (std::int64_t i = 0; i * to < run.y.count; ++i) {
    WindowRun image;
    image.in.rows = shift_ ? shifted(run, i) : ChannelRuns(run.x.rows(i * from, from));
    if (run.other.base != nullptr) image.residual = run.other.rows(i * to, to);
    image.pixels.count = to;
    image.out = run.y.rows(i * to, to);
    run_image(run.context, image);
  }
}

ChannelRuns WindowStep::shifted(const StepRun& run, std::int64_t image) const {
  const std::int64_t pixels = in_.pixels();
  const auto frame = [&](std::int64_t f) {
    return f >= 0 && f * pixels < run.x.count ? run.x.rows(f * pixels, pixels) : ConstRowView();
  };
  return shifted_runs(*shift_, frame(image), frame(image - 1), frame(image + 1), zeros_.memory());
}

std::int64_t WindowStep::macs(const PlanRows& rows, std::int64_t, std::int64_t, std::int64_t) const {
  return rows.domain(domain).count / out_.pixels() * dense_macs();
}

std::string WindowStep::text(const Window2d& window) {
  const std::string kernel = std::to_string(window.kernel);
  return kernel + "x" + kernel + (window.stride > 1 ? " / " + std::to_string(window.stride) : "");
}

ConstRowView WindowStep::plain_rows(const ImageView& image) const {
  const ChannelRun& run = image.rows.runs[0];
  return {run.base, run.row_stride, in_.pixels(), run.channels, image.rows.dtype, image.rows.scales};
}

}  // namespace voxshift
