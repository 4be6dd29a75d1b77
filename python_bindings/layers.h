// Layers of a run's report as Python has them.
#pragma once

#include <pybind11/pybind11.h>
#include <voxshift/engine/report.h>

namespace voxshift::python {

/// [{name, kind, dtype, rows, in_channels, out_channels, pairs, macs, seconds}]. With the GIL.
inline pybind11::list layers_of(const RunReport& run) {
  using namespace pybind11::literals;
  pybind11::list layers;
  for (const LayerReport& layer : run.layers)
    layers.append(pybind11::dict("name"_a = layer.name, "kind"_a = layer.kind, "dtype"_a = name(layer.dtype),
                                 "rows"_a = layer.rows, "in_channels"_a = layer.in_channels,
                                 "out_channels"_a = layer.out_channels, "pairs"_a = layer.pairs, "macs"_a = layer.macs,
                                 "seconds"_a = layer.seconds));
  return layers;
}

}  // namespace voxshift::python
