#include <voxshift/graph/attribute.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <cmath>
#include <sstream>

namespace voxshift {
namespace {

using Kind = AttributeSpec::Kind;

std::string number_text(double number) {
  if (number == std::floor(number) && std::abs(number) < 1e15) return std::to_string(static_cast<std::int64_t>(number));
  std::ostringstream text;
  text << number;
  return text.str();
}

// The number that an attribute stands for, where it is one.
const double* as_number(const Attribute& given, double& number) {
  if (const auto* whole = std::get_if<std::int64_t>(&given)) number = static_cast<double>(*whole);
  if (const auto* real = std::get_if<double>(&given)) number = *real;
  return std::holds_alternative<std::int64_t>(given) || std::holds_alternative<double>(given) ? &number : nullptr;
}

bool in_limits(const AttributeSpec& spec, std::int64_t number) {
  return static_cast<double>(number) >= spec.lowest && static_cast<double>(number) <= spec.highest;
}

bool in_limits(const AttributeSpec& spec, double number) {
  return std::isfinite(static_cast<float>(number)) && number >= spec.lowest && number <= spec.highest;
}

// Whether `given` is what the spec expects; one number for all axes becomes one for each.
bool fits(const AttributeSpec& spec, Attribute& given, std::size_t axes) {
  double real = 0;
  switch (spec.kind) {
    case Kind::kFlag:
      return std::holds_alternative<bool>(given);
    case Kind::kWhole:
      return std::holds_alternative<std::int64_t>(given) && in_limits(spec, std::get<std::int64_t>(given));
    case Kind::kNumber: {
      const bool is_number = as_number(given, real) != nullptr;
      if (is_number) given = real;
      return is_number && in_limits(spec, real);
    }
    case Kind::kWord:
      return std::holds_alternative<std::string>(given) &&
             std::find(spec.words.begin(), spec.words.end(), std::get<std::string>(given)) != spec.words.end();
    case Kind::kPerAxis: {
      if (const auto* all = std::get_if<std::int64_t>(&given)) given = PerAxis(axes, *all);
      const auto* each = std::get_if<PerAxis>(&given);
      return each != nullptr && each->size() == axes &&
             std::all_of(each->begin(), each->end(), [&](std::int64_t n) { return in_limits(spec, n); });
    }
    case Kind::kPerAxisNumber: {
      if (as_number(given, real) != nullptr) given = PerAxisNumber(axes, real);
      if (const auto* wholes = std::get_if<PerAxis>(&given)) given = PerAxisNumber(wholes->begin(), wholes->end());
      const auto* each = std::get_if<PerAxisNumber>(&given);
      return each != nullptr && each->size() == axes &&
             std::all_of(each->begin(), each->end(), [&](double n) { return in_limits(spec, n); });
    }
  }
  return false;
}

}  // namespace

std::string AttributeSpec::expectation() const {
  const std::string limits = number_text(lowest) + " to " + number_text(highest);
  switch (kind) {
    case Kind::kFlag:
      return "true or false";
    case Kind::kWhole:
      return "a whole number of " + limits;
    case Kind::kNumber:
      return "a number of " + limits;
    case Kind::kPerAxis:
      return "a whole number of " + limits + " per axis";
    case Kind::kPerAxisNumber:
      return "a number of " + limits + " per axis";
    case Kind::kWord:
      break;
  }
  std::string any;
  for (const char* one : words) any += (any.empty() ? "" : " or ") + std::string(one);
  return any;
}

Attribute checked(const AttributeSpec& spec, const Attribute& given, std::size_t axes, const std::string& where) {
  Attribute result = given;
  if (!fits(spec, result, axes))
    throw InvalidArgument(where + ": " + spec.name + " expects " + spec.expectation() + ", found " + to_text(given));
  return result;
}

std::string to_text(const Attribute& attribute) {
  struct Writer {
    std::string operator()(bool value) const { return value ? "true" : "false"; }
    std::string operator()(std::int64_t value) const { return std::to_string(value); }
    std::string operator()(double value) const { return number_text(value); }
    std::string operator()(const std::string& value) const { return '"' + value + '"'; }
    std::string operator()(const PerAxis& values) const { return (*this)(PerAxisNumber(values.begin(), values.end())); }
    std::string operator()(const PerAxisNumber& values) const {
      std::string text;
      for (const double value : values) text += (text.empty() ? "" : ", ") + number_text(value);
      return '[' + text + ']';
    }
  };
  return std::visit(Writer{}, attribute);
}

}  // namespace voxshift
