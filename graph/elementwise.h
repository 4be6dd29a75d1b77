// Ops that are a function of each number, or of each row.
#pragma once

#include <voxshift/graph/steps.h>
#include <voxshift/tensor/elementwise.h>

#include <optional>

namespace voxshift {

/// y = f(x), number by number.
class ElementwiseStep final : public Step {
 public:
  ElementwiseStep(const char* kind, const Elementwise& f) : kind_(kind), f_(f) {}
  std::string kind() const override { return kind_; }
  void run(const StepRun& run) const override;
  bool row_by_row() const override { return true; }

 private:
  const char* kind_;
  Elementwise f_;
};

/// y = f(x), row by row; with what f multiplies by and adds.
class RowFunctionStep final : public Step {
 public:
  RowFunctionStep(const char* kind, const RowFunction& f, std::optional<ScaleShift> norm = {});
  std::string kind() const override { return kind_; }
  void run(const StepRun& run) const override;
  bool row_by_row() const override { return true; }

 private:
  const char* kind_;
  RowFunction f_;
  std::optional<ScaleShift> norm_;  // on the device
};

/// The activation f(x).
inline Activation function_of(const Elementwise& f) { return {Activation::Kind::kFunction, 0, f}; }

/// Adds the step of an op whose activation is a function.
void lower_elementwise(const Draft& draft, Lowering& lowering);

}  // namespace voxshift
