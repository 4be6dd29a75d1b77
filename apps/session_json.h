// What --stats says of the session and the model, for every task alike.
#pragma once

#include <voxshift/engine/session.h>
#include <voxshift/tasks/model.h>

#include <cstdint>
#include <nlohmann/json.hpp>

namespace voxshift {

/// Adds device, threads, dtype and model.
inline void add_session(nlohmann::ordered_json& stats, const Model& model, const Session& session, std::int64_t macs) {
  stats["device"] = name(session.device());
  stats["threads"] = session.threads();
  stats["dtype"] = name(session.dtype());
  stats["model"] = {{"arch", model.arch()}, {"parameters", model.parameter_count()}, {"macs", macs}};
}

}  // namespace voxshift
