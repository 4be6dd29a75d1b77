#include "cuda_report.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "measure.h"

namespace voxshift::bench {

Times milliseconds(int repeats, const std::function<void()>& call) {
  const int warm_up = repeats > 1 ? 3 : 1;
  const auto finish = [] { runtime(kCuda).synchronize(kCuda); };
  for (int i = 0; i < warm_up; ++i) call();
  finish();
  std::vector<double> all;
  for (int i = 0; i < repeats; ++i)
    all.push_back(1e3 * seconds_of([&] {
                    call();
                    finish();
                  }));
  return {*std::min_element(all.begin(), all.end()), median(all)};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.at(values.size() / 2);
}

void print(const std::string& name, const std::vector<std::pair<std::string_view, double>>& fields) {
  std::printf("{\"name\": \"%s\"", name.c_str());
  for (const auto& [field, value] : fields) std::printf(", \"%s\": %.6g", std::string(field).c_str(), value);
  std::printf("}\n");
  std::fflush(stdout);  // what is printed is kept where the program is ended
}

void check_bits(const std::string& name, const Array& found, const Array& expected) {
  check<Error>(found.shape() == expected.shape() && std::memcmp(found.memory(), expected.memory(), found.bytes()) == 0,
               name, ": the device's bits are not the CPU's");
}

}  // namespace voxshift::bench
