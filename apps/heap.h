// The memory of a program that begins and ends with its work.
#pragma once

#include <cstddef>
#include <future>

namespace voxshift {

/// Has malloc take memory in one piece, in huge pages, and keep what is freed: what a model's file was read into
/// becomes the features of a scan. The first touch of a page is what a process costs beyond one that has run before:
/// with pages of 4 KB and blocks that go back to the system, a tenth of a scan's time. Does nothing where malloc is not
/// glibc's.
void keep_heap();

/// Touches the next `bytes` of that memory on a thread of its own, while the caller does what needs one processor
/// alone, and until the result is destroyed. Does nothing after no keep_heap(), on Linux before 5.14, and where threads
/// are refused.
std::future<void> touch_heap(std::size_t bytes);

}  // namespace voxshift
