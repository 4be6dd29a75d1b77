#include "rrd.h"

#include <voxshift/tensor/error.h>

#include <utility>

namespace voxshift {
namespace {

MakeRrd& rrd_maker() {
  static MakeRrd maker;
  return maker;
}

}  // namespace

void set_rrd_maker(MakeRrd maker) { rrd_maker() = std::move(maker); }

std::unique_ptr<RrdWriter> make_rrd(const std::filesystem::path& path, std::span<const ClassInfo> classes) {
  check<BackendUnavailable>(
      rrd_maker() != nullptr, path.string(),
      ": .rrd is written by the command of the Python package: pip install 'voxshift[rerun]', then "
      "python -m voxshift with the same arguments");
  return rrd_maker()(path, classes);
}

}  // namespace voxshift
