// Steps that several ops lower to.
#pragma once

#include <voxshift/graph/lowering.h>
#include <voxshift/tensor/reduce.h>

#include <optional>

namespace voxshift {

/// y = act(x * scale + shift (+ other)), a copy when there is nothing to do.
class AffineStep final : public Step {
 public:
  AffineStep() = default;
  explicit AffineStep(const Activation& activation) : activation_(activation) {}

  void set(const ScaleShift& norm, Device device);

  std::string kind() const override { return other < 0 ? "affine" : "add"; }
  void run(const StepRun& run) const override;
  bool row_by_row() const override { return true; }

 private:
  std::optional<Array> scale_, shift_;
  Activation activation_;
};

/// Rows of a link's finer end, reduced to its coarser end.
class ReduceStep final : public Step {
 public:
  ReduceStep(int link, Reduce reduce) : link_(link), reduce_(reduce) {}
  std::string kind() const override {
    return reduce_ == Reduce::kMax ? "max" : reduce_ == Reduce::kSum ? "sum" : "mean";
  }
  void run(const StepRun& run) const override;

 private:
  int link_;
  Reduce reduce_;
};

/// Mixtures of rows of a link's coarser end at its finer end.
class InterpolateStep final : public Step {
 public:
  explicit InterpolateStep(int link) : link_(link) {}
  std::string kind() const override { return "interpolate"; }
  void run(const StepRun& run) const override;
  bool row_by_row() const override { return true; }

 private:
  int link_;
};

/// Rows of a link's coarser end, each at those of its finer end that belong to it; 0 at those that belong to none.
class GatherStep final : public Step {
 public:
  GatherStep(const char* kind, int link) : kind_(kind), link_(link) {}
  std::string kind() const override { return kind_; }
  void run(const StepRun& run) const override;
  bool row_by_row() const override { return true; }

 private:
  const char* kind_;
  int link_;
};

/// x y z of the output's points.
class CoordinatesStep final : public Step {
 public:
  std::string kind() const override { return "coordinates"; }
  void run(const StepRun& run) const override;
};

// Lowerings that several ops share.

void lower_affine(const Draft& draft, Lowering& lowering);  ///< batch norm, activations
void lower_mean(const Draft& draft, Lowering& lowering);    ///< of the rows that belong to each of the output's
void lower_max(const Draft& draft, Lowering& lowering);
void lower_sum(const Draft& draft, Lowering& lowering);
void lower_interpolation(const Draft& draft, Lowering& lowering);  ///< of the input's rows around each of the output's
/// Of the input's rows to those of the output; the step's kind is the op, and `other` what it needs beside them.
void lower_gather(const Draft& draft, Lowering& lowering, const std::string& other = "");
void lower_coordinates(const Draft& draft, Lowering& lowering);

}  // namespace voxshift
