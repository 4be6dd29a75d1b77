// The pickle machine: values, instructions of every protocol, placeholders, and pickles that lie.
#include <gtest/gtest.h>

#include <cmath>

#include "checkpoint_bytes.h"

namespace voxshift {
namespace {

using namespace assembled;
using Kind = Value::Kind;

class PickleTest : public FileTest {
 protected:
  Checkpoint read(const std::string& bytes) const { return Checkpoint::read(put("a.pkl", bytes)); }
  std::string error(const std::string& bytes) const {
    const fs::path path = put("bad.pkl", bytes);
    return io_error(path, [&] { Checkpoint::read(path); });
  }
};

TEST_F(PickleTest, NumbersStringsAndContainers) {
  const Checkpoint checkpoint =
      read(pickle("(NK\xFFM\xFF\xFFJ\xFE\xFF\xFF\xFF\x88\x89" + whole(-(std::int64_t{1} << 62)) + "G\x3F\xF8" +
                  std::string(6, '\0') + text("\xC3\xBC") + std::string("\x8a\0", 2) + "\x8a\x01\x80t"));
  EXPECT_STREQ(checkpoint.format(), "pickle");
  const std::vector<Value>& items = checkpoint.root().as_list();
  ASSERT_EQ(items.size(), 11U);
  EXPECT_EQ(checkpoint.root().kind(), Kind::kTuple);
  EXPECT_TRUE(items[0].is_none());
  EXPECT_EQ(items[1].as_int(), 255);
  EXPECT_EQ(items[2].as_int(), 65535);
  EXPECT_EQ(items[3].as_int(), -2);
  EXPECT_TRUE(items[4].as_bool());
  EXPECT_FALSE(items[5].as_bool());
  EXPECT_EQ(items[6].as_int(), -(std::int64_t{1} << 62));
  EXPECT_EQ(items[7].as_double(), 1.5);
  EXPECT_EQ(items[8].as_string(), "\xC3\xBC");
  EXPECT_EQ(items[9].as_int(), 0);
  EXPECT_EQ(items[10].as_int(), -128);
  EXPECT_EQ(items[1].as_double(), 255.0);
}

TEST_F(PickleTest, WholeNumbersBeyond64BitsAreNamed) {
  const Checkpoint checkpoint =
      read(pickle("(\x8a\x09" + std::string(8, '\0') + "\x01\x8a\x09" + std::string(8, '\0') + "\xFEt"));
  const std::vector<Value>& items = checkpoint.root().as_list();
  EXPECT_EQ(items[0].as_opaque().name, "int");
  EXPECT_EQ(items[0].as_opaque().state.as_string(), "0x010000000000000000");
  EXPECT_EQ(items[1].as_opaque().state.as_string(), "-0x020000000000000000");
}

TEST_F(PickleTest, ProtocolZeroIsText) {
  const Checkpoint checkpoint =
      read("(lp0\nI12\naI01\naL-7L\naF0.25\naS'a\\x41\\n\\'b'\np5\naVx\\u00fc\\u4e2d\nag5\naNa(dp1\nS'k'\nI3\nsa.");
  const std::vector<Value>& items = checkpoint.root().as_list();
  ASSERT_EQ(items.size(), 9U);
  EXPECT_EQ(items[0].as_int(), 12);
  EXPECT_TRUE(items[1].as_bool());
  EXPECT_EQ(items[2].as_int(), -7);
  EXPECT_EQ(items[3].as_double(), 0.25);
  EXPECT_EQ(items[4].as_string(), "aA\n'b");
  EXPECT_EQ(items[5].as_string(), "x\xC3\xBC\xE4\xB8\xAD");
  EXPECT_EQ(items[6].identity(), items[4].identity());
  EXPECT_TRUE(items[7].is_none());
  EXPECT_EQ(items[8].find("k")->as_int(), 3);
}

TEST_F(PickleTest, LaterProtocolsHaveFramesSetsAndBytes) {
  const Checkpoint checkpoint =
      read("\x80\x05\x95" + little(99, 8) + "]\x94(\x8c\x02hi\x94\x8d" + little(1, 8) + "xC\x02\x01\xFF" + "B" +
           little(1, 4) + "b\x8e" + little(1, 8) + "c\x96" + little(1, 8) + "d\x8f(K\1K\2\x90(K\3\x91h\1e.");
  const std::vector<Value>& items = checkpoint.root().as_list();
  ASSERT_EQ(items.size(), 9U);
  EXPECT_EQ(items[0].as_string(), "hi");
  EXPECT_EQ(items[1].as_string(), "x");
  EXPECT_EQ(items[2].as_bytes(), "\x01\xFF");
  EXPECT_EQ(items[3].as_bytes() + items[4].as_bytes() + items[5].as_bytes(), "bcd");
  EXPECT_EQ(items[6].kind(), Kind::kSet);
  EXPECT_EQ(items[6].as_list().size(), 2U);
  EXPECT_EQ(items[7].kind(), Kind::kSet);
  EXPECT_EQ(items[8].identity(), items[0].identity());
}

TEST_F(PickleTest, DictsKeepTheirOrderAndAttributes) {
  const std::string versions = "}" + text("_metadata") + "}" + text("bn") + "}" + text("version") + "K\2sss";
  const Checkpoint checkpoint = read(pickle(global("collections", "OrderedDict") + ")R(" + text("z") + "K\1" +
                                            text("a") + "K\2K\5Nu" + versions + "b"));
  const Dict& dict = checkpoint.root().as_dict();
  ASSERT_EQ(dict.items.size(), 3U);
  EXPECT_EQ(dict.items[0].first.as_string(), "z");
  EXPECT_EQ(dict.items[1].second.as_int(), 2);
  EXPECT_EQ(dict.items[2].first.as_int(), 5);
  EXPECT_EQ(dict.attributes.find("_metadata")->find("bn")->find("version")->as_int(), 2);
  EXPECT_EQ(checkpoint.root().find("missing"), nullptr);
}

TEST_F(PickleTest, KnownClassesBecomeContainers) {
  const std::string pair = tuple(text("k") + "K\7");
  const Checkpoint checkpoint =
      read(pickle("(" + global("collections", "OrderedDict") + tuple("(" + pair + "l") + "R" +
                  global("collections", "defaultdict") + tuple(global("__builtin__", "list")) + "R" + text("d") +
                  "K\1s" + global("collections", "Counter") + tuple("}K\3K\4s") + "R" + global("torch", "Size") +
                  tuple(wholes({2, 3})) + "R" + global("__builtin__", "set") + tuple("(K\1l") + "R" +
                  global("argparse", "Namespace") + ")\x81}" + text("width") + "K\x09sb" + global("_codecs", "encode") +
                  tuple(text("\xC3\xBF"
                             "a") +
                        text("latin1")) +
                  "Rt"));
  const std::vector<Value>& items = checkpoint.root().as_list();
  EXPECT_EQ(items[0].find("k")->as_int(), 7);
  EXPECT_EQ(items[1].find("d")->as_int(), 1);
  EXPECT_EQ(items[2].as_dict().items[0].second.as_int(), 4);
  EXPECT_EQ(items[3].as_list()[1].as_int(), 3);
  EXPECT_EQ(items[4].kind(), Kind::kSet);
  EXPECT_EQ(items[5].find("width")->as_int(), 9);
  EXPECT_EQ(items[6].as_bytes(),
            "\xFF"
            "a");
}

TEST_F(PickleTest, OtherClassesArePlaceholders) {
  const Checkpoint checkpoint = read(pickle("(" + global("mmengine", "HistoryBuffer") + ")\x81}" + text("n") + "K\4sb" +
                                            global("os", "system") + tuple(text("touch x")) + "R" + global("a", "B") +
                                            global("box", "Box") + ")R" + text("k") + "K\1sK\5at"));
  const std::vector<Value>& items = checkpoint.root().as_list();
  const Opaque& buffer = items[0].as_opaque();
  EXPECT_EQ(buffer.name, "mmengine.HistoryBuffer");
  EXPECT_TRUE(buffer.is_object);
  EXPECT_EQ(buffer.state.find("n")->as_int(), 4);
  EXPECT_EQ(items[1].as_opaque().name, "os.system");
  EXPECT_EQ(items[1].as_opaque().arguments.as_list()[0].as_string(), "touch x");
  EXPECT_FALSE(items[2].as_opaque().is_object);
  EXPECT_EQ(items[3].as_opaque().entries.find("k")->as_int(), 1);
  EXPECT_EQ(items[3].as_opaque().items[0].as_int(), 5);
}

TEST_F(PickleTest, NumpyArraysAndNumbers) {
  const auto dtype = [](const std::string& word) {
    return global("numpy", "dtype") + tuple(text(word) + whole(0) + "K\1") + "R" +
           tuple("K\3" + text("<") + "NNNJ\xFF\xFF\xFF\xFFJ\xFF\xFF\xFF\xFF" + whole(0)) + "b";
  };
  const auto array = [&](const std::string& order, const std::string& content) {
    return global("numpy.core.multiarray", "_reconstruct") + tuple(global("numpy", "ndarray") + wholes({0}) + "C\1b") +
           "Rq\1" + tuple("K\1" + wholes({2, 3}) + dtype("i2") + order + "C" + little(content.size(), 1) + content) +
           "bh\1";
  };
  const std::string numbers = bytes_of<std::int16_t>({1, 2, 3, 4, 5, -6});
  const Checkpoint checkpoint =
      read(pickle("(" + array("\x89", numbers) + array("\x88", numbers) + global("numpy.core.multiarray", "scalar") +
                  tuple(dtype("f4") + "C\4" + bytes_of<float>({0.5F})) + "Rt"));
  const std::vector<Value>& items = checkpoint.root().as_list();
  EXPECT_EQ(items[0].identity(), items[1].identity());
  const auto floats = [&](const Value& value) {
    const Array array_of_floats = checkpoint.f32(value.as_tensor());
    return std::vector<float>(array_of_floats.values<float>().begin(), array_of_floats.values<float>().end());
  };
  EXPECT_EQ(items[0].as_tensor().shape, (Shape{2, 3}));
  EXPECT_EQ(floats(items[0]), (std::vector<float>{1, 2, 3, 4, 5, -6}));
  EXPECT_EQ(floats(items[2]), (std::vector<float>{1, 3, 5, 2, 4, -6}));  // columns first
  EXPECT_EQ(items[4].as_double(), 0.5);
}

TEST_F(PickleTest, AnObjectOfAClassMayHoldItself) {
  const Checkpoint checkpoint = read(pickle("(" + global("a", "B") + ")\x81q\1}" + text("me") + "h\1sbt"));
  const Opaque& object = checkpoint.root().as_list()[0].as_opaque();
  EXPECT_EQ(object.state.find("me")->as_opaque().name, "a.B");
  EXPECT_TRUE(object.state.find("me")->as_opaque().state.is_none());
}

TEST_F(PickleTest, ErrorsSayWhatIsWrong) {
  EXPECT_SAYS(error(""), "is empty");
  EXPECT_SAYS(error("no pickle"), "is no checkpoint");
  EXPECT_SAYS(error("\x80\x02}"), "is cut");
  EXPECT_SAYS(error(pickle("\xFF")), "byte 2 is no instruction");
  EXPECT_SAYS(error(pickle("")), "lacks its object");
  EXPECT_SAYS(error(pickle("t")), "lacks its mark");
  EXPECT_SAYS(error(pickle("(h\1t")), "refers to object 1");
  EXPECT_SAYS(error(pickle("]q\1h\1a")), "a list holds itself");
  EXPECT_SAYS(error(pickle("}q\1K\1h\1s")), "a dict holds itself");
  EXPECT_SAYS(error(pickle("}]K\1s")), "a list is the key");
  EXPECT_SAYS(error(pickle("}(]tK\1s")), "a tuple is the key");
  EXPECT_SAYS(error(pickle("}K\1K\1sK\1K\2s")), "twice");
  EXPECT_SAYS(error(pickle("K\1K\2a")), "appends to a whole number");
  EXPECT_SAYS(error(pickle("(K\1)Rt")), "calls a whole number");
  EXPECT_SAYS(error(pickle("(K\1}bt")), "sets the state of a whole number");
  EXPECT_SAYS(error(pickle("((tQt")), "a storage without type");
  EXPECT_SAYS(error(pickle(tuple(storage("FloatStorage", "0", 1)))), "refers to storages without any");
  EXPECT_SAYS(error(pickle(global("os", "system"))), "is the name os.system");
  EXPECT_SAYS(error(pickle(global("os", "system") + tuple(text("touch x")) + "R")),
              "is a call of os.system, which is not made");
  for (const std::string number : {"0,25", "", "1.5x", " 1", "1e999"})
    EXPECT_SAYS(error("\x80\2F" + number + "\n."), "a number is written as \"" + number + "\"") << number;
  EXPECT_SAYS(error(pickle(global(std::string(600, 'a'), "b"))), "601 characters");
}

TEST_F(PickleTest, MemoryIsBoundedByTheFile) {
  EXPECT_SAYS(error("\x80\x04\x8d" + little(std::uint64_t{10} << 30, 8) + "abc"), "is cut");
  EXPECT_SAYS(error("\x80\x02X\xFF\xFF\xFF\x7F"
                    "abc"),
              "is cut");
  EXPECT_SAYS(error(pickle(std::string(100'000, ']') + std::string(99'999, 'a'))), "nests objects");
  EXPECT_SAYS(error(pickle(std::string(100'000, '(') + std::string(100'000, 't'))), "nests objects");
  std::string doubled = "]K\1aq" + little(0, 1);
  for (int i = 1; i < 100; ++i) doubled += "](h" + little(i - 1, 1) + "h" + little(i - 1, 1) + "eq" + little(i, 1);
  EXPECT_SAYS(error(pickle(doubled)), "refers to its objects more than");
  // Deep only along a path that the first visit does not take.
  std::string chain = "]q" + little(0, 1);
  for (int i = 1; i < 80; ++i) chain += "]h" + little(i - 1, 1) + "aq" + little(i, 1);
  EXPECT_SAYS(error(pickle("(" + chain + std::string(40, '(') + "h" + little(79, 1) + std::string(40, 't') + "t")),
              "nests objects");
  std::string encoded = text(std::string(1000, 'x')) + "q\1(" + global("_codecs", "encode") + "q\2";
  for (int i = 0; i < 1000; ++i) encoded += "h\2h\1\x85R";
  EXPECT_SAYS(error(pickle(encoded + "t")), "encodes the same text");
}

}  // namespace
}  // namespace voxshift
