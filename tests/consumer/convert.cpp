// The component convert of an installation: a file that is not there is an error that names it.
#include <voxshift/checkpoints/checkpoint.h>
#include <voxshift/onnx/read_onnx.h>

#include <cstdio>
#include <string>

int main() {
  try {
    if (!voxshift::is_onnx("nowhere.pth")) voxshift::Checkpoint::read("nowhere.pth");
  } catch (const voxshift::IoError& error) {
    return std::string(error.what()).find("nowhere.pth") == std::string::npos ? 1 : 0;
  }
  std::fprintf(stderr, "a file that is not there was read\n");
  return 1;
}
