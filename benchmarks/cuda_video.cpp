// Frame after frame, from the host's bytes to a label there.
#include <voxshift/quantize/quantize.h>
#include <voxshift/tasks/calibrate.h>
#include <voxshift/tasks/recognizer.h>

#include <cstring>

#include "cuda_report.h"
#include "input.h"
#include "video_input.h"

namespace voxshift::bench {
namespace {

Model tsm(const CudaRun& run) {
  Model model = Model::create({"tsm-mobilenetv2", run.tiny ? 0.25 : run.width, 27, 1});
  if (!run.tiny) return model;
  Profile profile = model.profile();
  profile.frames->height = profile.frames->width = profile.frames->resize = 32;
  return model.with_profile(profile);
}

Model in_i8(const Model& model) {
  CalibrationData data;
  add_synthetic(data, model, 1);
  QuantizeOptions options;
  options.sensitivity = false;
  return quantize(model, data, options).model;
}

// After the first frame a dense stream replays one recording of its steps.
void push(const Model& model, const CudaRun& run, DType dtype) {
  const VideoNetwork network(model, kCuda, dtype);
  const std::vector<Array> frames = synthetic_frames(model, 1, 8, true);
  const std::string name = std::string(voxshift::name(dtype));
  if (dtype == DType::kI8) {
    Recognizer here(VideoNetwork(model, Device::cpu(), dtype)), there(network);
    for (const Array& frame : frames) {
      const auto expected = here.push(frame).logits, found = there.push(frame).logits;
      check<Error>(std::memcmp(found.data(), expected.data(), found.size_bytes()) == 0,
                   "tsm-mobilenetv2 i8: the device's bits are not the CPU's");
    }
  } else {
    check_first_frame(network, frames[0]);
  }
  Recognizer stream(network);
  std::size_t next = 0;
  const Times times = milliseconds(run.repeats, [&] { stream.push(frames[next++ % frames.size()]); });
  print("push tsm-mobilenetv2 " + name, {{"ms", times.median}, {"best_ms", times.best}});
}

}  // namespace

void measure_video(const CudaRun& run) {
  const Model model = tsm(run);
  for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF32}) push(model, run, dtype);
  push(in_i8(model), run, DType::kI8);
}

}  // namespace voxshift::bench
