// Writes what engines for images are run on and compared with. `peer_frames ARCH WIDTH FOLDER` makes in FOLDER
// model.safetensors, a TSM network without its shift, frame.u8 [224, 224, 3], logits.f32 [classes] and calibration.u8
// [8, 224, 224, 3], a frame of each of other clips.
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "video_input.h"

namespace voxshift {
namespace {

constexpr int kCalibrationFrames = 8;

void write(const std::filesystem::path& path, const void* memory, std::size_t bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(static_cast<const char*>(memory), static_cast<std::streamsize>(bytes));
  file.close();
  check<IoError>(file.good(), path.string(), ": cannot be written");
}

void write_all(const std::string& arch, double width, const std::filesystem::path& out) {
  const Model model = bench::without_shift(bench::video_model(arch, width));
  const Array frame = bench::synthetic_frames(model, 1, 1, false)[0];
  Recognizer stream{VideoNetwork(model)};
  const std::span<const float> logits = stream.push(frame).logits;
  model.save(out / "model.safetensors");
  write(out / "frame.u8", frame.memory(), frame.bytes());
  write(out / "logits.f32", logits.data(), logits.size_bytes());
  std::vector<std::uint8_t> calibration;
  for (int i = 0; i < kCalibrationFrames; ++i) {
    const Array other = bench::synthetic_frames(model, 2 + i, 1, false)[0];
    calibration.insert(calibration.end(), other.data<std::uint8_t>(), other.data<std::uint8_t>() + other.count());
  }
  write(out / "calibration.u8", calibration.data(), calibration.size());
}

}  // namespace
}  // namespace voxshift

int main(int argc, char** argv) try {
  voxshift::check(argc == 4, "usage: peer_frames ARCH WIDTH FOLDER");
  voxshift::write_all(argv[1], std::stod(argv[2]), argv[3]);
  return 0;
} catch (const std::exception& error) {
  std::cerr << "peer_frames: " << error.what() << '\n';
  return 1;
}
