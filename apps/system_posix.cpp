#include <dlfcn.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <system_error>

#include "system.h"
#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

namespace voxshift {

std::filesystem::path program_folder() {
  std::error_code ignored;
#ifdef __APPLE__
  std::uint32_t bytes = 0;
  _NSGetExecutablePath(nullptr, &bytes);
  std::string program(bytes, '\0');
  if (_NSGetExecutablePath(program.data(), &bytes) != 0) return {};
  return std::filesystem::canonical(program.c_str(), ignored).parent_path();
#else
  return std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
#endif
}

void hold_closed_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(stream, F_GETFD) == -1) ::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

bool errors_are_watched() { return ::isatty(STDERR_FILENO) == 1; }

std::int64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
  constexpr std::int64_t kUnit = 1;
#else
  constexpr std::int64_t kUnit = 1024;
#endif
  return std::int64_t{usage.ru_maxrss} * kUnit;
}

Module load_module(const std::filesystem::path& path) {
  void* const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  return {handle, handle == nullptr ? dlerror() : ""};
}

void* function_of(const Module& module, const char* name) { return dlsym(module.handle, name); }

}  // namespace voxshift
