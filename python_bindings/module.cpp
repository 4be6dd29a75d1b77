// The module voxshift._voxshift.
#include <voxshift/tensor/runtime.h>
#include <voxshift/tensor/version.h>

#include "bindings.h"

namespace py = pybind11;
using namespace py::literals;

namespace voxshift::python {
namespace {

py::dict build_info() {
  const Device gpu = Device::cuda();
  py::dict products;
  for (const DType dtype : {DType::kI8, DType::kBF16, DType::kF16})
    products[name(dtype)] = cpu::product_instructions(dtype);
  return py::dict("version"_a = version(), "instruction_set"_a = runtime(Device::cpu()).target(Device::cpu()),
                  "products"_a = products, "cuda"_a = runtime(gpu).available(gpu), "opencv"_a = false);
}

constexpr const char* kBuildInfoDoc = R"(What this build has and what it runs on.

{version, instruction_set: "avx512", "avx2", "sse4" or "neon", products: {"i8", "bf16", "f16"}, cuda, opencv}. products
names what multiplies numbers of each dtype, such as "AVX-512 VNNI" or "NEON BFMMLA"; "f32" where they are made f32 first.
opencv serves the command `voxshift` (pictures, videos); the Python package is built without it.)";

constexpr const char* kMemoryCacheDoc =
    R"(How many bytes of freed memory later results may reuse, on the CPU those of about the same size.

At first 0 on device "cpu", where all goes back to the system; training gains from some hundred megabytes. On "cuda" ("cuda:1",
...) all is kept at first; what is kept beyond `bytes` goes back now. Raises ValueError, BackendUnavailable.)";

}  // namespace
}  // namespace voxshift::python

#ifdef VOXSHIFT_FREE_THREADED
PYBIND11_MODULE(_voxshift, m, py::mod_gil_not_used()) {
#else
PYBIND11_MODULE(_voxshift, m) {
#endif
  using namespace voxshift::python;
  m.doc() = "Sparse 3-D networks on point clouds and temporal networks on video, on the device, without PyTorch.";
  m.attr("__version__") = voxshift::version();
  bind_errors(m);
  bind_device_arrays(m);
  bind_threads(m);
  bind_tensors(m);
  bind_ops(m);
  bind_points(m);
  bind_point_files(m);
  bind_kitti_files(m);
  bind_checkpoints(m);
  bind_point_sets(m);
  bind_graph_ops(m);
  bind_models(m);
  bind_convert(m);
  bind_evaluation(m);
  bind_detection_score(m);
  bind_video(m);
  bind_recognizer(m);
  bind_detection(m);
  bind_quantize(m);
  bind_page(m);
  bind_command(m);
  m.def(
      "set_memory_cache",
      [](std::size_t bytes, const std::string& device) {
        voxshift::set_memory_cache(bytes, voxshift::parse_device(device));
      },
      "bytes"_a, "device"_a = "cpu", kMemoryCacheDoc);
  m.def("build_info", &build_info, kBuildInfoDoc);
}
