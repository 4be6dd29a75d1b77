// Signal handling of the command; the library installs no handlers.
#pragma once

namespace voxshift {

/// Has the signals that end a program remove what is half-written first; the process still dies by them. One that the
/// caller ignores (nohup) stays ignored. A file that may not grow further fails to be written instead of ending all.
void remove_unfinished_at_signals();

/// From now on SIGINT and SIGTERM only set stop_signal(), so that the work ends after the frame at hand and all results
/// stay; the second one ends the process as above.
void stop_at_signals();

/// The signal that asked to stop, else 0.
int stop_signal();

}  // namespace voxshift
