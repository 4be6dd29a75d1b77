// .safetensors: a dict of tensors.
#include <voxshift/checkpoints/plain_file.h>
#include <voxshift/graph/safetensors.h>

#include <algorithm>
#include <iterator>

namespace voxshift {
namespace {

constexpr std::pair<std::string_view, ScalarType> kWordTypes[] = {
    {"F64", ScalarType::kF64},  {"F32", ScalarType::kF32}, {"F16", ScalarType::kF16}, {"BF16", ScalarType::kBF16},
    {"I64", ScalarType::kI64},  {"I32", ScalarType::kI32}, {"I16", ScalarType::kI16}, {"I8", ScalarType::kI8},
    {"U64", ScalarType::kU64},  {"U32", ScalarType::kU32}, {"U16", ScalarType::kU16}, {"U8", ScalarType::kU8},
    {"BOOL", ScalarType::kBool}};

// Tensors of other types, such as 8-bit floats, are placeholders.
Value tensor_of(CheckpointContent& content, const SafeTensorsEntry& entry) {
  const auto word =
      std::ranges::find(kWordTypes, std::string_view(entry.dtype), &std::pair<std::string_view, ScalarType>::first);
  if (word == std::end(kWordTypes)) return content.arena.opaque({content.arena.string(entry.dtype).as_string(), true});
  content.storages.push_back({entry.bytes, nullptr, entry.position});
  return content.arena.tensor(dense_view(content, word->second, entry.shape, content.storages.size() - 1));
}

}  // namespace

void read_tensor_file(CheckpointContent& content) {
  content.format = "safetensors";
  const SafeTensorsHeader header = read_safetensors_header(content.path);
  Dict tensors, metadata;
  for (const auto& [key, text] : header.metadata)
    metadata.items.emplace_back(content.arena.string(key), content.arena.string(text));
  if (!metadata.items.empty()) {
    Dict attributes;
    attributes.items.emplace_back(content.arena.string("_metadata"), content.arena.dict(std::move(metadata)));
    tensors.attributes = content.arena.dict(std::move(attributes));
  }
  for (const SafeTensorsEntry& entry : header.entries)
    tensors.items.emplace_back(content.arena.string(entry.tensor), tensor_of(content, entry));
  content.root = content.arena.dict(std::move(tensors));
  content.file = std::make_unique<PlainFile>(content.path);
}

}  // namespace voxshift
