// Bytes as an ONNX file: what is read is a network that runs, and, where it can be written, is written and read again.
#include <voxshift/onnx/read_onnx.h>
#include <voxshift/onnx/write_onnx.h>

#include "run_model.h"

namespace {

using namespace voxshift;

void run_frames(const Model& model, Extent2d extent) {
  if (!fuzz::is_small(model) || extent.pixels() > 32 * 32) return;
  Array frame({1, extent.height, extent.width, model.graph().input().channels}, DType::kF32);
  std::fill_n(frame.data<float>(), frame.count(), 0.5f);
  fuzz::may_refuse([&] { Session(model.network(), Device::cpu(), Threads(1)).run(frame); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::MemoryFile file(fuzz::text_of(data, size), ".onnx");
  fuzz::may_refuse([&] {
    const OnnxNetwork read = read_onnx(file.path());
    const Model model("onnx", read.network.graph, read.network.parameters, {}, {});
    if (model.graph().input().kind != InputKind::kFrames) return;
    run_frames(model, read.frame);
    const fuzz::MemoryFile written("", ".again.onnx");
    write_onnx(written.path(), model.network(), read.frame);
    const OnnxNetwork again = read_onnx(written.path());
    fuzz::expect(again.network.graph.outputs == read.network.graph.outputs, "the same outputs again");
  });
  return 0;
}
