// What the command asks of the system, in system_posix.cpp and system_windows.cpp.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace voxshift {

/// Of the running program; empty where the system does not tell.
std::filesystem::path program_folder();

/// Keeps a standard stream that the caller has closed of no use: the next file would get its number, and what is
/// printed.
void hold_closed_streams();

/// Whether standard error is a terminal.
bool errors_are_watched();

/// The most memory that this process has used.
std::int64_t peak_rss_bytes();

/// A shared library that is loaded when it is needed, and never unloaded.
struct Module {
  void* handle;
  std::string error;  ///< why there is no handle
};

Module load_module(const std::filesystem::path& path);

/// Null where the module has no function of that name.
void* function_of(const Module& module, const char* name);

}  // namespace voxshift
