#include <voxshift/files/process.h>

#ifdef _WIN32
#include <process.h>
#include <wchar.h>

#include <chrono>
#include <thread>
#else
#include <unistd.h>
#endif

namespace voxshift {

#ifdef _WIN32

int process_id() { return _getpid(); }

void remove_file(const wchar_t* name) noexcept { _wunlink(name); }

void wait_for_a_signal() noexcept { std::this_thread::sleep_for(std::chrono::hours(1)); }

#else

int process_id() { return ::getpid(); }

void remove_file(const char* name) noexcept { ::unlink(name); }

void wait_for_a_signal() noexcept { ::pause(); }

#endif

}  // namespace voxshift
