// Tensors of zip archives, of PyTorch before 1.6 and of safetensors: types, views, and sizes that lie.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "checkpoint_bytes.h"

namespace voxshift {
namespace {

using namespace assembled;

std::vector<float> floats(const Checkpoint& checkpoint, const Value& value) {
  const Array array = checkpoint.f32(value.as_tensor());
  EXPECT_EQ(array.shape(), value.as_tensor().shape);
  return {array.values<float>().begin(), array.values<float>().end()};
}

std::vector<ZipEntry> archive(const std::string& object, const std::vector<std::string>& storages) {
  std::vector<ZipEntry> entries{{"net/data.pkl", pickle(object)}, {"net/byteorder", "little"}, {"net/version", "3\n"}};
  for (std::size_t i = 0; i < storages.size(); ++i) entries.push_back({"net/data/" + std::to_string(i), storages[i]});
  return entries;
}

class CheckpointTest : public FileTest {
 protected:
  Checkpoint read(const std::string& bytes) const { return Checkpoint::read(put("a.pth", bytes)); }
  std::string error(const std::string& bytes) const {
    const fs::path path = put("bad.pth", bytes);
    return io_error(path, [&] { Checkpoint::read(path); });
  }
};

TEST_F(CheckpointTest, EveryTypeOfBothForms) {
  struct Case {
    const char* name;
    ScalarType type;
    std::string content;
    std::vector<float> expected;
  };
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<Case> cases{
      {"DoubleStorage", ScalarType::kF64, bytes_of<double>({0.1, -1e300}), {0.1F, -kInfinity}},
      {"FloatStorage", ScalarType::kF32, bytes_of<float>({0.1F, -3}), {0.1F, -3}},
      {"HalfStorage", ScalarType::kF16, bytes_of<std::uint16_t>({0x3C01, 0x8001}), {1 + 0x1p-10F, -0x1p-24F}},
      {"BFloat16Storage", ScalarType::kBF16, bytes_of<std::uint16_t>({0x3F81, 0xFF80}), {1 + 0x1p-7F, -kInfinity}},
      {"LongStorage", ScalarType::kI64, bytes_of<std::int64_t>({-5, std::int64_t{1} << 60}), {-5, 0x1p60F}},
      {"IntStorage", ScalarType::kI32, bytes_of<std::int32_t>({-5, 16777217}), {-5, 16777216}},
      {"ShortStorage", ScalarType::kI16, bytes_of<std::int16_t>({-5, 300}), {-5, 300}},
      {"CharStorage", ScalarType::kI8, bytes_of<std::int8_t>({-5, 127}), {-5, 127}},
      {"ByteStorage", ScalarType::kU8, bytes_of<std::uint8_t>({0, 255}), {0, 255}},
      {"BoolStorage", ScalarType::kBool, bytes_of<std::uint8_t>({0, 1}), {0, 1}}};
  for (const Case& one : cases) {
    const std::string object = tuple(tensor(storage(one.name, "0", 2), 0, {2}, {1}));
    for (const std::string& file :
         {zip_file(archive(object, {one.content})), legacy_file(object, {{"0", 2, one.content}})}) {
      const Checkpoint checkpoint = read(file);
      const Value& value = checkpoint.root().as_list()[0];
      EXPECT_EQ(value.as_tensor().type, one.type) << one.name;
      EXPECT_EQ(floats(checkpoint, value), one.expected) << one.name;
      const std::vector<std::byte> bytes = checkpoint.bytes(value.as_tensor());
      EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), one.content) << one.name;
    }
  }
}

TEST_F(CheckpointTest, ViewsOfOneStorage) {
  const std::string shared = storage("FloatStorage", "0", 12);
  const std::string object =
      tuple(tensor(shared, 0, {3, 4}, {4, 1}) + tensor(shared, 0, {4, 3}, {1, 4}) + tensor(shared, 5, {2, 2}, {4, 2}) +
            tensor(shared, 11, {}, {}) + tensor(shared, 2, {2, 3}, {0, 1}) + tensor(shared, 12, {0, 3}, {3, 1}) +
            tensor(shared, 1, {1, 2, 1}, {77, 3, 99}));
  std::vector<float> numbers(12);
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(i);
  const std::string content = bytes_of(numbers);
  for (const std::string& file : {zip_file(archive(object, {content})), legacy_file(object, {{"0", 12, content}})}) {
    const Checkpoint checkpoint = read(file);
    const std::vector<Value>& views = checkpoint.root().as_list();
    EXPECT_EQ(checkpoint.storages(), 1U);
    EXPECT_EQ(checkpoint.storage_bytes(0), 48U);
    EXPECT_EQ(floats(checkpoint, views[0]), numbers);
    EXPECT_EQ(floats(checkpoint, views[1]), (std::vector<float>{0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}));
    EXPECT_EQ(floats(checkpoint, views[2]), (std::vector<float>{5, 7, 9, 11}));
    EXPECT_EQ(floats(checkpoint, views[3]), (std::vector<float>{11}));
    EXPECT_EQ(floats(checkpoint, views[4]), (std::vector<float>{2, 3, 4, 2, 3, 4}));
    EXPECT_EQ(floats(checkpoint, views[5]), std::vector<float>());
    EXPECT_EQ(floats(checkpoint, views[6]), (std::vector<float>{1, 4}));
  }
}

TEST_F(CheckpointTest, LargeHalvesAreReadPartByPart) {
  std::vector<std::uint16_t> halves(1'500'000);
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<std::uint16_t>(i % 1024);
  const auto count = static_cast<std::int64_t>(halves.size());
  const Checkpoint checkpoint = read(
      zip_file(archive(tuple(tensor(storage("HalfStorage", "0", count), 3, {count - 3}, {1})), {bytes_of(halves)})));
  const std::vector<float> read_back = floats(checkpoint, checkpoint.root().as_list()[0]);
  for (std::size_t i = 0; i < read_back.size(); ++i)
    ASSERT_EQ(read_back[i], static_cast<float>((i + 3) % 1024) * 0x1p-24F) << i;
}

TEST_F(CheckpointTest, LegacyStoragesMayBePartsOfOthers) {
  const std::string part = storage("FloatStorage", "7", 6, tuple(text("8") + whole(2) + whole(3)));
  const std::string object = tuple(tensor(part, 1, {2}, {1}));
  const Checkpoint checkpoint = read(legacy_file(object, {{"7", 6, bytes_of<float>({0, 1, 2, 3, 4, 5})}}));
  EXPECT_STREQ(checkpoint.format(), "legacy");
  EXPECT_EQ(floats(checkpoint, checkpoint.root().as_list()[0]), (std::vector<float>{3, 4}));
}

TEST_F(CheckpointTest, UntypedStoragesAndParameters) {
  const std::string third = global("torch._utils", "_rebuild_tensor_v3") +
                            tuple(storage("UntypedStorage", "0", 8) + whole(1) + wholes({3}) + wholes({1}) + "\x89" +
                                  global("collections", "OrderedDict") + ")R" + global("torch", "bfloat16")) +
                            "R";
  const std::string parameter = global("torch._utils", "_rebuild_parameter") +
                                tuple(tensor(storage("HalfStorage", "0", 4), 0, {4}, {1}) + "\x88" +
                                      global("collections", "OrderedDict") + ")R") +
                                "R";
  const std::string subclass =
      global("torch._tensor", "_rebuild_from_type_v2") +
      tuple(global("torch._utils", "_rebuild_tensor_v2") + global("torch", "Tensor") +
            tuple(storage("HalfStorage", "0", 4) + whole(0) + wholes({1}) + wholes({1})) + "}") +
      "R";
  const std::string first = tensor(storage("HalfStorage", "0", 4), 0, {1}, {1});
  const std::string old_parameter =
      global("torch.nn.parameter", "Parameter") + tuple(first) + "\x81" + tuple("\x88\x89") + "b";
  const std::string variable =
      global("torch.autograd.variable", "Variable") + tuple(first) + "R" + tuple("\x88\x89") + "b";
  const Checkpoint checkpoint = read(zip_file(archive(tuple(third + parameter + subclass + old_parameter + variable),
                                                      {bytes_of<std::uint16_t>({0, 0x3F80, 0x4000, 0x4040})})));
  EXPECT_EQ(floats(checkpoint, checkpoint.root().as_list()[0]), (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(floats(checkpoint, checkpoint.root().as_list()[1])[2], 2.0F);
  for (std::size_t i = 2; i < 5; ++i)
    EXPECT_EQ(floats(checkpoint, checkpoint.root().as_list()[i]), std::vector<float>{0}) << i;
}

TEST_F(CheckpointTest, TensorsOfUnknownTypesArePlaceholders) {
  const std::string object = tuple(tensor(storage("ComplexFloatStorage", "0", 1), 0, {1}, {1}) +
                                   tensor(storage("FloatStorage", "1", 1), 0, {1}, {1}));
  const Checkpoint checkpoint = read(zip_file(archive(object, {std::string(8, '\0'), bytes_of<float>({2})})));
  EXPECT_EQ(checkpoint.root().as_list()[0].as_opaque().name, "torch._utils._rebuild_tensor_v2");
  EXPECT_EQ(floats(checkpoint, checkpoint.root().as_list()[1]), (std::vector<float>{2}));
}

TEST_F(CheckpointTest, TensorsLieInTheirStorage) {
  const auto of = [](std::int64_t offset, const std::vector<std::int64_t>& shape,
                     const std::vector<std::int64_t>& stride) {
    return zip_file(
        archive(tuple(tensor(storage("FloatStorage", "0", 4), offset, shape, stride)), {std::string(16, '\0')}));
  };
  constexpr std::int64_t kHuge = std::int64_t{1} << 62;
  read(of(0, {2, 2}, {2, 1}));
  EXPECT_SAYS(error(of(0, {5}, {1})), "of a storage of 4");
  EXPECT_SAYS(error(of(1, {2, 2}, {2, 1})), "of a storage of 4");
  EXPECT_SAYS(error(of(-1, {1}, {1})), "from element -1");
  EXPECT_SAYS(error(of(0, {-1}, {1})), "of shape [-1]");
  EXPECT_SAYS(error(of(3, {2}, {-1})), "with strides [-1]");
  EXPECT_SAYS(error(of(0, {2}, {1, 1})), "with strides [1, 1]");
  EXPECT_SAYS(error(of(0, {3}, {kHuge})), "of a storage of 4");
  EXPECT_SAYS(error(of(kHuge, {kHuge}, {1})), "of a storage of 4");
  EXPECT_SAYS(error(of(0, {kHuge, kHuge}, {0, 0})), "of a storage of 4");
  EXPECT_SAYS(error(of(5, {0}, {1})), "from element 5");
}

TEST_F(CheckpointTest, AViewThatRepeatsItsElementsIsNotCopied) {
  const Checkpoint checkpoint = read(zip_file(
      archive(tuple(tensor(storage("FloatStorage", "0", 1), 0, {1 << 20, 1 << 20}, {0, 0})), {std::string(4, '\0')})));
  const StoredTensor& wide = checkpoint.root().as_list()[0].as_tensor();
  EXPECT_SAYS(io_error(checkpoint.path(), [&] { checkpoint.f32(wide); }), "repeats the 4 bytes");
  EXPECT_SAYS(io_error(checkpoint.path(), [&] { checkpoint.bytes(wide); }), "repeats the 4 bytes");
}

TEST_F(CheckpointTest, ArchivesThatLie) {
  const std::string object = tuple(tensor(storage("FloatStorage", "0", 4), 0, {4}, {1}));
  EXPECT_SAYS(error(zip_file(archive(object, {std::string(12, '\0')}))), "claims 4 elements f32, its entry has 12");
  EXPECT_SAYS(error(zip_file(archive(object, {}))), "net/data/0 is not in the archive");
  std::vector<ZipEntry> claims = archive(object, {std::string(16, '\0')});
  claims.back().claimed = 0xFFFFFFF0;
  EXPECT_SAYS(error(zip_file(claims)), "claims 4294967280 bytes");
  EXPECT_SAYS(error(zip_file(archive(object, {std::string(16, '\0')})).substr(0, 200)), "cut or damaged");
  EXPECT_SAYS(error(zip_file({{"net/data.pkl", pickle(object)}, {"net/byteorder", "big"}})), "byte order \"big\"");
  EXPECT_SAYS(error(zip_file({{"net/other", ""}})), "without data.pkl");
  EXPECT_SAYS(error(zip_file({{"net/data.pkl", pickle("}")}, {"net/code/x.py", ""}})), "libtorch archive");
  EXPECT_SAYS(error(zip_file({{"net/data.pkl", pickle("}")}, {"net/constants.pkl", ""}})), "libtorch archive");
}

TEST_F(CheckpointTest, LegacyFilesThatLie) {
  const std::string object = tuple(tensor(storage("FloatStorage", "0", 4), 0, {4}, {1}));
  const std::string content(16, '\0');
  EXPECT_SAYS(error(legacy_file(object, {{"0", 3, content}})), "has 3 elements, its tensors expect 4");
  EXPECT_SAYS(error(legacy_file(object, {{"0", 4, content.substr(1)}})), "claims 16 bytes, 15 are left");
  EXPECT_SAYS(error(legacy_file(object, {})), "storage 0 is not there");
  EXPECT_SAYS(error(legacy_file(object, {{"0", 4, content}, {"0", 4, content}})), "there twice");
  EXPECT_SAYS(error(legacy_file(object, {{"1", 4, content}})), "belongs to no tensor");
  EXPECT_SAYS(error(legacy_file(object, {{"0", 4, content}}, "}" + text("little_endian") + "\x89s")), "big-endian");
  EXPECT_SAYS(error(legacy_file(tuple(tensor(storage("FloatStorage", "0", std::int64_t{1} << 61), 0, {4}, {1})), {})),
              "claims 2305843009213693952");
}

TEST_F(CheckpointTest, FilesThatShrinkAreNoticed) {
  const Checkpoint checkpoint =
      read(legacy_file(tuple(tensor(storage("FloatStorage", "0", 4), 0, {4}, {1})), {{"0", 4, std::string(16, '\0')}}));
  fs::resize_file(checkpoint.path(), fs::file_size(checkpoint.path()) - 1);
  EXPECT_SAYS(io_error(checkpoint.path(), [&] { checkpoint.f32(checkpoint.root().as_list()[0].as_tensor()); }),
              "is cut");
}

TEST_F(CheckpointTest, SafetensorsOfAnyType) {
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F64","shape":[2,1],"data_offsets":[2,18]},)"
      R"("a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]},"c":{"dtype":"BOOL","shape":[],"data_offsets":[18,19]}})";
  const std::string file = little(header.size(), 8) + header + "xx" + bytes_of<double>({1.5, -2}) + "\1";
  const Checkpoint checkpoint = read(file);
  EXPECT_STREQ(checkpoint.format(), "safetensors");
  EXPECT_EQ(floats(checkpoint, *checkpoint.root().find("b")), (std::vector<float>{1.5, -2}));
  EXPECT_EQ(floats(checkpoint, *checkpoint.root().find("c")), (std::vector<float>{1}));
  EXPECT_EQ(checkpoint.root().find("a")->as_opaque().name, "F8_E4M3");
  EXPECT_EQ(checkpoint.root().as_dict().attributes.find("_metadata")->find("format")->as_string(), "pt");
  EXPECT_SAYS(error(file.substr(0, file.size() - 1)), "lies outside the file");
}

TEST_F(CheckpointTest, OtherFilesAreNamed) {
  EXPECT_SAYS(error("\x1F\x8B\x08" + std::string(20, '\0')), "compressed by gzip");
  EXPECT_SAYS(error("\x89HDF\r\n"), "HDF5");
  EXPECT_SAYS(error(std::string(257, '\0') + "ustar  " + std::string(300, '\0')), "tar archive");
  EXPECT_SAYS(io_error(folder_ / "none.pth", [&] { Checkpoint::read(folder_ / "none.pth"); }), "");
}

TEST_F(CheckpointTest, ValuesRefuseOtherKinds) {
  const Checkpoint checkpoint = read(pickle("(K\1t"));
  const Value& number = checkpoint.root().as_list()[0];
  EXPECT_THROW(number.as_string(), InvalidArgument);
  EXPECT_THROW(number.as_list(), InvalidArgument);
  EXPECT_THROW(number.as_tensor(), InvalidArgument);
  EXPECT_EQ(number.find("key"), nullptr);
}

}  // namespace
}  // namespace voxshift
