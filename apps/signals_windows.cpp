// Windows has SIGINT and SIGTERM of C alone, whose handlers run on threads of their own.
#include <voxshift/files/unfinished_file.h>

#include <csignal>

#include "signals.h"

namespace voxshift {
namespace {

volatile std::sig_atomic_t stopped = 0;

void end(int signal) {
  remove_unfinished_files();
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void stop(int signal) {
  stopped = signal;
  std::signal(SIGINT, end);
  std::signal(SIGTERM, end);
}

}  // namespace

void remove_unfinished_at_signals() {
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, end);
}

void stop_at_signals() {
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, stop);
}

int stop_signal() { return stopped; }

}  // namespace voxshift
