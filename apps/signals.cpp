#include "signals.h"

#include <signal.h>
#include <voxshift/files/unfinished_file.h>

namespace voxshift {
namespace {

volatile sig_atomic_t stopped = 0;

void take(int signal, void (*handler)(int)) {
  struct sigaction action {};
  if (::sigaction(signal, nullptr, &action) != 0 || action.sa_handler == SIG_IGN) return;
  action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  ::sigaction(signal, &action, nullptr);
}

// The signal comes again when this returns.
void end(int signal) {
  remove_unfinished_files();
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

void stop(int signal) {
  stopped = signal;
  take(SIGINT, end);
  take(SIGTERM, end);
}

}  // namespace

void remove_unfinished_at_signals() {
  for (const int signal : {SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGXCPU}) take(signal, end);
  ::signal(SIGXFSZ, SIG_IGN);
}

void stop_at_signals() {
  take(SIGINT, stop);
  take(SIGTERM, stop);
}

int stop_signal() { return stopped; }

}  // namespace voxshift
