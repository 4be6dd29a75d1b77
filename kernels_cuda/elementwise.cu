// Activations that are functions, after the kernel whose rows they finish: it keeps the registers that they would take.
#include <voxshift/kernels_cuda/elementwise.h>

namespace voxshift::cuda {
namespace {

template <class T>
void finish_rows(const Queue& queue, const Elementwise& f, Rows<const T> residual, Rows<T> rows) {
  for_each_cell(queue, rows.count, rows.channels, [=] __device__(std::int64_t i, std::int64_t c) {
    const float x = apply(f, rows.at(i, c));
    rows.set(i, c, residual.base != nullptr ? x + residual.at(i, c) : x);
  });
}

}  // namespace

void apply_function(const Queue& queue, const Activation& activation, const RowView& rows) {
  finish_function(queue, {nullptr, {}, activation, false}, rows);
}

void finish_function(const Queue& queue, const Epilogue& epilogue, const RowView& out) {
  if (epilogue.activation.kind != Activation::Kind::kFunction) return;
  with_type("activation", out.dtype, [&](auto type) {
    using T = decltype(type);
    finish_rows<T>(queue, epilogue.activation.function,
                   rows<T>(epilogue.residual_last ? epilogue.residual : ConstRowView()), rows<T>(out));
  });
}

}  // namespace voxshift::cuda
