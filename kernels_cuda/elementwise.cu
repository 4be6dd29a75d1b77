// Activations that are functions, after the kernel whose rows they finish: it keeps the registers that they would take.
#include <voxshift/kernels_cuda/elementwise.h>

namespace voxshift::cuda {
namespace {

template <class In, class Residual, class Out>
void finish_rows(const Queue& queue, const Elementwise& f, In in, Residual residual, Out out) {
  for_each_cell(queue, out.count, out.channels, [=] __device__(std::int64_t i, std::int64_t c) {
    const float x = apply(f, in.at(i, c));
    out.set(i, c, residual.base != nullptr ? x + residual.at(i, c) : x);
  });
}

}  // namespace

void apply_function(const Queue& queue, const Activation& activation, const ConstRowView& rows, const RowView& out) {
  finish_function(queue, {nullptr, {}, activation, false}, rows, out);
}

void finish_function(const Queue& queue, const Epilogue& epilogue, const ConstRowView& rows, const RowView& out) {
  if (epilogue.activation.kind != Activation::Kind::kFunction) return;
  with_rows(
      "activation",
      [&](auto from, auto residual, auto to) { finish_rows(queue, epilogue.activation.function, from, residual, to); },
      rows, epilogue.residual_last ? epilogue.residual : ConstRowView(), out);
}

}  // namespace voxshift::cuda
