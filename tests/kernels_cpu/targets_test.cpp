// The environment variable VOXSHIFT_CPU: CMakeLists.txt runs this program once per value.
#include <gtest/gtest.h>
#include <voxshift/tensor/error.h>
#include <voxshift/tensor/runtime.h>

#include <set>

#include "cpu_targets.h"

namespace voxshift {
namespace {

TEST(Targets, KernelsRunOnTheSetAskedFor) {
  const std::string wanted = wanted_cpu_target();
  const std::set<std::string> known = {"avx512", "avx2", "sse4", "neon"};
  const auto target = [] { return runtime(Device::cpu()).target(Device::cpu()); };
  if (wanted.empty()) {
    EXPECT_EQ(known.count(target()), 1U) << target();
    EXPECT_TRUE(cpu_has(target())) << target();
    for (const std::string better : {"avx512", "avx2"})
      if (cpu_has(better)) {
        EXPECT_EQ(target(), better) << "the widest set of this CPU is the default";
        break;
      }
  } else if (cpu_has(wanted)) {
    EXPECT_EQ(target(), wanted);
  } else {
    try {
      ADD_FAILURE() << wanted << " was taken as " << target();
    } catch (const InvalidArgument& error) {
      EXPECT_NE(std::string(error.what()).find("VOXSHIFT_CPU=" + wanted), std::string::npos) << error.what();
    }
    if (known.count(wanted) == 1) GTEST_SKIP() << "this CPU has no " << wanted;
  }
}

}  // namespace
}  // namespace voxshift
