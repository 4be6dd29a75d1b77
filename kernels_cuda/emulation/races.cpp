#include <link.h>
#include <voxshift/kernels_cuda/emulation/memory.h>
#include <voxshift/kernels_cuda/emulation/races.h>

#include <cstdio>
#include <filesystem>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>

namespace voxshift::cuda::emulated {
namespace {

constexpr std::size_t kMostReported = 8;  // of one launch

[[gnu::tls_model("initial-exec")]] constinit thread_local Races* watching = nullptr;  // while a thread of a kernel runs

const char* name(AccessKind kind) {
  return kind == AccessKind::kRead ? "read" : kind == AccessKind::kWrite ? "write" : "atomic";
}

// The program or library that holds an address, and where it was loaded.
struct Module {
  std::uintptr_t address, base;
  std::string file;
};

int find_module(dl_phdr_info* info, std::size_t, void* wanted) {
  auto& module = *static_cast<Module*>(wanted);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& header = info->dlpi_phdr[i];
    const std::uintptr_t begin = info->dlpi_addr + header.p_vaddr;
    if (header.p_type != PT_LOAD || module.address < begin || module.address >= begin + header.p_memsz) continue;
    module.base = info->dlpi_addr;
    module.file =
        info->dlpi_name[0] != '\0' ? info->dlpi_name : std::filesystem::read_symlink("/proc/self/exe").string();
    return 1;
  }
  return 0;
}

// Functions and lines around a return address, the innermost first.
std::string place_of(const void* code) {
  Module module{reinterpret_cast<std::uintptr_t>(code) - 1, 0, {}};
  dl_iterate_phdr(find_module, &module);
  std::ostringstream command;
  command << "addr2line -Cfips -e '" << module.file << "' 0x" << std::hex << module.address - module.base << " 2>&1";
  std::string text;
  if (FILE* const pipe = popen(command.str().c_str(), "r")) {
    char line[512];
    while (std::fgets(line, sizeof(line), pipe) != nullptr) text += std::string("    ") + line;
    pclose(pipe);
  }
  return text;
}

}  // namespace

void note_access(AccessKind kind, const void* memory, std::size_t bytes, const void* code) {
  if (watching != nullptr) watching->access(kind, reinterpret_cast<std::uintptr_t>(memory), bytes, code);
}

Races& races() {
  static thread_local Races races;
  return races;
}

// Static shared variables are variables of the host's thread.
Races::Range Races::thread_locals() {
  static thread_local char one = 0;
  struct Search {
    std::uintptr_t inside;
    Range range;
  } search{reinterpret_cast<std::uintptr_t>(&one), {}};
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* data) {
        auto& found = *static_cast<Search*>(data);
        const auto begin = reinterpret_cast<std::uintptr_t>(info->dlpi_tls_data);
        for (int i = 0; i < info->dlpi_phnum && begin != 0; ++i) {
          const Range range{begin, begin + info->dlpi_phdr[i].p_memsz};
          if (info->dlpi_phdr[i].p_type != PT_TLS || !range.contains(found.inside)) continue;
          found.range = range;
          return 1;
        }
        return 0;
      },
      &search);
  return search.range;
}

Races::Races() : static_shared_(thread_locals()) {
  const std::span<const std::byte> memory = device_memory();
  device_.begin = reinterpret_cast<std::uintptr_t>(memory.data());
  device_.end = device_.begin + memory.size();
}

void Races::begin_launch() {
  pages_.clear();
  recent_.fill({});
  found_.clear();
  now_ = 0;
}

void Races::begin_block(std::size_t threads, const void* shared, std::size_t shared_bytes) {
  block_began_ = block_ordered_ = ++now_;
  warp_ordered_.assign((threads + 31) / 32, now_);
  const auto begin = reinterpret_cast<std::uintptr_t>(shared);
  dynamic_shared_ = {begin, begin + shared_bytes};
}

void Races::end_launch() {
  if (found_.empty()) return;
  std::ostringstream message;
  message << found_.size() << " races between threads of a kernel\n";
  std::size_t reported = 0;
  for (const auto& [places, race] : found_) {
    if (reported++ == kMostReported) break;
    message << "  " << name(race.kind) << " by thread " << race.thread << "\n"
            << place_of(places.second) << "  against a " << name(race.earlier_kind) << " by thread "
            << race.earlier_thread << (race.one_block ? "\n" : " of another block\n") << place_of(places.first);
  }
  throw std::logic_error(message.str());
}

void Races::run(int thread) {
  thread_ = thread;
  watching = thread < 0 ? nullptr : this;
}

void Races::access(AccessKind kind, std::uintptr_t address, std::size_t bytes, const void* code) {
  const bool shared = !device_.contains(address);
  if (shared && !dynamic_shared_.contains(address) && !static_shared_.contains(address)) return;
  watching = nullptr;  // what is done here is nobody's access
  kind_ = kind;
  access_ = {code, now_, thread_};
  const std::uintptr_t end = address + bytes;
  while (address < end) {
    Word& w = word(address);
    if (w.bytes == nullptr && address % kWordBytes == 0 && end - address >= kWordBytes) {
      touch(w.cell, shared);
      address += kWordBytes;
      continue;
    }
    if (w.bytes == nullptr) w.bytes = std::make_unique<std::array<Cell, 4>>(std::array{w.cell, w.cell, w.cell, w.cell});
    do touch((*w.bytes)[address % kWordBytes], shared);
    while (++address < end && address % kWordBytes != 0);
  }
  watching = this;
}

void Races::touch(Cell& cell, bool shared) {
  // Who has the same thread's access of this time behind it has compared it, and so has whoever came between.
  const auto again = [&](const Access& old) { return old.time == now_ && old.thread == thread_; };
  if (kind_ == AccessKind::kRead && (again(cell.reads.first) || again(cell.reads.second))) return;
  if (kind_ == AccessKind::kWrite && again(cell.write)) return;
  compare(cell.write, AccessKind::kWrite, shared);
  if (kind_ != AccessKind::kAtomic) compare(cell.atomics, AccessKind::kAtomic, shared);
  if (kind_ != AccessKind::kRead) compare(cell.reads, AccessKind::kRead, shared);
  if (kind_ == AccessKind::kWrite) cell.write = access_;
  if (kind_ == AccessKind::kAtomic) keep(cell.atomics);
  if (kind_ == AccessKind::kRead) keep(cell.reads);
}

Races::Word& Races::word(std::uintptr_t address) {
  const std::uintptr_t begin = address / kPageBytes * kPageBytes;
  Recent& recent = recent_[address / kPageBytes % recent_.size()];
  if (recent.page == nullptr || recent.begin != begin) {
    std::unique_ptr<Page>& page = pages_[begin];
    if (page == nullptr) page = std::make_unique<Page>();
    recent = {begin, page.get()};
  }
  return (*recent.page)[address % kPageBytes / kWordBytes];
}

bool Races::ordered(const Access& earlier, bool shared) const {
  if (earlier.time == 0) return true;
  if (earlier.time < block_began_) return shared;  // the shared memory of another block is other memory
  if (earlier.thread == access_.thread || earlier.time < block_ordered_) return true;
  const int warp = access_.thread / 32;
  return earlier.thread / 32 == warp && earlier.time < warp_ordered_[static_cast<std::size_t>(warp)];
}

void Races::compare(const Access& earlier, AccessKind earlier_kind, bool shared) {
  if (ordered(earlier, shared)) return;
  const Race race{kind_, earlier_kind, access_.thread, earlier.thread, earlier.time >= block_began_};
  found_.emplace(std::pair(earlier.code, access_.code), race);
}

void Races::compare(const Accesses& earlier, AccessKind kind, bool shared) {
  compare(earlier.before, kind, shared);
  compare(earlier.first, kind, shared);
  compare(earlier.second, kind, shared);
}

void Races::keep(Accesses& a) const {
  if (a.first.time != 0 && a.first.time < block_began_) {
    a.before = a.first;
    a.first = a.second = {};
  }
  const auto warp = [](const Access& access) { return access.thread / 32; };
  if (a.first.thread == access_.thread) {
    a.first = access_;
  } else if (a.second.thread == access_.thread) {
    a.second = access_;
  } else if (ordered(a.first, false)) {
    a.first = access_;
  } else if (ordered(a.second, false) || (warp(a.first) == warp(a.second) && warp(a.first) != warp(access_))) {
    a.second = access_;
  }
}

}  // namespace voxshift::cuda::emulated

// What the compiler calls: before every access, and for the host's atomic operations.
using voxshift::cuda::emulated::AccessKind, voxshift::cuda::emulated::note_access;

#define VOXSHIFT_ACCESS(function, kind, bytes) \
  void function(void* memory) { note_access(AccessKind::kind, memory, bytes, __builtin_return_address(0)); }
#define VOXSHIFT_ACCESSES(bytes)                              \
  VOXSHIFT_ACCESS(__tsan_read##bytes, kRead, bytes)           \
  VOXSHIFT_ACCESS(__tsan_write##bytes, kWrite, bytes)         \
  VOXSHIFT_ACCESS(__tsan_unaligned_read##bytes, kRead, bytes) \
  VOXSHIFT_ACCESS(__tsan_unaligned_write##bytes, kWrite, bytes)
#define VOXSHIFT_RANGE(function, kind)                                         \
  void function(void* memory, std::size_t bytes) {                             \
    note_access(AccessKind::kind, memory, bytes, __builtin_return_address(0)); \
  }
#define VOXSHIFT_ATOMIC(name, T, operation) \
  T __tsan_atomic##name(volatile T* a, T value, int) { return operation(a, value, __ATOMIC_SEQ_CST); }
#define VOXSHIFT_ATOMICS(bits, T)                                                                                 \
  T __tsan_atomic##bits##_load(const volatile T* a, int) { return __atomic_load_n(a, __ATOMIC_SEQ_CST); }         \
  void __tsan_atomic##bits##_store(volatile T* a, T value, int) { __atomic_store_n(a, value, __ATOMIC_SEQ_CST); } \
  VOXSHIFT_ATOMIC(bits##_exchange, T, __atomic_exchange_n)                                                        \
  VOXSHIFT_ATOMIC(bits##_fetch_add, T, __atomic_fetch_add)                                                        \
  VOXSHIFT_ATOMIC(bits##_fetch_sub, T, __atomic_fetch_sub)                                                        \
  VOXSHIFT_ATOMIC(bits##_fetch_and, T, __atomic_fetch_and)                                                        \
  int __tsan_atomic##bits##_compare_exchange_weak(volatile T* a, T* expected, T wanted, int, int) {               \
    return __atomic_compare_exchange_n(a, expected, wanted, true, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);            \
  }                                                                                                               \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile T* a, T* expected, T wanted, int, int) {             \
    return __atomic_compare_exchange_n(a, expected, wanted, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);           \
  }

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
VOXSHIFT_ACCESSES(1)
VOXSHIFT_ACCESSES(2)
VOXSHIFT_ACCESSES(4)
VOXSHIFT_ACCESSES(8)
VOXSHIFT_ACCESSES(16)
VOXSHIFT_RANGE(__tsan_read_range, kRead)
VOXSHIFT_RANGE(__tsan_write_range, kWrite)
VOXSHIFT_ATOMICS(8, unsigned char)
VOXSHIFT_ATOMICS(32, unsigned)
VOXSHIFT_ATOMICS(64, unsigned long)
}
