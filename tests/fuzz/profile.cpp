// Bytes as a preprocessing profile; what is taken comes back the same from its own text.
#include <voxshift/tasks/profile.h>
#include <voxshift/tasks/profile_json.h>

#include <nlohmann/json.hpp>

#include "fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace voxshift;
  const fuzz::MemoryFile file(fuzz::text_of(data, size), ".json");
  fuzz::may_refuse([&] {
    const Profile profile = find_profile(file.path().string());
    const std::string text = to_json(profile).dump();
    fuzz::expect(to_json(profile_from_json(nlohmann::json::parse(text))).dump() == text, "the same profile again");
  });
  return 0;
}
