// ThreadPool, and the number of threads of ops called one by one.
#include "threads.h"

#include <pybind11/stl.h>
#include <voxshift/tensor/error.h>

#include "bindings.h"
#include "pickling.h"

namespace py = pybind11;
using namespace py::literals;

namespace voxshift::python {
namespace {

std::shared_ptr<ThreadPool> make_pool(std::optional<int> threads, const std::optional<std::vector<int>>& cpus) {
  return std::make_shared<ThreadPool>(threads.value_or(num_threads()), cpus.value_or(std::vector<int>()));
}

constexpr const char* kPoolDoc = R"(Threads that models and streams may share: Model.load(path, threads=pool).

A model or stream that is given a number has a pool of its own. Threads start when they are first needed and sleep when
nothing runs; while one thread computes on the pool, another that shares it computes alone. Results do not depend on it.
A child of fork() has threads of its own.

threads: the calling one among them; num_threads() unless given, fewer where the system refuses to start one. cpus: the
pool's i-th thread, i >= 1, stays on processor cpus[i % len(cpus)]; the calling thread, the 0th, is left where it is.

Raises ValueError outside 1..1024 and for a processor that this process may not use, RuntimeError where the system cannot
pin threads.)";

}  // namespace

Threads threads_of(const char* op, const std::optional<AnyThreads>& threads, const Threads& otherwise) {
  if (!threads) return otherwise;
  if (const auto* pool = std::get_if<std::shared_ptr<ThreadPool>>(&*threads)) return *pool;
  const int count = std::get<int>(*threads);
  check(count >= 1 && count <= ThreadPool::kMostThreads, "[", op, "] threads expects 1 to ", ThreadPool::kMostThreads,
        ", found ", count);
  return count;
}

void bind_threads(py::module_& m) {
  py::class_<ThreadPool, std::shared_ptr<ThreadPool>> type(m, "ThreadPool", kPoolDoc);
  refuse_pickling(type, "its threads belong to this process; make a new one");
  type.def(py::init(&make_pool), "threads"_a = py::none(), "cpus"_a = py::none())
      .def_property_readonly("threads", &ThreadPool::threads, "Threads, the calling one among them.")
      .def("close", &ThreadPool::close, WithoutGil(),
           "Ends the pool's threads. What still uses the pool computes on its own thread from then on.")
      .def(
          "__enter__", [](const std::shared_ptr<ThreadPool>& pool) { return pool; }, "The pool.")
      .def(
          "__exit__", [](ThreadPool& pool, const py::args&) { pool.close(); }, WithoutGil(), "close().");
  m.def("set_num_threads", &set_num_threads, "threads"_a,
        "Threads of ops called one by one; a model has its own number. Raises ValueError outside\n1..1024.");
  m.def("num_threads", &num_threads,
        "Threads of ops called one by one: at first OMP_NUM_THREADS, else the processors that this process may use.");
}

}  // namespace voxshift::python
