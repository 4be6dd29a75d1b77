// The model file's container: round trips, and hostile files, built byte by byte, that must end in one clear IoError.
#include <sys/stat.h>
#include <voxshift/graph/safetensors.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "file_test.h"

namespace voxshift {
namespace {

using SafeTensorsFile = FileTest;

std::string refusal(const fs::path& path) {
  return io_error(path, [&] { read_safetensors(path); });
}

/// A file with this header and as many bytes of data.
std::string file(const std::string& header, std::size_t data_bytes, std::uint64_t length) {
  std::string bytes(8, '\0');
  for (std::size_t b = 0; b < 8; ++b) bytes[b] = static_cast<char>(length >> (8 * b) & 0xff);
  return bytes + header + std::string(data_bytes, '\1');
}
std::string file(const std::string& header, std::size_t data_bytes) { return file(header, data_bytes, header.size()); }

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"t": {"dtype": ")" + dtype + R"(", "shape": )" + shape + R"(, "data_offsets": )" + offsets + "}}";
}

TEST_F(SafeTensorsFile, RoundTrip) {
  SafeTensors content;
  content.metadata = {{"a", "one"}, {"b", "{\"two\": 2}\n"}, {"\xc3\xbc", ""}};
  content.tensors.emplace("f32", Array::from(std::vector<float>{1.5f, -2, 3e38f, 0, -0.0f, 1e-40f}, {2, 3}));
  content.tensors.emplace("i64", Array::from(std::vector<std::int64_t>{-1, INT64_MAX}, {2}));
  content.tensors.emplace("i32", Array::from(std::vector<std::int32_t>{-7}, {1, 1, 1}));
  content.tensors.emplace("i8", Array::from(std::vector<std::int8_t>{-1, 2, 3}, {3}));
  content.tensors.emplace("u8", Array::from(std::vector<std::uint8_t>{255, 0, 7, 9, 11}, {5}));
  Array half({2}, DType::kF16), brain({3}, DType::kBF16);
  std::memcpy(half.memory(), "\x00\x3c\x00\xc0", 4);
  std::memcpy(brain.memory(), "\x80\x3f\x00\x40\x40\x40", 6);
  content.tensors.emplace("f16", half);
  content.tensors.emplace("bf16", brain);
  content.tensors.emplace("empty", Array({0, 4}, DType::kF32));
  content.tensors.emplace("scalar", Array::from(std::vector<float>{4}, {}));
  const fs::path path = folder_ / "a.safetensors";
  write_safetensors(path, content);
  EXPECT_EQ(names(), std::vector<std::string>{"a.safetensors"});
  const SafeTensors read = read_safetensors(path);
  EXPECT_EQ(read.metadata, content.metadata);
  ASSERT_EQ(read.tensors.size(), content.tensors.size());
  for (const auto& [name, array] : content.tensors) {
    const Array& other = read.tensors.at(name);
    EXPECT_EQ(other.shape(), array.shape()) << name;
    EXPECT_EQ(other.dtype(), array.dtype()) << name;
    ASSERT_EQ(other.bytes(), array.bytes());
    EXPECT_EQ(std::memcmp(other.memory(), array.memory(), array.bytes()), 0) << name;
  }
  // The layout: a length, the header, and data that starts aligned.
  const std::string bytes = get(path);
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  EXPECT_EQ(length % 8, 0u);
  EXPECT_EQ(bytes[8], '{');
  EXPECT_EQ(bytes.size(), 8 + length + 24 + 16 + 4 + 3 + 5 + 4 + 6 + 0 + 4);
}

TEST_F(SafeTensorsFile, ReadsAHandMadeFile) {
  const auto path =
      put("a", file(R"({"t":{"dtype":"U8","shape":[2,2],"data_offsets":[1,5]},"__metadata__":{"k":"v"}})", 5));
  const SafeTensors read = read_safetensors(path);
  EXPECT_EQ(read.metadata.at("k"), "v");
  EXPECT_EQ(read.tensors.at("t").shape(), (Shape{2, 2}));
  EXPECT_EQ(read.tensors.at("t").data<std::uint8_t>()[3], 1);
}

TEST_F(SafeTensorsFile, FilesThatAreNone) {
  EXPECT_SAYS(refusal(folder_ / "missing"), "No such file");
  EXPECT_SAYS(refusal(folder_), "is not a file");
  EXPECT_SAYS(refusal(put("empty", "")), "0 bytes");
  EXPECT_SAYS(refusal(put("seven", "1234567")), "7 bytes");
  // A pipe that nobody writes to must not be waited for.
  const fs::path pipe = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_SAYS(refusal(pipe), "is not a file");
}

TEST_F(SafeTensorsFile, FilesOfOtherKinds) {
  for (const std::string start : {"PK\3\4 a zip archive", "\x80\2 a pickle", "plain words, a line of them"}) {
    EXPECT_SAYS(refusal(put("a", start)), "is no safetensors file") << start;
  }
}

TEST_F(SafeTensorsFile, TextIsUtf8) {
  Array number({1}, DType::kF32);
  *number.data<float>() = 1;
  const auto says = [&](const SafeTensors& content) {
    std::string what = "no error";
    try {
      write_safetensors(folder_ / "a", content);
    } catch (const InvalidArgument& error) {
      what = error.what();
    }
    return what;
  };
  EXPECT_SAYS(says({{{"caf\xe9", number}}, {}}), "not UTF-8: \"caf\\ufffd\"");
  EXPECT_SAYS(says({{}, {{"author", "\xff"}}}), "not UTF-8");
  EXPECT_SAYS(says({{{"caf\xc3\xa9", number}}, {}}), "no error");
}

TEST_F(SafeTensorsFile, HeaderLength) {
  EXPECT_SAYS(refusal(put("a", file("{}", 0, 3))), "claims a header of 3 bytes");
  EXPECT_SAYS(refusal(put("a", file("{}", 0, UINT64_MAX))), "claims a header of 18446744073709551615 bytes");
  EXPECT_SAYS(refusal(put("a", file("{}", 0, UINT64_MAX - 7))), "claims a header");
  EXPECT_SAYS(refusal(put("a", file("{}", 0, std::uint64_t{1} << 62))), "claims a header");
  // A file of two terabytes without blocks on the disk, whose header takes all of it.
  const fs::path sparse = put("sparse", file("{", 0, (std::uint64_t{1} << 41) - 8));
  std::error_code error;
  fs::resize_file(sparse, std::uint64_t{1} << 41, error);
  if (!error) {
    EXPECT_SAYS(refusal(sparse), "at most 100000000");
  }
}

TEST_F(SafeTensorsFile, HeaderIsNotJson) {
  for (const std::string header : {"", "{", "[]", "7", "null", "\"text\"", "{\"a\"}", "\xff\xfe{}", "{} {}"}) {
    EXPECT_SAYS(refusal(put("a", file(header, 8))), "not a JSON object") << header;
  }
  EXPECT_SAYS(refusal(put("a", file(std::string(100000, '['), 8))), "not a JSON object");
  std::string nested = "{\"t\":";
  for (int i = 0; i < 100000; ++i) nested += "[";
  for (int i = 0; i < 100000; ++i) nested += "]";
  EXPECT_SAYS(refusal(put("a", file(nested + "}", 8))), "header");
}

TEST_F(SafeTensorsFile, Entries) {
  EXPECT_SAYS(refusal(put("a", file(R"({"t": 5})", 8))), "header");
  EXPECT_SAYS(refusal(put("a", file(R"({"t": {}})", 8))), "dtype");
  EXPECT_SAYS(refusal(put("a", file(R"({"t": {"dtype": "F32"}})", 8))), "shape");
  EXPECT_SAYS(refusal(put("a", file(R"({"t": {"dtype": "F32", "shape": [2]}})", 8))), "data_offsets");
  EXPECT_SAYS(refusal(put("a", file(R"({"__metadata__": {"k": 5}})", 8))), "header");
  EXPECT_SAYS(refusal(put("a", file(R"({"__metadata__": []})", 8))), "header");
  const auto with = [&](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return refusal(put("a", file(entry(dtype, shape, offsets), 8)));
  };
  EXPECT_SAYS(with("F33", "[2]", "[0, 8]"), "unknown dtype \"F33\"");
  EXPECT_SAYS(with("F64", "[1]", "[0, 8]"), "unknown dtype \"F64\"");
  EXPECT_SAYS(with("F32", "[3]", "[0, 8]"), "expects 12 bytes, the header gives it 8");
  EXPECT_SAYS(with("F32", "[1]", "[0, 8]"), "expects 4 bytes, the header gives it 8");
  EXPECT_SAYS(with("F32", "[2]", "[0, 9]"), "outside");
  EXPECT_SAYS(with("F32", "[2]", "[4, 12]"), "outside");
  EXPECT_SAYS(with("F32", "[2]", "[8, 0]"), "outside");
  EXPECT_SAYS(with("F32", "[2]", "[0]"), "outside");
  EXPECT_SAYS(with("F32", "[2]", "[0, 8, 16]"), "outside");
  EXPECT_SAYS(with("F32", "[2]", "[18446744073709551608, 0]"), "outside");
  EXPECT_SAYS(with("F32", "[2]", "[4611686018427387904, 4611686018427387912]"), "outside");
  EXPECT_SAYS(with("F32", "[2]", "[-8, 0]"), "whole numbers");
  EXPECT_SAYS(with("F32", "[2]", "[0, 8.0]"), "whole numbers");
  EXPECT_SAYS(with("F32", "[2]", "[0, 1e300]"), "whole numbers");
  EXPECT_SAYS(with("F32", "[2]", "[0, true]"), "whole numbers");
  EXPECT_SAYS(with("F32", "[2]", R"({"a": 0})"), "whole numbers");
  EXPECT_SAYS(with("F32", "[-2]", "[0, 8]"), "whole numbers");
  EXPECT_SAYS(with("F32", "2", "[0, 8]"), "whole numbers");
}

TEST_F(SafeTensorsFile, HugeShapes) {
  const auto with = [&](const std::string& shape) { return refusal(put("a", file(entry("F32", shape, "[0, 8]"), 8))); };
  EXPECT_SAYS(with("[4611686018427387904]"), "too large");
  EXPECT_SAYS(with("[4611686018427387904, 4]"), "too large");  // 2^64 elements: 0 in 64 bits
  EXPECT_SAYS(with("[4294967296, 4294967296]"), "too large");
  EXPECT_SAYS(with("[9223372036854775808]"), "negative");
  EXPECT_SAYS(with("[1000000000000]"), "expects 4000000000000 bytes");
}

TEST_F(SafeTensorsFile, TensorsMustNotShareBytes) {
  const auto two = [](const std::string& a, const std::string& b) {
    return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + a +
           R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + b + "}}";
  };
  EXPECT_SAYS(refusal(put("a", file(two("[0,4]", "[0,4]"), 8))), "overlap");
  EXPECT_SAYS(refusal(put("a", file(two("[4,8]", "[1,5]"), 8))), "overlap");
  EXPECT_EQ(read_safetensors(put("a", file(two("[4,8]", "[0,4]"), 8))).tensors.size(), 2u);
  // Many tensors that all want the same megabyte.
  std::string header = "{";
  for (int i = 0; i < 20000; ++i)
    header +=
        (i ? ",\"" : "\"") + std::to_string(i) + R"(":{"dtype":"U8","shape":[1000000],"data_offsets":[0,1000000]})";
  EXPECT_SAYS(refusal(put("a", file(header + "}", 1000000))), "overlap");
}

TEST_F(SafeTensorsFile, CutAnywhere) {
  SafeTensors content;
  content.metadata = {{"k", "v"}};
  content.tensors.emplace("a", Array::from(std::vector<float>{1, 2}, {2}));
  content.tensors.emplace("b", Array::from(std::vector<std::uint8_t>{1, 2, 3}, {3}));
  write_safetensors(folder_ / "whole", content);
  const std::string whole = get(folder_ / "whole");
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
    SCOPED_TRACE(bytes);
    refusal(put("cut", whole.substr(0, bytes)));
  }
}

TEST_F(SafeTensorsFile, AnyByteChanged) {
  SafeTensors content;
  content.metadata = {{"k", "v"}};
  content.tensors.emplace("a", Array::from(std::vector<float>{1, 2, 3, 4}, {2, 2}));
  write_safetensors(folder_ / "whole", content);
  const std::string whole = get(folder_ / "whole");
  for (std::size_t at = 0; at + 16 < whole.size(); ++at)
    for (const char value : {'\0', '9', '"', ']', '\xff', ' '}) {
      std::string bytes = whole;
      bytes[at] = value;
      try {
        read_safetensors(put("changed", bytes));  // what still has a meaning may be read
      } catch (const IoError&) {
      }
    }
}

TEST_F(SafeTensorsFile, ATensorCalledAsTheMetadata) {
  const fs::path path = folder_ / "a.safetensors";
  SafeTensors content;
  content.tensors.emplace("__metadata__", Array({1}, DType::kF32));
  EXPECT_THROW(write_safetensors(path, content), InvalidArgument);
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(SafeTensorsFile, WritingFailsWhole) {
  SafeTensors content;
  content.tensors.emplace("a", Array::from(std::vector<float>{1}, {1}));
  const fs::path nowhere = folder_ / "none" / "a";
  EXPECT_SAYS(io_error(nowhere, [&] { write_safetensors(nowhere, content); }), "cannot be written");
  EXPECT_SAYS(io_error(folder_, [&] { write_safetensors(folder_, content); }), "cannot be written");
  const fs::path under_file = put("file", "x") / "a";
  EXPECT_SAYS(io_error(under_file, [&] { write_safetensors(under_file, content); }), "cannot be written");
  EXPECT_EQ(names(), std::vector<std::string>{"file"});
}

// IEEE 754 binary16 as its definition says: sign, 5 bits of exponent biased by 15, 10 bits of fraction.
double half_value(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  double size = std::ldexp(exponent == 0 ? fraction : 1024 + fraction, std::max(exponent, 1) - 25);
  if (exponent == 31)
    size = fraction == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  return bits >> 15 ? -size : size;
}

Array halves(const std::vector<std::uint16_t>& bits) {
  Array array({static_cast<std::int64_t>(bits.size())}, DType::kF16);
  std::memcpy(array.memory(), bits.data(), array.bytes());
  return array;
}

std::vector<std::uint16_t> half_bits(const std::vector<float>& values) {
  const auto made =
      narrowed({{"t", Array::from(values, {static_cast<std::int64_t>(values.size())})}}, DType::kF16).at("t");
  EXPECT_EQ(made.dtype(), DType::kF16);
  const auto* first = static_cast<const std::uint16_t*>(made.memory());
  return {first, first + made.count()};
}

std::vector<std::uint16_t> all_halves() {
  std::vector<std::uint16_t> bits(1 << 16);
  for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<std::uint16_t>(i);
  return bits;
}

TEST(HalfTensors, EveryHalfIsReadExactly) {
  const auto bits = all_halves();
  const Array wide = widened({{"t", halves(bits)}}).at("t");
  ASSERT_EQ(wide.dtype(), DType::kF32);
  for (std::size_t i = 0; i < bits.size(); ++i) {
    const double expected = half_value(bits[i]);
    const float found = wide.values<float>()[i];
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(found)) << i;
    } else {
      EXPECT_EQ(found, expected) << i;
    }
    EXPECT_EQ(std::signbit(found), bits[i] >> 15 == 1) << i;
  }
}

TEST(HalfTensors, NumbersThatAreHalvesKeepTheirBits) {
  std::vector<std::uint16_t> finite;
  std::vector<float> values;
  for (const std::uint16_t bits : all_halves()) {
    if ((bits & 0x7fff) >= 0x7c00) continue;
    finite.push_back(bits);
    values.push_back(static_cast<float>(half_value(bits)));
  }
  EXPECT_EQ(half_bits(values), finite);
}

TEST(HalfTensors, OthersAreRoundedToTheNearestTiesToEven) {
  std::vector<float> values;
  std::vector<std::uint16_t> expected;
  const auto expect = [&](double value, std::uint16_t bits) {
    for (const bool negative : {false, true}) {
      values.push_back(static_cast<float>(negative ? -value : value));
      expected.push_back(static_cast<std::uint16_t>(bits | negative << 15));
    }
  };
  const float most = std::numeric_limits<float>::max();
  for (std::uint16_t bits = 0; bits < 0x7bff; ++bits) {
    const double low = half_value(bits), high = half_value(static_cast<std::uint16_t>(bits + 1));
    const auto middle = static_cast<float>((low + high) / 2);  // exact: a half has 11 bits, a float 24
    expect(middle, static_cast<std::uint16_t>(bits + (bits & 1)));
    expect(std::nextafter(middle, -most), bits);
    expect(std::nextafter(middle, most), static_cast<std::uint16_t>(bits + 1));
  }
  expect(1e-40, 0);
  EXPECT_EQ(half_bits(values), expected);
}

TEST(HalfTensors, WhatIsBeyondThemIsRefused) {
  EXPECT_EQ(half_bits({65504, -65504}), (std::vector<std::uint16_t>{0x7bff, 0xfbff}));
  for (const float value :
       {65505.0f, -1e6f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    try {
      half_bits({0, value});
      ADD_FAILURE() << value << " was taken";
    } catch (const InvalidArgument& error) {
      EXPECT_SAYS(std::string(error.what()), "[save] tensor \"t\"");
      EXPECT_SAYS(std::string(error.what()), "65504");
    }
  }
}

TEST(HalfTensors, OtherDtypesStay) {
  const std::map<std::string, Array> tensors{{"i", Array::from(std::vector<std::int32_t>{1, -2}, {2})},
                                             {"none", Array({0, 3}, DType::kF32)}};
  EXPECT_EQ(narrowed(tensors, DType::kF16).at("i").dtype(), DType::kI32);
  EXPECT_EQ(widened(tensors).at("i").data<std::int32_t>()[1], -2);
  EXPECT_EQ(narrowed(tensors, DType::kF16).at("none").shape(), (Shape{0, 3}));
  EXPECT_EQ(widened(tensors).at("none").dtype(), DType::kF32);
}

}  // namespace
}  // namespace voxshift
