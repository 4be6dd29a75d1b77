#include <voxshift/onnx/call.h>

#include <algorithm>

namespace voxshift::onnx {
namespace {

constexpr std::string_view kWeight = ".weight";

}  // namespace

void Reading::note(const std::string& text) {
  if (std::ranges::find(notes, text) == notes.end()) notes.push_back(text);
}

std::string Call::where() const {
  std::string text = "node \"";
  text += node.name().empty() && node.output_size() > 0 ? node.output(0) : node.name();
  return text + "\" (" + node.op_type() + ") ";
}

std::string Call::name() const {
  if (given(1) && input_name(1).ends_with(kWeight) && input_name(1).size() > kWeight.size() && input(1).constant)
    return input_name(1).substr(0, input_name(1).size() - kWeight.size());
  return node.output_size() > 0 ? node.output(0) : node.name();
}

const Value& Call::input(std::size_t i) const {
  expect(given(i), "lacks its input ", i);
  const auto found = reading.values.find(input_name(i));
  expect(found != reading.values.end(), "takes \"", input_name(i), "\", which no node, input or initializer gives");
  return found->second;
}

const Constant& Call::constant(std::size_t i, const char* what) const {
  const Value& value = input(i);
  expect(value.constant.has_value(), "expects ", what, " to be numbers of the file, found \"", input_name(i),
         "\", which the network computes");
  return *value.constant;
}

const Value& Call::part_or_parts(std::size_t i) const {
  const Value& value = input(i);
  expect(!value.constant, "takes \"", input_name(i),
         "\", numbers of the file, where only what the network computes is taken");
  expect(!value.outside, "takes \"", input_name(i), "\", which is computed outside of what can be converted");
  expect(!value.parts.empty(), "takes \"", input_name(i), "\", which is no tensor of numbers");
  return value;
}

Part Call::part(std::size_t i) const {
  const Value& value = part_or_parts(i);
  expect(
      value.parts.size() == 1, "takes \"", input_name(i),
      "\", a concatenation of maps of several sizes: only functions of single numbers, softmax and outputs of it are "
      "converted");
  return value.parts.front();
}

Part Call::image(std::size_t i) const {
  Part image = as_image(*this, part(i));
  expect(image.view.rank() == 4, "expects [N, C, H, W], found ", image.view.shape());
  return image;
}

const onnx_file::Attribute* Call::attribute(const char* name) const {
  for (const onnx_file::Attribute& attribute : node.attribute())
    if (attribute.name() == name) return &attribute;
  return nullptr;
}

std::int64_t Call::whole(const char* name, std::int64_t usual) const {
  const onnx_file::Attribute* found = attribute(name);
  return found == nullptr ? usual : found->i();
}

float Call::number(const char* name, float usual) const {
  const onnx_file::Attribute* found = attribute(name);
  return found == nullptr ? usual : found->f();
}

std::string Call::word(const char* name, const char* usual) const {
  const onnx_file::Attribute* found = attribute(name);
  return found == nullptr ? usual : found->s();
}

std::vector<std::int64_t> Call::wholes(const char* name, std::vector<std::int64_t> usual) const {
  const onnx_file::Attribute* found = attribute(name);
  if (found == nullptr) return usual;
  return {found->ints().begin(), found->ints().end()};
}

std::size_t Call::axis(std::int64_t given, std::size_t rank) const {
  const auto all = static_cast<std::int64_t>(rank);
  expect(given >= -all && given < all, "has axis ", given, " of ", all);
  return static_cast<std::size_t>(given < 0 ? given + all : given);
}

std::optional<std::vector<std::int64_t>> Call::listed(const char* name, std::size_t i) const {
  if (given(i)) return constant(i, name).wholes();
  if (attribute(name) != nullptr) return wholes(name);
  return std::nullopt;
}

void Call::give(Value value, int output) {
  if (output < node.output_size() && !node.output(output).empty())
    reading.values.insert_or_assign(node.output(output), std::move(value));
}

void Call::give(Part part, int output) {
  if (part.is_image()) graph().know_images(part.extent, part.name);
  Value value;
  value.parts.push_back(std::move(part));
  give(std::move(value), output);
}

void Call::give(Constant constant, int output) {
  Value value;
  value.constant = std::move(constant);
  give(std::move(value), output);
}

}  // namespace voxshift::onnx
