// JSON that nests so deep that what copies, prints or frees it would run out of stack: every reader of JSON refuses it.
#include <voxshift/graph/graph.h>
#include <voxshift/graph/json_text.h>
#include <voxshift/graph/safetensors.h>
#include <voxshift/networks/spvnas.h>
#include <voxshift/tasks/model.h>
#include <voxshift/tasks/profile.h>

#include "device_fixture.h"
#include "file_test.h"
#include "network_cases.h"

namespace voxshift {
namespace {

using NestedJson = FileTest;

std::string nested(int depth) {
  return std::string(static_cast<std::size_t>(depth), '[') + std::string(static_cast<std::size_t>(depth), ']');
}

const std::string kNested = nested(100'000);

std::string safetensors(const std::string& header) {
  return bytes_of(std::vector<std::uint64_t>{header.size()}) + header;
}

TEST_F(NestedJson, IsBounded) {
  EXPECT_FALSE(parse_json(nested(32)).value.is_discarded());
  EXPECT_TRUE(parse_json(nested(40)).value.is_discarded());
  EXPECT_TRUE(parse_json(kNested).value.is_discarded());
  EXPECT_TRUE(parse_json("{\"a\": " + kNested).value.is_discarded());
  EXPECT_TRUE(parse_json("").value.is_discarded());
  EXPECT_EQ(parse_json("{\"a\": [1]}").value["a"][0], 1);
}

TEST_F(NestedJson, InFiles) {
  for (const char* key : {"num_classes", "vres", "output_channels"}) {
    const fs::path config = put("net.config", "{\"num_classes\": 19, \"" + std::string(key) + "\": " + kNested + "}");
    EXPECT_SAYS(io_error(config, [&] { read_spvnas_config(config); }), "expected a JSON object");
  }
  for (const char* key : {"frames", "scale", "range", "name"}) {
    const fs::path profile = put("profile.json", "{\"" + std::string(key) + "\": {\"height\": " + kNested + "}}");
    EXPECT_SAYS(io_error(profile, [&] { find_profile(profile.string()); }), "is not JSON");
  }
  const fs::path header = put("a.safetensors", safetensors("{\"x\": {\"shape\": " + kNested + "}}"));
  EXPECT_SAYS(io_error(header, [&] { read_safetensors(header); }), "not a JSON object");
}

TEST_F(NestedJson, InAModel) {
  const fs::path path = folder_ / "m.safetensors";
  NetworkWriter network(4);
  network.model(network.conv(kGraphInput, 3)).save(path);
  const SafeTensors whole = read_safetensors(path);
  for (const char* key : {"voxshift.graph", "voxshift.profile", "voxshift.classes"}) {
    SafeTensors content = whole;
    std::string& text = content.metadata.at(key);
    text.insert(text.find(':') + 1, kNested + ", \"b\": ");
    write_safetensors(path, content);
    EXPECT_SAYS(io_error(path, [&] { Model::load(path); }), "is not JSON");
  }
  expect_throw([] { graph_from_text("{\"nodes\": [{\"kernel_size\": " + kNested + "}]}"); }, {"not JSON"});
}

TEST_F(NestedJson, MessagesQuoteLittle) {
  const fs::path config = put("net.config", "{\"num_classes\": \"" + std::string(100'000, 'x') + "\"}");
  EXPECT_LT(io_error(config, [&] { read_spvnas_config(config); }).size(), 200U);
  const fs::path profile =
      put("profile.json", "{\"name\": \"a\", \"frames\": {\"height\": \"\xFF" + std::string(9999, 'x') + "\"}}");
  EXPECT_LT(io_error(profile, [&] { find_profile(profile.string()); }).size(), 200U);
}

}  // namespace
}  // namespace voxshift
