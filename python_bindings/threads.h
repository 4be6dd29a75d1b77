// Threads as Python gives them: a number or a pool.
#pragma once

#include <voxshift/tensor/thread_pool.h>

#include <memory>
#include <optional>
#include <variant>

namespace voxshift::python {

using AnyThreads = std::variant<int, std::shared_ptr<ThreadPool>>;

/// `otherwise` where none are given. Throws InvalidArgument, which names `op`, outside 1..ThreadPool::kMostThreads.
Threads threads_of(const char* op, const std::optional<AnyThreads>& threads, const Threads& otherwise);

}  // namespace voxshift::python
