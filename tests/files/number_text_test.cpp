// Numbers of texts, whatever the standard library.
#include <gtest/gtest.h>
#include <voxshift/files/number_text.h>

#include <bit>
#include <charconv>
#include <clocale>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>

namespace voxshift {
namespace {

template <class Number>
struct Parsed {
  Number value = 7;
  std::errc error{};
  std::ptrdiff_t length = 0;

  explicit Parsed(const std::string& text) {
    const auto [end, code] = number_by_strtod(text.data(), text.data() + text.size(), value);
    error = code;
    length = end - text.data();
  }
};

template <class Number>
class NumberText : public ::testing::Test {};
using Numbers = ::testing::Types<float, double>;
TYPED_TEST_SUITE(NumberText, Numbers);

TYPED_TEST(NumberText, WhatIsTaken) {
  const struct {
    const char* text;
    double value;
    int length;
  } cases[] = {{"0", 0, 1},
               {"-0", -0.0, 2},
               {"12.5", 12.5, 4},
               {"12.5x", 12.5, 4},
               {".5", 0.5, 2},
               {"5.", 5, 2},
               {"-.25e1", -2.5, 6},
               {"1e3", 1000, 3},
               {"1E+3", 1000, 4},
               {"1e", 1, 1},
               {"1e+", 1, 1},
               {"1e-2 3", 0.01, 4},
               {"0x10", 0, 1},
               {"1,5", 1, 1},
               {"1.5.5", 1.5, 3},
               {"00012", 12, 5},
               {"inf", INFINITY, 3},
               {"-INF", -INFINITY, 4},
               {"infinity", INFINITY, 8},
               {"infinit", INFINITY, 3},
               {"0e99999", 0, 7}};
  for (const auto& expected : cases) {
    const Parsed<TypeParam> parsed(expected.text);
    EXPECT_EQ(parsed.error, std::errc()) << expected.text;
    EXPECT_EQ(parsed.value, static_cast<TypeParam>(expected.value)) << expected.text;
    EXPECT_EQ(std::signbit(parsed.value), std::signbit(expected.value)) << expected.text;
    EXPECT_EQ(parsed.length, expected.length) << expected.text;
  }
  for (const char* text : {"nan", "NaN", "-nan", "nan(ab_1)", "nan(", "nan(-)"}) {
    const Parsed<TypeParam> parsed(text);
    EXPECT_TRUE(std::isnan(parsed.value)) << text;
    EXPECT_EQ(parsed.length, std::string(text) == "nan(ab_1)" ? 9 : text[0] == '-' ? 4 : 3) << text;
  }
}

TYPED_TEST(NumberText, WhatIsRefused) {
  for (const char* text : {"", "-", "+1", " 1", ".", "-.", "e5", ".e5", "--1", "x", "na", "in"}) {
    const Parsed<TypeParam> parsed(text);
    EXPECT_EQ(parsed.error, std::errc::invalid_argument) << text;
    EXPECT_EQ(parsed.length, 0) << text;
    EXPECT_EQ(parsed.value, 7) << text;
  }
  for (const char* text : {"1e400", "-1e99999", "1e-400", "0.1e-99999"}) {
    const Parsed<TypeParam> parsed(text);
    EXPECT_EQ(parsed.error, std::errc::result_out_of_range) << text;
    EXPECT_EQ(parsed.length, static_cast<std::ptrdiff_t>(std::strlen(text))) << text;
    EXPECT_EQ(parsed.value, 7) << text;
  }
}

// The nearest number, also where the locale has a comma; "%.*g" with so many digits gives every number back.
TYPED_TEST(NumberText, EveryNumberComesBack) {
  using Bits = std::conditional_t<sizeof(TypeParam) == 4, std::uint32_t, std::uint64_t>;
  for (const char* locale : {"C", "de_DE.UTF-8"}) {
    std::setlocale(LC_NUMERIC, "C");
    std::mt19937_64 random(1);
    for (int i = 0; i < 20'000; ++i) {
      const auto number = std::bit_cast<TypeParam>(static_cast<Bits>(random()));
      if (!std::isnormal(number)) continue;
      char text[64];
      const int length = std::snprintf(text, sizeof(text), "%.*g", sizeof(TypeParam) == 4 ? 9 : 17, double{number});
      std::setlocale(LC_NUMERIC, locale);
      const Parsed<TypeParam> parsed(text);
      std::setlocale(LC_NUMERIC, "C");
      ASSERT_EQ(parsed.error, std::errc()) << text;
      ASSERT_EQ(parsed.value, number) << text;
      ASSERT_EQ(parsed.length, length) << text;
    }
  }
}

#ifdef __cpp_lib_to_chars

TYPED_TEST(NumberText, AsTheStandardLibraryDoes) {
  const std::string parts = "0123456789..ee--+ infatyx()_E";
  std::mt19937 random(2);
  for (int i = 0; i < 200'000; ++i) {
    std::string text;
    for (unsigned length = random() % 9; length > 0; --length) text += parts[random() % parts.size()];
    TypeParam value = 7;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const Parsed<TypeParam> parsed(text);
    ASSERT_EQ(parsed.length, end - text.data()) << text;
    ASSERT_EQ(parsed.error, error) << text;
    if (!std::isnan(value)) {
      ASSERT_EQ(parsed.value, value) << text;
    }
  }
}

#endif

}  // namespace
}  // namespace voxshift
