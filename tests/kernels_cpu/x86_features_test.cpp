// What the CPU says of itself is what the system's kernel says of it.
#include <gtest/gtest.h>
#include <voxshift/kernels_cpu/x86_features.h>

#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>

namespace voxshift {
namespace {

std::set<std::string> flags_of_the_kernel() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("flags")) continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    return {std::istream_iterator<std::string>(words), {}};
  }
  return {};
}

TEST(X86Features, AreThoseOfTheKernel) {
  const std::set<std::string> flags = flags_of_the_kernel();
  if (flags.empty()) GTEST_SKIP() << "/proc/cpuinfo names no flags: no Linux";
  const auto has = [&](const char* flag) { return flags.contains(flag); };
  const cpu::X86Features found = cpu::x86_features();
  EXPECT_EQ(found.sse4, has("sse4_1"));
  EXPECT_EQ(found.avx2, has("avx2"));
  EXPECT_EQ(found.avx512, has("avx512f") && has("avx512bw") && has("avx512dq") && has("avx512vl"));
  EXPECT_EQ(found.avx_vnni, has("avx_vnni"));
  EXPECT_EQ(found.avx512_vnni, has("avx512_vnni"));
  EXPECT_EQ(found.avx512_bf16, has("avx512_bf16"));
}

}  // namespace
}  // namespace voxshift
