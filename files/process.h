// This process and names of files, as each system has them.
#pragma once

#include <filesystem>

namespace voxshift {

/// Its number among those that run now.
int process_id();

/// Removes a file, also in a handler of signals; nothing where it is absent.
void remove_file(const std::filesystem::path::value_type* name) noexcept;

/// Until a signal arrives, at least where a system can wait for one.
void wait_for_a_signal() noexcept;

}  // namespace voxshift
