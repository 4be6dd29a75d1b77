#include <voxshift/graph/window_step.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/temporal_shift/kernels.h>

namespace voxshift::ops {
namespace {

TemporalShift shift_of(const Node& node) { return {node.whole("shift_div"), node.flag("bidirectional")}; }

// A shift that no product reads in place.
class ShiftStep final : public WindowStep {
 public:
  using WindowStep::WindowStep;
  std::string kind() const override { return "temporal_shift"; }
  std::int64_t macs_of(std::int64_t, std::int64_t) const override { return 0; }
  void run_image(const Context& context, const WindowRun& run) const override {
    const ChannelRuns& runs = run.in.rows;
    if (run.pixels.rows == nullptr) return temporal_shift_kernels(context.device).gather_runs(context, runs, run.out);
    std::int64_t column = 0;
    for (std::size_t r = 0; r < static_cast<std::size_t>(runs.count); ++r) {
      const ConstRowView part = runs.rows(r, in().pixels());
      row_kernels(context.device).gather(context, part, run.pixels.rows, run.out.columns(column, part.channels));
      column += part.channels;
    }
  }
};

}  // namespace

extern const OpDefinition temporal_shift{
    .name = "temporal_shift",
    .text =
        "One in shift_div channels of every frame is that of the frame before; with `bidirectional` another one is "
        "that of the frame after. Source: TSM.",
    .inputs = {"x"},
    .attributes = {whole("shift_div", 1, kMostChannels, "at least 2 where bidirectional"),
                   flag("bidirectional", false, "looks at the next frame, too: for whole clips")},
    .infer =
        [](Inference& node) {
          node.expect_images(0);
          const std::int64_t div = node.node().whole("shift_div"), least = node.node().flag("bidirectional") ? 2 : 1;
          node.expect(div >= least, "expects a shift_div of at least ", least, ", found ", div);
          node.expect(node.in(0).channels / div >= 1, "expects a shift_div of at most its ", node.in(0).channels,
                      " channels, found ", div);
          return node.in(0);
        },
    .lower =
        [](const Draft& draft, Lowering& lowering) {
          Draft shifted = draft;
          shifted.shift = shift_of(*draft.node);
          lowering.add(draft, std::make_unique<ShiftStep>(shifted, lowering, Window2d{}));
        },
    .shift = shift_of,
    .narrow = true,
};

}  // namespace voxshift::ops
