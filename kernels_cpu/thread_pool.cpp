// A region is published as a job whose door is open; threads of the pool that are awake enter and take tasks beside the
// caller, who at the end shuts the door and waits for those inside only: a thread that the system does not let run
// costs nothing. A thread begins with its own share of the tasks and then takes from the back of others' shares.
#include <voxshift/kernels_cpu/processors.h>
#include <voxshift/kernels_cpu/spin.h>
#include <voxshift/tensor/error.h>
#include <voxshift/tensor/thread_pool.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <limits>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

namespace voxshift {
/// The threads of a pool and what they share.
class ThreadPool::Crew {
 public:
  Crew(int most, const std::vector<int>& cpus) : most_(most), cpus_(cpus) {}
  ~Crew() { close(); }

  void run(int threads, std::int64_t tasks, Call call, const void* body) {
    threads = static_cast<int>(std::min<std::int64_t>({threads, most_, tasks}));
    if (threads <= 1 || tasks > kMostTasks || busy_.exchange(true, std::memory_order_acquire)) {
      for (std::int64_t task = 0; task < tasks; ++task) call(body, task, 0);
      return;
    }
    if (helpers_ < threads - 1) start(threads - 1);
    job_ = {call, body, std::min(threads, static_cast<int>(shares_.size()))};
    threads = job_.threads;
    for (int t = 0; t < threads; ++t)
      shares_[static_cast<std::size_t>(t)].left.store(range(tasks * t / threads, tasks * (t + 1) / threads),
                                                      std::memory_order_relaxed);
    door_.store(kOpen, std::memory_order_release);
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
    work(0);
    std::uint32_t inside = door_.fetch_and(~kOpen, std::memory_order_acq_rel) & ~kOpen;
    if (inside != 0 && !spin_.until([&] { return door_.load(std::memory_order_acquire) == 0; }))
      while ((inside = door_.load(std::memory_order_acquire)) != 0) door_.wait(inside, std::memory_order_acquire);
    busy_.store(false, std::memory_order_release);
  }

  bool closed() const { return closed_; }

  void close() {
    const std::lock_guard lock(starting_);
    closed_ = true;
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  static constexpr std::uint32_t kOpen = std::uint32_t{1} << 31;
  static constexpr std::int64_t kMostTasks = std::numeric_limits<std::uint32_t>::max();

  struct Job {
    Call call;
    const void* body;
    int threads;
  };

  /// Tasks [first, last) that nobody has begun, as first << 32 | last.
  struct alignas(64) Share {
    std::atomic<std::uint64_t> left{0};
  };

  static std::uint64_t range(std::int64_t first, std::int64_t last) {
    return static_cast<std::uint64_t>(first) << 32 | static_cast<std::uint64_t>(last);
  }

  /// More threads, as many as the system gives.
  void start(int helpers) {
    const std::lock_guard lock(starting_);
    try {
      shares_ = std::vector<Share>(static_cast<std::size_t>(helpers) + 1);  // where refused, those that were stay
      threads_.reserve(static_cast<std::size_t>(helpers));
      while (!closed_ && static_cast<int>(threads_.size()) < helpers) {
        const int id = static_cast<int>(threads_.size()) + 1;
        threads_.emplace_back([this, id] { serve(id); });
      }
    } catch (const std::exception&) {
    }
    helpers_ = helpers;  // those refused are not asked for again
  }

  void serve(int id) {
    if (!cpus_.empty()) cpu::pin_this_thread(cpus_[static_cast<std::size_t>(id) % cpus_.size()]);
    cpu::ask_for_short_slices();
    std::uint32_t seen = 0;
    cpu::LostTime lost;
    while (true) {
      if (!spin_.allowed()) {
        lost.restart();
      } else if (lost.is_much()) {
        spin_.machine_is_busy();
      }
      if (!spin_.until([&] { return generation_.load(std::memory_order_acquire) != seen; })) {
        const cpu::SpinClock::time_point start = cpu::SpinClock::now();
        generation_.wait(seen, std::memory_order_acquire);
        lost.slept(cpu::SpinClock::now() - start);
      }
      seen = generation_.load(std::memory_order_acquire);
      if (closed_) return;
      if (!enter()) continue;
      if (id < job_.threads) work(id);
      if (door_.fetch_sub(1, std::memory_order_acq_rel) == 1) door_.notify_one();
    }
  }

  bool enter() {
    std::uint32_t door = door_.load(std::memory_order_relaxed);
    while ((door & kOpen) != 0)
      if (door_.compare_exchange_weak(door, door + 1, std::memory_order_acquire, std::memory_order_relaxed))
        return true;
    return false;
  }

  void work(int id) {
    const Job job = job_;
    for (int i = 0; i < job.threads; ++i) {
      std::atomic<std::uint64_t>& left = shares_[static_cast<std::size_t>((id + i) % job.threads)].left;
      std::uint64_t now = left.load(std::memory_order_relaxed);
      while (now >> 32 < (now & 0xFFFFFFFF)) {
        const bool own = i == 0;
        const std::uint64_t rest = own ? now + (std::uint64_t{1} << 32) : now - 1;
        if (!left.compare_exchange_weak(now, rest, std::memory_order_relaxed)) continue;
        job.call(job.body, static_cast<std::int64_t>(own ? now >> 32 : rest & 0xFFFFFFFF), id);
        now = left.load(std::memory_order_relaxed);
      }
    }
  }

  const int most_;
  const std::vector<int> cpus_;
  std::atomic<bool> busy_{false};  // somebody computes; the next three belong to them
  int helpers_ = 0;                // that were asked for
  Job job_{};
  std::vector<Share> shares_ = std::vector<Share>(1);     // by thread; the first is the caller's
  alignas(64) std::atomic<std::uint32_t> generation_{0};  // of jobs; helpers wait for the next
  alignas(64) std::atomic<std::uint32_t> door_{0};        // kOpen, and how many helpers are inside
  cpu::Spin spin_;
  std::mutex starting_;
  std::atomic<bool> closed_{false};
  std::vector<std::thread> threads_;
};

/// All pools of the process. fork() leaves a child without their threads, and with locks as they were at that moment:
/// there every pool gets a new crew, and the old one is forgotten.
struct ThreadPool::Registry {
  std::mutex mutex;
  std::set<ThreadPool*> pools;

  static Registry& instance() {
    static Registry& registry = *new Registry;  // outlives pools of static lifetime
    return registry;
  }

  Registry() {
    cpu::at_fork([] { instance().mutex.lock(); }, [] { instance().mutex.unlock(); },
                 [] {
                   for (ThreadPool* pool : instance().pools) pool->replace_crew();
                   instance().mutex.unlock();
                 });
  }
};

ThreadPool::ThreadPool(int threads, std::vector<int> cpus) : threads_(threads), cpus_(std::move(cpus)) {
  check(threads >= 1 && threads <= kMostThreads, "[ThreadPool] expected 1 to ", kMostThreads, " threads, found ",
        threads);
  const std::vector<int> allowed = cpu::allowed_processors();
  check<BackendUnavailable>(cpus_.empty() || !allowed.empty(), "[ThreadPool] this system cannot pin threads");
  for (const int cpu : cpus_)
    check(std::find(allowed.begin(), allowed.end(), cpu) != allowed.end(), "[ThreadPool] this process may not use CPU ",
          cpu);
  Registry& registry = Registry::instance();
  const std::lock_guard lock(registry.mutex);
  auto crew = std::make_unique<Crew>(threads_, cpus_);
  registry.pools.insert(this);  // from here on nothing is refused: a pool on the list is whole
  crew_ = crew.release();
}

ThreadPool::~ThreadPool() {
  Registry& registry = Registry::instance();
  {
    const std::lock_guard lock(registry.mutex);
    registry.pools.erase(this);
  }
  delete crew_;
}

void ThreadPool::replace_crew() {
  const bool closed = crew_->closed();
  crew_ = new Crew(threads_, cpus_);
  if (closed) crew_->close();
}

void ThreadPool::close() { crew_->close(); }

void ThreadPool::run(int threads, std::int64_t tasks, Call call, const void* body) {
  crew_->run(threads, tasks, call, body);
}

ThreadPool& ThreadPool::process() {
  static ThreadPool& pool = *new ThreadPool(kMostThreads);  // for ops at exit, too
  return pool;
}

Threads::Threads(int count) : count_(count) {
  check(count >= 0 && count <= ThreadPool::kMostThreads, "[threads] expected 1 to ", ThreadPool::kMostThreads,
        ", or 0 for the default, found ", count);
}

Threads::Threads(std::shared_ptr<ThreadPool> shared) : shared_(std::move(shared)) {}

std::shared_ptr<ThreadPool> Threads::pool() const {
  return shared_ ? shared_ : std::make_shared<ThreadPool>(count_ > 0 ? count_ : num_threads());
}

namespace {

int default_threads() {
  const char* text = std::getenv("OMP_NUM_THREADS");
  const int wanted = text ? std::atoi(text) : 0;
  if (wanted > 0) return std::min(wanted, ThreadPool::kMostThreads);
  const std::size_t allowed = cpu::allowed_processors().size();
  const std::size_t processors = allowed > 0 ? allowed : std::max(1u, std::thread::hardware_concurrency());
  return static_cast<int>(std::min<std::size_t>(processors, ThreadPool::kMostThreads));
}

std::atomic<int>& thread_count() {
  static std::atomic<int> count{default_threads()};
  return count;
}

}  // namespace

void set_num_threads(int threads) {
  check(threads >= 1 && threads <= ThreadPool::kMostThreads, "[set_num_threads] expected 1 to ",
        ThreadPool::kMostThreads, " threads, found ", threads);
  thread_count() = threads;
}

int num_threads() { return thread_count(); }

}  // namespace voxshift
