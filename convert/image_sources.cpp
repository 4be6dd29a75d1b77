// Networks on single images.
#include <voxshift/convert/image_networks.h>
#include <voxshift/convert/source.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <string>
#include <utility>

namespace voxshift {
namespace {

constexpr const char* kCifarClasses[]{"airplane", "automobile", "bird",  "cat",  "deer",
                                      "dog",      "frog",       "horse", "ship", "truck"};

Profile image_profile(const char* name, std::int64_t height, std::int64_t width) {
  Profile profile = find_profile("jester");
  profile.name = name;
  profile.frames->height = height;
  profile.frames->width = width;
  profile.frames->resize = std::max(height, width);  // the middle must lie in frames of any shape
  profile.frames->segments = 1;
  return profile;
}

Sketch sketch_cifar_resnet(const StateDict& state, const SketchOptions&) {
  std::int64_t blocks = 0;
  while (state.has("layer1." + std::to_string(blocks) + ".conv1.weight")) ++blocks;
  const std::int64_t classes = state.extent("linear.bias", 0);
  Sketch sketch;
  sketch.arch = "resnet" + std::to_string(6 * blocks + 2);
  sketch.network = make_cifar_resnet(blocks, classes);
  sketch.profile = image_profile("cifar", 32, 32);
  sketch.classes = classes_for(static_cast<std::size_t>(classes), ClassTables::kVideo);
  if (classes == std::ssize(kCifarClasses))
    for (std::size_t i = 0; i < sketch.classes.size(); ++i) sketch.classes[i].name = kCifarClasses[i];
  return sketch;
}

Sketch sketch_face_detector(const StateDict& state, const SketchOptions&) {
  constexpr std::int64_t kLastPriors = 3;
  const std::int64_t width = state.extent("base_net.0.1.weight", 0);
  const std::int64_t scores = state.extent("classification_headers.3.bias", 0);
  check(scores % kLastPriors == 0, "\"classification_headers.3.bias\" has ", scores, " numbers, expected ", kLastPriors,
        " priors' classes");
  Sketch sketch;
  sketch.arch = "ultra-light-slim";
  sketch.network = make_slim_face_detector(width, scores / kLastPriors);
  sketch.profile = image_profile("faces", 240, 320);
  constexpr float kMiddle = 127.0f / 255, kScale = 128.0f / 255;
  sketch.profile->frames->mean = {kMiddle, kMiddle, kMiddle};
  sketch.profile->frames->std = {kScale, kScale, kScale};
  return sketch;
}

}  // namespace

Source cifar_resnet_source() {
  return {"cifar-resnet",
          "ResNet20 to ResNet110 of akamaster/pytorch_resnet_cifar10",
          {},
          [](const StateDict& state) {
            return state.has("layer3.0.conv2.weight") && !state.has("layer4.0.conv2.weight") &&
                   state.has("linear.weight") && state.has("bn1.weight");
          },
          sketch_cifar_resnet};
}

Source face_detector_source() {
  return {"ultra-light",
          "the slim face detector of Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB",
          {},
          [](const StateDict& state) {
            return state.has("base_net.0.0.weight") && state.has("classification_headers.3.weight");
          },
          sketch_face_detector};
}

}  // namespace voxshift
