#include "fields.h"

#include <voxshift/tensor/error.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <type_traits>
#include <variant>

#include "field_names.h"

namespace voxshift {
namespace {

static_assert(std::endian::native == std::endian::little, "files are read as they lie in memory");

struct Half {
  std::uint16_t bits;
};

float to_float(Half half) {
  const int exponent = half.bits >> 10 & 31, mantissa = half.bits & 1023;
  const float magnitude = exponent == 0   ? std::ldexp(static_cast<float>(mantissa), -24)
                          : exponent < 31 ? std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25)
                          : mantissa == 0 ? std::numeric_limits<float>::infinity()
                                          : std::numeric_limits<float>::quiet_NaN();
  return half.bits >> 15 ? -magnitude : magnitude;
}

/// One zero of each type, in the order of Scalar.
constexpr std::variant<std::int8_t, std::uint8_t, std::int16_t, std::uint16_t, std::int32_t, std::uint32_t,
                       std::int64_t, std::uint64_t, Half, float, double>
    kZeros[] = {std::int8_t(),  std::uint8_t(),  std::int16_t(), std::uint16_t(), std::int32_t(), std::uint32_t(),
                std::int64_t(), std::uint64_t(), Half(),         float(),         double()};

/// function(T()) with T the type of `type` in memory.
template <class Function>
auto with_scalar(Scalar type, const Function& function) {
  return std::visit(function, kZeros[static_cast<std::size_t>(type)]);
}

/// take(i, value) for every point in order; a half comes as float.
template <class Take>
void for_each(const Field& field, std::int64_t count, const Take& take) {
  with_scalar(field.type, [&]<class T>(T) {
    const char* from = field.first;
    for (std::int64_t i = 0; i < count; ++i, from += field.stride) {
      T value;
      std::memcpy(&value, from, sizeof value);
      if (field.swapped) {
        auto* bytes = reinterpret_cast<unsigned char*>(&value);
        std::reverse(bytes, bytes + sizeof value);
      }
      if constexpr (std::is_same_v<T, Half>) {
        take(i, to_float(value));
      } else {
        take(i, value);
      }
    }
  });
}

/// A coordinate axis' origin: 0, or where float32 would round (it holds 1 km to 0.06 mm), a whole number of 100 m near
/// the middle of what lies there.
double origin_of(const Field& field, std::int64_t count) {
  constexpr std::int64_t kAsked = 101;
  constexpr double kFar = 1000, kStep = 100;
  if (size_of(field.type) < 4 || field.type == Scalar::kF32) return 0;
  std::vector<double> sample;
  for (std::int64_t k = 0; k < std::min(kAsked, count); ++k) {
    Field one = field;
    one.first += k * count / std::min(kAsked, count) * field.stride;
    for_each(one, 1, [&](std::int64_t, auto value) {
      if (std::isfinite(static_cast<double>(value))) sample.push_back(static_cast<double>(value));
    });
  }
  if (sample.empty()) return 0;
  const auto middle = sample.begin() + static_cast<std::ptrdiff_t>(sample.size() / 2);
  std::nth_element(sample.begin(), middle, sample.end());
  return std::abs(*middle) > kFar ? std::round(*middle / kStep) * kStep : 0;
}

void take_column(const Field& field, std::int64_t column, double origin, PointCloud& cloud) {
  if (cloud.points.empty()) return;
  float* const to = cloud.points.data() + column;
  const std::int64_t columns = cloud.columns, count = cloud.count();
  if (origin == 0) {
    for_each(field, count, [&](std::int64_t i, auto value) { to[i * columns] = static_cast<float>(value); });
  } else {
    for_each(field, count, [&](std::int64_t i, auto value) {
      to[i * columns] = static_cast<float>(static_cast<double>(value) - origin);
    });
  }
}

void take_coordinates(std::span<const Field* const, 3> xyz, PointCloud& cloud) {
  for (std::size_t axis = 0; axis < 3; ++axis) {
    cloud.origin[axis] = origin_of(*xyz[axis], cloud.count());
    take_column(*xyz[axis], static_cast<std::int64_t>(axis), cloud.origin[axis], cloud);
  }
}

/// Whether T holds the number, less its fraction.
template <class T>
bool holds(double value) {
  // 2^digits is the first number that is too large, and exact in a double
  return value < std::ldexp(1.0, std::numeric_limits<T>::digits) &&
         value >= static_cast<double>(std::numeric_limits<T>::lowest());
}

/// `otherwise` for NaN and what T cannot hold.
template <class T>
T to_integer(double value, T otherwise) {
  return holds<T>(value) ? static_cast<T>(value) : otherwise;
}

/// One integer per colour of 0xRRGGBB, which PCL keeps in the bits of a float.
void take_packed_colour(const Field& field, PointCloud& cloud) {
  cloud.rgb.resize(static_cast<std::size_t>(cloud.count()) * 3);
  for_each(field, cloud.count(), [&](std::int64_t i, auto value) {
    std::uint32_t bits;
    if constexpr (std::is_same_v<decltype(value), float>) {
      bits = std::bit_cast<std::uint32_t>(value);
    } else {
      bits = static_cast<std::uint32_t>(to_integer<std::int64_t>(static_cast<double>(value), 0));
    }
    for (int c = 0; c < 3; ++c)
      cloud.rgb[static_cast<std::size_t>(3 * i + c)] = static_cast<std::uint8_t>(bits >> (16 - 8 * c));
  });
}

/// Colours of one field each: bytes, 16 bits, or floats of 0..1 or 0..255.
void take_colours(std::span<const Field* const, 3> fields, PointCloud& cloud) {
  cloud.rgb.resize(static_cast<std::size_t>(cloud.count()) * 3);
  double highest = 0;
  for (const Field* field : fields)
    for_each(*field, cloud.count(), [&](std::int64_t, auto value) {
      if (static_cast<double>(value) > highest) highest = static_cast<double>(value);
    });
  const double full = is_float(fields[0]->type) && highest <= 1 ? 1 : highest <= 255 ? 255 : 65535;
  for (std::size_t c = 0; c < 3; ++c)
    for_each(*fields[c], cloud.count(), [&](std::int64_t i, auto value) {
      const double scaled = std::round(static_cast<double>(value) / full * 255);
      cloud.rgb[static_cast<std::size_t>(i) * 3 + c] = to_integer<std::uint8_t>(scaled, 0);
    });
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

OtherField copy_of(const Field& field, std::int64_t count) {
  const std::size_t size = size_of(field.type), bytes = size * field.several;
  OtherField other{field.name, field.type, field.several, std::vector<char>(bytes * static_cast<std::size_t>(count))};
  char* to = other.values.data();
  const char* from = field.first;
  for (std::int64_t i = 0; i < count; ++i, from += field.stride, to += bytes) {
    std::memcpy(to, from, bytes);
    for (std::size_t k = 0; field.swapped && k < bytes; k += size) std::reverse(to + k, to + k + size);
  }
  return other;
}

/// Fields by the names that people give them.
class Named {
 public:
  Named(const std::string& file, std::span<const Field> fields) : file_(file), fields_(fields) {}

  /// The field of the first of `names` that is there; null where none is.
  const Field* find(std::span<const std::string_view> names) const {
    for (const std::string_view name : names) {
      const Field* found = nullptr;
      for (const Field& field : fields_) {
        std::string plain = lower(field.name);
        if (plain.starts_with("scalar_")) plain.erase(0, 7);
        if (plain != name || field.several != 1) continue;
        check<IoError>(found == nullptr, file_, ": has field ", name, " twice");
        found = &field;
      }
      if (found != nullptr) return found;
    }
    return nullptr;
  }

  const Field* find(std::string_view name) const { return find(std::span(&name, 1)); }

  /// As find; the field has its place in a cloud.
  const Field* take(std::span<const std::string_view> names) {
    const Field* const field = find(names);
    taken_.push_back(field);
    return field;
  }

  void take(const Field* field) { taken_.push_back(field); }

  /// Those that have no place, as they are.
  std::vector<OtherField> others(std::int64_t count) const {
    std::vector<OtherField> result;
    for (const Field& field : fields_)
      if (std::ranges::find(taken_, &field) == taken_.end()) result.push_back(copy_of(field, count));
    return result;
  }

  /// Red, green and blue where all three are there.
  std::optional<std::array<const Field*, 3>> colours() const {
    for (const auto& [red, green, blue] : kColourNames)
      if (const std::array found{find(red), find(green), find(blue)}; std::ranges::count(found, nullptr) == 0)
        return found;
    return std::nullopt;
  }

  const Field* coordinate(std::string_view name) {
    const Field* const field = take(std::span(&name, 1));
    check<IoError>(field != nullptr, file_, ": has no field ", name, ", expected x, y, z, found ", list());
    return field;
  }

 private:
  std::string list() const {
    std::string names;
    for (const Field& field : fields_) names += (names.empty() ? "" : ", ") + field.name;
    return names.empty() ? "none" : names.substr(0, 200);
  }

  const std::string& file_;
  std::span<const Field> fields_;
  std::vector<const Field*> taken_;
};

}  // namespace

std::size_t size_of(Scalar type) {
  return with_scalar(type, [](auto value) { return sizeof value; });
}

bool is_float(Scalar type) { return type == Scalar::kF16 || type == Scalar::kF32 || type == Scalar::kF64; }

bool store(double value, Scalar type, char* to) {
  return with_scalar(type, [&]<class T>(T) {
    if constexpr (std::is_same_v<T, Half>) {
      return false;  // no text has halves
    } else {
      if constexpr (std::is_integral_v<T>) {
        if (!holds<T>(value) || value != std::trunc(value)) return false;
      } else if (std::isfinite(value) && std::abs(value) > static_cast<double>(std::numeric_limits<T>::max())) {
        return false;
      }
      const T stored = static_cast<T>(value);
      std::memcpy(to, &stored, sizeof stored);
      return true;
    }
  });
}

PointCloud cloud_of_fields(const std::string& file, std::span<const Field> fields, std::int64_t count,
                           std::vector<OtherField>* others) {
  Named named(file, fields);
  const Field* const xyz[] = {named.coordinate("x"), named.coordinate("y"), named.coordinate("z")};
  PointCloud cloud{std::vector<float>(static_cast<std::size_t>(count) * 4)};
  take_coordinates(xyz, cloud);
  if (const Field* field = named.take(kRemissionNames)) {
    cloud.has_remission = true;
    take_column(*field, 3, 0, cloud);
  }
  if (const Field* field = named.find(kPackedColourNames); field != nullptr && size_of(field->type) >= 4) {
    named.take(field);
    take_packed_colour(*field, cloud);
  } else if (const auto colours = named.colours()) {
    for (const Field* colour : *colours) named.take(colour);
    take_colours(*colours, cloud);
  }
  const auto rows = static_cast<std::size_t>(count);
  if (const Field* field = named.take(kLabelNames)) {
    cloud.label.resize(rows);
    for_each(*field, count, [&](std::int64_t i, auto value) {
      cloud.label[static_cast<std::size_t>(i)] = to_integer<std::uint32_t>(static_cast<double>(value), 0);
    });
  }
  if (const Field* field = named.take(kRingNames)) {
    cloud.ring.resize(rows);
    for_each(*field, count, [&](std::int64_t i, auto value) {
      cloud.ring[static_cast<std::size_t>(i)] = to_integer<std::int32_t>(static_cast<double>(value), -1);
    });
  }
  if (const Field* field = named.take(time_names(named.find("s") != nullptr))) {
    cloud.time.resize(rows);
    for_each(*field, count,
             [&](std::int64_t i, auto value) { cloud.time[static_cast<std::size_t>(i)] = static_cast<double>(value); });
  }
  if (others != nullptr)
    for (OtherField& other : named.others(count)) others->push_back(std::move(other));
  return cloud;
}

PointCloud cloud_of_columns(std::span<const Field> columns, std::int64_t count) {
  const std::int64_t width = std::max<std::int64_t>(4, static_cast<std::int64_t>(columns.size()));
  PointCloud cloud{std::vector<float>(static_cast<std::size_t>(count * width)), width, columns.size() > 3};
  const Field* const xyz[] = {&columns[0], &columns[1], &columns[2]};
  take_coordinates(xyz, cloud);
  for (std::size_t c = 3; c < columns.size(); ++c) take_column(columns[c], static_cast<std::int64_t>(c), 0, cloud);
  return cloud;
}

}  // namespace voxshift
