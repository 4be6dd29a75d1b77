#include "options.h"

#include "arrays.h"

namespace voxshift::python {
namespace {

template <class T>
struct Word {
  const char* text;
  T value;
};

constexpr Word<Activation::Kind> kActivations[] = {{"relu", Activation::Kind::kRelu},
                                                   {"relu6", Activation::Kind::kRelu6},
                                                   {"leaky_relu", Activation::Kind::kLeakyRelu}};
constexpr Word<Semantics> kSemantics[] = {{"floor", Semantics::kFloor}, {"bounded", Semantics::kBounded}};
constexpr Word<Reduce> kReductions[] = {
    {"first", Reduce::kFirst}, {"sum", Reduce::kSum}, {"mean", Reduce::kMean}, {"max", Reduce::kMax}};
constexpr Word<Rounding> kRoundings[] = {
    {"half_even", Rounding::kHalfEven}, {"half_away", Rounding::kHalfAwayFrom0}, {"floor", Rounding::kFloor}};
constexpr Word<AbsentClass> kAbsent[] = {
    {"zero", AbsentClass::kZero}, {"one", AbsentClass::kOne}, {"left_out", AbsentClass::kLeftOut}};
constexpr Word<CellAxes> kCellAxes[] = {{"cartesian", CellAxes::kCartesian}, {"cylindrical", CellAxes::kCylindrical}};
constexpr Word<bool> kOrigins[] = {{"sensor", false}, {"lowest", true}};

template <class T, std::size_t N>
T value_of(const Word<T> (&words)[N], const char* op, const char* what, const std::string& wanted) {
  std::string known;
  for (const Word<T>& word : words) {
    if (word.text == wanted) return word.value;
    known += (known.empty() ? "" : ", ") + std::string(word.text);
  }
  throw InvalidArgument(std::string("[") + op + "] " + what + " expects one of " + known + ", found \"" + wanted +
                        "\"");
}

template <class T, std::size_t N>
std::string text_of(const Word<T> (&words)[N], T value) {
  for (const Word<T>& word : words)
    if (word.value == value) return word.text;
  return "none";
}

}  // namespace

std::vector<std::int32_t> list_of(const Axes& axes) {
  const auto* one = std::get_if<std::int32_t>(&axes);
  return one != nullptr ? std::vector<std::int32_t>{*one} : std::get<std::vector<std::int32_t>>(axes);
}

SparseTensor::Extents extents_of(const char* op, const char* what, const Axes& axes, int dims) {
  const std::vector<std::int32_t> values = list_of(axes);
  check(values.size() == 1 || values.size() == static_cast<std::size_t>(dims), "[", op, "] ", what, " expects 1 or ",
        dims, " values, found ", values.size());
  SparseTensor::Extents extents{1, 1, 1, 1};
  for (std::size_t d = 0; d < static_cast<std::size_t>(dims); ++d) extents[d] = values[values.size() == 1 ? 0 : d];
  return extents;
}

PointSet point_set(const Array& points, const std::optional<Array>& row_splits) {
  return {points, row_splits ? std::optional(as_int64(*row_splits)) : std::nullopt};
}

Activation activation_of(const char* op, const OptionalWord& word, float negative_slope) {
  return {word ? value_of(kActivations, op, "activation", *word) : Activation::Kind::kNone, negative_slope};
}

Semantics semantics_of(const char* op, const std::string& word) { return value_of(kSemantics, op, "semantics", word); }

Reduce reduce_of(const char* op, const OptionalWord& word) {
  return word ? value_of(kReductions, op, "reduce", *word) : Reduce::kNone;
}

Rounding rounding_of(const char* op, const std::string& word) { return value_of(kRoundings, op, "rounding", word); }

bool from_lowest_of(const char* op, const std::string& origin) { return value_of(kOrigins, op, "origin", origin); }

CellAxes axes_of(const char* op, const std::string& axes) { return value_of(kCellAxes, op, "axes", axes); }

AbsentClass absent_of(const char* op, const std::string& word) { return value_of(kAbsent, op, "absent", word); }

std::string word_of(Rounding rounding) { return text_of(kRoundings, rounding); }
std::string word_of(Reduce reduce) { return text_of(kReductions, reduce); }
std::string word_of(CellAxes axes) { return text_of(kCellAxes, axes); }
std::string origin_word(bool from_lowest) { return text_of(kOrigins, from_lowest); }

}  // namespace voxshift::python
