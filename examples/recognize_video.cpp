// What clip.mp4 shows, frame by frame, by the model tsm.safetensors; then the same stream on what a camera gives.
#include <voxshift/streaming/frame_preparer.h>
#include <voxshift/tasks/recognizer.h>
#include <voxshift/video/frame_source.h>  // target voxshift::frames, built where OpenCV with videoio is found

#include <cstdint>
#include <cstdio>
#include <vector>

namespace {

/// A frame of 1280 x 720 in NV21: luma, then V and U in turn for every 2 x 2 pixels.
void push_camera_frame(const voxshift::VideoNetwork& network, voxshift::Recognizer& stream,
                       const std::vector<std::uint8_t>& picture) {
  const std::int64_t luma_row_stride = 1280, chroma_row_stride = 1280;
  const std::size_t luma_bytes = 1280 * 720, chroma_bytes = luma_bytes / 2;
  const std::uint8_t *const luma = picture.data(), *const chroma = luma + luma_bytes;

  voxshift::FramePreparer preparer(network.frames());
  voxshift::CameraFrame frame{voxshift::PixelFormat::kNv21, 1280, 720};
  frame.planes[0] = {luma, luma_bytes, luma_row_stride};
  frame.planes[1] = {chroma, chroma_bytes, chroma_row_stride};
  frame.rotation = 90;                               // degrees clockwise until the picture stands upright
  frame.colours = voxshift::YuvColours::kBt601Full;  // as Android's cameras; kBt601 is that of OpenCV's cvtColor
  stream.push(preparer.prepare(frame));
}

}  // namespace

int main() {
  const voxshift::VideoNetwork network(voxshift::Model::load("tsm.safetensors"));
  voxshift::Recognizer stream(network, {.skip = voxshift::Skip::kExact, .threads = 2});
  voxshift::FrameSource source("clip.mp4", {});
  while (const auto frame = source.next()) {
    const voxshift::FrameResult result = stream.push(frame->pixels);
    std::printf("%d %.2f\n", result.label, result.cost.mac_fraction());  // and result.scores
  }
  push_camera_frame(network, stream, std::vector<std::uint8_t>(1280 * 720 * 3 / 2, 128));
  std::puts("and a camera's frame");
}
