// Compiled in place of the CUDA backend where the build has none.
#include <voxshift/detection/kernels.h>
#include <voxshift/point_voxel/kernels.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/sparse_conv/kernels.h>
#include <voxshift/temporal_shift/kernels.h>
#include <voxshift/tensor/kernels.h>
#include <voxshift/tensor/runtime.h>
#include <voxshift/video/kernels.h>

namespace voxshift::cuda {
namespace {

[[noreturn]] void unavailable() {
  throw BackendUnavailable("[cuda] this build of voxshift has no CUDA backend; use device \"cpu\"");
}

class NoCudaRuntime final : public Runtime {
 public:
  bool available(Device) const override { return false; }
  void* allocate(Device, std::size_t) const override { unavailable(); }
  void free(Device, void*, std::size_t) const noexcept override {}
  void set_memory_cache(Device, std::size_t) const override { unavailable(); }
  bool shares_memory(Device) const override { return false; }
  void* allocate_shared(Device, std::size_t) const override { unavailable(); }
  void free_shared(Device, void*, std::size_t) const noexcept override {}
  bool reads_in_place(Device, const void*) const override { return false; }
  void copy_from_host(Device, void*, const void*, std::size_t) const override { unavailable(); }
  void copy_to_host(Device, void*, const void*, std::size_t) const override { unavailable(); }
  void copy(Device, void*, const void*, std::size_t) const override { unavailable(); }
  void fill(Device, void*, int, std::size_t) const override { unavailable(); }
  void synchronize(Device) const override { unavailable(); }
  void* use_stream(Device, void*) const override { unavailable(); }
  void wait_for(Device, void*) const override { unavailable(); }
  std::unique_ptr<const Recording> record(const Context&, const std::function<void(const Context&)>&) const override {
    unavailable();
  }
  double fma_peak(Device, int) const override { unavailable(); }
  std::string target(Device) const override { unavailable(); }
};

}  // namespace

const Runtime& runtime() {
  static const NoCudaRuntime runtime;
  return runtime;
}

const CoordinateKernels& coordinate_kernels() { unavailable(); }
const DetectionKernels& detection_kernels() { unavailable(); }
const PointVoxelKernels& point_voxel_kernels() { unavailable(); }
const RowKernels& row_kernels() { unavailable(); }
const SparseConvKernels& sparse_conv_kernels() { unavailable(); }
const TemporalShiftKernels& temporal_shift_kernels() { unavailable(); }
const VideoKernels& video_kernels() { unavailable(); }

}  // namespace voxshift::cuda
