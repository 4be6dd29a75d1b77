// Runs a plan again and again, in memory that it keeps.
#pragma once

#include <voxshift/engine/geometry.h>
#include <voxshift/engine/memory_plan.h>
#include <voxshift/engine/report.h>
#include <voxshift/tensor/thread_pool.h>

#include <functional>
#include <span>
#include <vector>

namespace voxshift {

/// One user of a plan. Per run: reset(), then for each input with rows of its own geometry().set_voxels(), set_points()
/// or set_frames(), then build(), then run().
class Executor {
 public:
  /// Called before each step with its input's rows.
  using BeforeStep = std::function<void(Step&, const ConstRowView&)>;

  Executor(std::shared_ptr<const Plan> plan, Device device, const Threads& threads);

  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  /// Takes all memory back. Before a run, because the last one may have thrown; after it, because that is when arenas
  /// that grew become one block each, and the next run shall allocate nothing.
  void reset();

  Geometry& geometry() { return geometry_; }
  const Plan& plan() const { return *plan_; }
  Context context() { return {device_, nullptr, threads(), &scratch_, pool_.get()}; }
  Device device() const { return device_; }
  int threads() const { return pool_->threads(); }
  const RunReport& report() const { return report_; }

  /// Gives the memory of an output, once its rows are known.
  using OutputMemory = std::function<void*(std::size_t output)>;

  /// Coordinates, maps and links of every domain that descends from no selection.
  void build();

  std::size_t outputs() const { return plan_->outputs.size(); }
  int output_domain(std::size_t output = 0) const { return plan_->value(plan_->outputs[output]).domain; }
  DType output_dtype(std::size_t output = 0) const { return plan_->value(plan_->outputs[output]).dtype; }
  std::int64_t output_channels(std::size_t output = 0) const { return plan_->value(plan_->outputs[output]).channels; }

  /// Whether rows of an output are known after build(); else its memory is asked for during run().
  bool output_known(std::size_t output = 0) const { return plan_->stage(output_domain(output)) == 0; }

  /// Rows of an output that are known.
  std::int64_t output_rows(std::size_t output = 0) const { return geometry_.rows(output_domain(output)).count; }

  /// Memory for an output, of its dtype, that lasts until reset(); for rows that are known.
  RowView output_memory(std::size_t output = 0);

  /// Runs all steps: `ins` are the rows of each input, f32 or of the input's dtype; the memory takes each output's.
  void run(std::span<const ConstRowView> ins, const OutputMemory& memory, const BeforeStep& before = {});

  /// The same for one input and outputs that are known.
  void run(const ConstRowView& in, std::span<void* const> outs);

  /// Whether run() waits for every step to tell its time, and counts pairs and MACs. Off, the report has rows only and
  /// a GPU is not waited for.
  void set_detailed(bool detailed) { detailed_ = detailed; }

  /// Packed weights, coordinates, maps, features.
  std::size_t bytes() const;

 private:
  /// Rows of one domain that a step works on.
  struct Span {
    std::int64_t first, count;
  };

  RowView rows_of(int value) const;
  RowView rows_of(int value, const Span& span) const;
  void build_stage(int stage);
  void place_input(int value, const ConstRowView& in);
  void place_stage(int stage, const OutputMemory& memory);
  void select(int stage);
  void finish_phase() const;
  std::int64_t joined_rows() const;
  void run_joined(std::size_t first, std::size_t last, const BeforeStep& before);
  void run_step(const Step& step, const Span& span);

  Device device_;
  std::shared_ptr<ThreadPool> pool_;
  std::shared_ptr<const Plan> plan_;
  Arena scratch_, features_;
  Geometry geometry_;
  struct StageMemory {
    MemoryPlan plan;
    std::byte* base = nullptr;
  };
  std::vector<StageMemory> memory_;  // by stage: of the values on its domains
  std::vector<std::int64_t> bytes_;
  std::vector<RowView> external_;  // by buffer: the caller's memory of an input or output, else none
  bool detailed_ = true;
  RunReport report_;
};

}  // namespace voxshift
