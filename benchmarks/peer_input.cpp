// Writes what peers are run on and compared with: `peer_input [SCAN] [--model=FILE] --out=FOLDER` makes
// FOLDER/coords.i32 [N, 4], features.f32 [N, 4] and the network's logits.f32 [N, classes], raw little-endian rows.
#include <voxshift/models/session.h>

#include <exception>
#include <fstream>
#include <iostream>
#include <string_view>

#include "input.h"

namespace {

void write(const std::filesystem::path& path, const voxshift::Array& array) {
  std::ofstream file(path, std::ios::binary);
  file.write(static_cast<const char*>(array.memory()), static_cast<std::streamsize>(array.bytes()));
  file.close();
  voxshift::check<voxshift::IoError>(file.good(), path.string(), ": cannot be written");
}

}  // namespace

int main(int argc, char** argv) try {
  using namespace voxshift;
  std::filesystem::path out;
  std::vector<char*> others;
  constexpr std::string_view kOut = "--out=";
  for (int i = 0; i < argc; ++i) {
    if (std::string_view(argv[i]).starts_with(kOut))
      out = argv[i] + kOut.size();
    else
      others.push_back(argv[i]);
  }
  check(!out.empty(), "usage: peer_input [SCAN] [--model=FILE] --out=FOLDER");
  const bench::Options options = bench::parse_options(static_cast<int>(others.size()), others.data());
  const Model model = bench::load_model(options.model);
  const SparseTensor x = bench::voxels_of(bench::load_scan(options.scan), model.profile());
  write(out / "coords.i32", x.coords());
  write(out / "features.f32", x.features());
  write(out / "logits.f32", Session(model).forward(x));
  return 0;
} catch (const std::exception& error) {
  std::cerr << "peer_input: " << error.what() << '\n';
  return 1;
}
