// Profiles as JSON, the form they have inside a model file and in files of their own.
#pragma once

#include <voxshift/tasks/profile.h>

#include <nlohmann/json_fwd.hpp>

namespace voxshift {

/// The profile as JSON and back. profile_from_json throws InvalidArgument.
nlohmann::json to_json(const Profile& profile);
Profile profile_from_json(const nlohmann::json& document);

}  // namespace voxshift
