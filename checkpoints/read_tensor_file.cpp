// .safetensors
#include <voxshift/checkpoints/content.h>
#include <voxshift/graph/safetensors.h>

namespace voxshift {

void read_tensor_file(CheckpointContent& content) {
  content.format = "safetensors";
  throw IoError("is a safetensors file, which is not read yet");
}

}  // namespace voxshift
