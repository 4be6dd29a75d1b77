#include <io.h>
#include <stdio.h>
#include <windows.h>
// windows.h comes first
#include <psapi.h>

#include <system_error>

#include "system.h"

namespace voxshift {

std::filesystem::path program_folder() {
  std::wstring program(32768, L'\0');  // the longest name there is
  program.resize(GetModuleFileNameW(nullptr, program.data(), static_cast<DWORD>(program.size())));
  return std::filesystem::path(program).parent_path();
}

void hold_closed_streams() {}  // numbers of streams and of files are apart

bool errors_are_watched() { return _isatty(_fileno(stderr)) != 0; }

std::int64_t peak_rss_bytes() {
  PROCESS_MEMORY_COUNTERS counters{};
  K32GetProcessMemoryInfo(GetCurrentProcess(), &counters, sizeof(counters));
  return static_cast<std::int64_t>(counters.PeakWorkingSetSize);
}

Module load_module(const std::filesystem::path& path) {
  HMODULE const handle = LoadLibraryW(path.c_str());
  if (handle != nullptr) return {handle, ""};
  return {nullptr, path.string() + ": " + std::system_category().message(static_cast<int>(GetLastError()))};
}

void* function_of(const Module& module, const char* name) {
  return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(module.handle), name));
}

}  // namespace voxshift
