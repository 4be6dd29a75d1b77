// The memory of a program that begins and ends with its work.
#pragma once

namespace voxshift {

/// Has malloc take memory in one piece, in huge pages, and keep what is freed: what a model's file was read into
/// becomes the features of a scan. The first touch of a page is what a process costs beyond one that has run before:
/// with pages of 4 KB and blocks that go back to the system, a tenth of a scan's time. Does nothing where malloc is not
/// glibc's.
void keep_heap();

}  // namespace voxshift
