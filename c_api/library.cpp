// Version, errors, capabilities, allocator and log.
#include <voxshift/tensor/host_allocator.h>
#include <voxshift/tensor/runtime.h>
#include <voxshift/tensor/version.h>

#include <array>
#include <new>
#include <string>

#include "call.h"
#include "objects.h"
#include "parts.h"

namespace voxshift::c_api {
namespace {

/// Of a fixed size: an error about memory cannot ask for any.
thread_local std::array<char, 2048> last_error{};

voxshift_status fail(voxshift_status status, const char* function, const char* text) noexcept {
  const auto append = [](std::size_t at, const char* more) {
    const std::size_t count = std::min(std::strlen(more), last_error.size() - 1 - at);
    std::memcpy(last_error.data() + at, more, count);
    last_error[at + count] = '\0';
    return at + count;
  };
  std::size_t end = 0;
  if (text[0] != '[') {  // else the library's own function is named already
    end = append(end, "[");
    end = append(end, function);
    end = append(end, "] ");
  }
  append(end, text);
  return status;
}

struct Log {
  std::mutex mutex;
  voxshift_log call = nullptr;
  void* user = nullptr;
};

Log& the_log() {
  static auto* const log = new Log;
  return *log;
}

/// Strings that stay for ever.
const char* kept(std::string text) {
  static std::mutex mutex;
  static auto* const texts = new std::vector<std::unique_ptr<const std::string>>;
  const std::lock_guard lock(mutex);
  for (const auto& known : *texts)
    if (*known == text) return known->c_str();
  return texts->emplace_back(std::make_unique<const std::string>(std::move(text)))->c_str();
}

}  // namespace

voxshift_status failed(const char* function) noexcept try { throw; } catch (const Busy& error) {
  return fail(VOXSHIFT_BUSY, function, error.what());
} catch (const InvalidArgument& error) {
  return fail(VOXSHIFT_INVALID_ARGUMENT, function, error.what());
} catch (const IoError& error) {
  return fail(VOXSHIFT_IO_ERROR, function, error.what());
} catch (const OutOfMemory& error) {
  return fail(VOXSHIFT_OUT_OF_MEMORY, function, error.what());
} catch (const BackendUnavailable& error) {
  return fail(VOXSHIFT_UNAVAILABLE, function, error.what());
} catch (const DeviceError& error) {
  return fail(VOXSHIFT_DEVICE_ERROR, function, error.what());
} catch (const std::bad_alloc&) {
  return fail(VOXSHIFT_OUT_OF_MEMORY, function, "no memory is left");
} catch (const std::exception& error) {
  return fail(VOXSHIFT_INTERNAL, function, error.what());
} catch (...) {
  return fail(VOXSHIFT_INTERNAL, function, "a fault of the library");
}

void log(const std::string& line) {
  Log& log = the_log();
  std::unique_lock lock(log.mutex);
  const voxshift_log call = log.call;
  void* const user = log.user;
  lock.unlock();  // a callback may set another one
  if (call != nullptr) call(user, line.c_str());
}

Device device_of(std::int32_t kind, std::int32_t index) {
  check(kind == VOXSHIFT_CPU || kind == VOXSHIFT_CUDA, "device expects VOXSHIFT_CPU or VOXSHIFT_CUDA, found ", kind);
  check(index >= 0 && (index == 0 || kind == VOXSHIFT_CUDA), "device_index expects 0 or a GPU's number, found ", index);
  return kind == VOXSHIFT_CPU ? Device::cpu() : Device::cuda(index);
}

std::optional<DType> network_dtype_of(std::int32_t dtype) {
  switch (dtype) {
    case VOXSHIFT_AUTO:
      return std::nullopt;
    case VOXSHIFT_F32:
      return DType::kF32;
    case VOXSHIFT_F16:
      return DType::kF16;
    case VOXSHIFT_BF16:
      return DType::kBF16;
    case VOXSHIFT_I8:
      return DType::kI8;
    default:
      throw InvalidArgument("dtype expects VOXSHIFT_AUTO, F32, F16, BF16 or I8, found " + std::to_string(dtype));
  }
}

voxshift_array array_of(const Array& array) {
  static constexpr std::pair<DType, voxshift_dtype> kNames[] = {
      {DType::kF32, VOXSHIFT_F32}, {DType::kF16, VOXSHIFT_F16}, {DType::kBF16, VOXSHIFT_BF16},
      {DType::kI8, VOXSHIFT_I8},   {DType::kI32, VOXSHIFT_I32}, {DType::kU8, VOXSHIFT_U8},
      {DType::kI64, VOXSHIFT_I64}};
  voxshift_array given = VOXSHIFT_ARRAY_INIT;
  check(array.rank() <= VOXSHIFT_MAX_RANK, "an array has more than ", VOXSHIFT_MAX_RANK, " axes");
  for (const auto& [dtype, name] : kNames)
    if (dtype == array.dtype()) given.dtype = name;
  given.rank = static_cast<std::int32_t>(array.rank());
  std::copy(array.shape().begin(), array.shape().end(), given.shape);
  given.data = array.memory();
  return given;
}

}  // namespace voxshift::c_api

using namespace voxshift;
using namespace voxshift::c_api;

const char* voxshift_version(void) { return version(); }

uint32_t voxshift_abi_version(void) { return 1; }

const char* voxshift_last_error(void) { return last_error.data(); }

voxshift_status voxshift_get_capabilities(voxshift_capabilities* capabilities) {
  return call(__func__, [&] {
    check_result(capabilities, "capabilities");
    const Device cuda = Device::cuda();
    voxshift_capabilities found = VOXSHIFT_CAPABILITIES_INIT;
    found.points = kHasPoints;
    found.video = kHasVideo;
    found.cuda = runtime(cuda).available(cuda);
    found.threads = num_threads();
    found.instruction_set = kept(runtime(Device::cpu()).target(Device::cpu()));
    found.i8_instructions = kept(cpu::product_instructions(DType::kI8));
    found.bf16_instructions = kept(cpu::product_instructions(DType::kBF16));
    found.f16_instructions = kept(cpu::product_instructions(DType::kF16));
    give(capabilities, found);
  });
}

voxshift_status voxshift_set_allocator(const voxshift_allocator* allocator) {
  return call(__func__, [&] {
    if (allocator == nullptr) return set_host_allocator(nullptr);
    const voxshift_allocator wanted = taken(allocator, "allocator");
    check(wanted.allocate != nullptr && wanted.release != nullptr, "allocator needs allocate and release");
    const HostAllocator host{wanted.allocate, wanted.release, wanted.user};
    set_host_allocator(&host);
  });
}

voxshift_status voxshift_set_log(voxshift_log call, void* user) {
  Log& log = the_log();
  const std::lock_guard lock(log.mutex);
  log.call = call;
  log.user = user;
  return VOXSHIFT_OK;
}
