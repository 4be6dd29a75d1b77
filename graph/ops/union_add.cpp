#include <voxshift/graph/steps.h>
#include <voxshift/rows/kernels.h>

#include <algorithm>

namespace voxshift::ops {
namespace {

class UnionAddStep final : public Step {
 public:
  UnionAddStep(int a, int b) : a_(a), b_(b) {}
  std::string kind() const override { return "union_add"; }
  void run(const StepRun& run) const override {
    const RowKernels& kernels = row_kernels(run.context.device);
    Arena& scratch = *run.context.arena;
    const Arena::Mark mark = scratch.mark();
    const std::int64_t count = run.y.count, channels = run.y.channels;
    const auto gathered = [&](DType dtype) {
      const auto bytes = static_cast<std::size_t>(count * channels) * size_of(dtype);
      return RowView{scratch.allocate_bytes(bytes), channels, count, channels, dtype};
    };
    // i8 is rounded once: what is added is f32.
    const bool is_i8 = run.y.dtype == DType::kI8;
    const RowView a = is_i8 ? gathered(DType::kF32) : run.y, b = gathered(is_i8 ? DType::kF32 : run.y.dtype);
    kernels.gather(run.context, run.x, run.rows.link(a_).parents, a);
    kernels.gather(run.context, run.other, run.rows.link(b_).parents, b);
    kernels.affine(run.context, a, nullptr, nullptr, b, {}, run.y);
    scratch.rewind(mark);
  }

 private:
  int a_, b_;
};

}  // namespace

extern const OpDefinition union_add{
    .name = "union_add",
    .text =
        "The sum of voxels of the same stride that need not have the same coordinates: every voxel of a or b, a + b "
        "where "
        "both have it. Source: MinkowskiEngine.",
    .inputs = {"a", "b"},
    .infer =
        [](Inference& node) {
          const auto [first, last] = std::minmax({node.expect_voxels(0), node.expect_voxels(1)});
          node.expect_same_channels();
          node.expect(node.domains().same_stride(first, last), "takes voxels of the same stride, \"",
                      node.node().inputs[0], "\" and \"", node.node().inputs[1], "\" have different ones");
          if (first == last) return node.in(0);
          Domain both;
          both.kind = Domain::Kind::kUnion;
          both.parent = first;
          both.other = last;
          return ValueType{node.domains().find_or_add(both), node.in(0).channels};
        },
    .lower =
        [](const Draft& draft, Lowering& lowering) {
          const int a = lowering.domain(draft.inputs[0]), b = lowering.domain(draft.inputs[1]);
          const int both = lowering.domain(draft.output);
          if (a == b) return lowering.add(draft, std::make_unique<AffineStep>(), draft.inputs[1]);
          const int from_a = lowering.link(both, a, false), from_b = lowering.link(both, b, false);
          lowering.add(draft, std::make_unique<UnionAddStep>(from_a, from_b), draft.inputs[1]);
        },
    .narrow = true,
};

}  // namespace voxshift::ops
