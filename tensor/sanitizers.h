// Macros for the sanitizers of the build, VOXSHIFT_ASAN and VOXSHIFT_TSAN, the same under GCC and clang.
#pragma once

#ifdef __SANITIZE_ADDRESS__
#define VOXSHIFT_ASAN
#endif
#ifdef __SANITIZE_THREAD__
#define VOXSHIFT_TSAN
#endif
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define VOXSHIFT_ASAN
#endif
#if __has_feature(thread_sanitizer)
#define VOXSHIFT_TSAN
#endif
#endif
