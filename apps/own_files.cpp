#include "own_files.h"

#include <system_error>
#include <utility>

#include "system.h"

namespace voxshift {
namespace {

std::filesystem::path& folder_in_place_of_the_programs() {
  static std::filesystem::path folder;
  return folder;
}

}  // namespace

std::filesystem::path own_folder() {
  if (!folder_in_place_of_the_programs().empty()) return folder_in_place_of_the_programs();
  return program_folder();
}

void set_own_folder(std::filesystem::path folder) { folder_in_place_of_the_programs() = std::move(folder); }

std::filesystem::path own_file(const std::filesystem::path& installed, const std::filesystem::path& name) {
  std::error_code ignored;
  const std::filesystem::path folder = own_folder();
  std::filesystem::path beside_program = folder / installed, in_package = folder / name;
  return std::filesystem::exists(in_package, ignored) && !std::filesystem::exists(beside_program, ignored)
             ? in_package
             : beside_program;
}

}  // namespace voxshift
