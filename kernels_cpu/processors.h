// What some systems do for threads and processes beyond the standard library.
#pragma once

#include <vector>

namespace voxshift::cpu {

/// The processors that this process may use; none where the system does not tell: Linux and Android do.
std::vector<int> allowed_processors();

/// Has the calling thread run on that one of allowed_processors() only.
void pin_this_thread(int processor);

/// Has the calling thread woken up at once on a busy machine, and interrupted sooner in return: Linux from 6.12 on
/// prefers threads that ask for short slices. Elsewhere nothing happens.
void ask_for_short_slices();

/// Has every fork() call `before` first, then one of the others; nothing where there is no fork().
void at_fork(void (*before)(), void (*in_parent)(), void (*in_child)());

}  // namespace voxshift::cpu
