#include <voxshift/engine/inputs.h>
#include <voxshift/tensor/features.h>

#include <algorithm>

namespace voxshift {
namespace {

// How errors of `op` begin; the only input of a network needs no name.
struct Subject {
  const char* op;
  const Graph& graph;
  std::size_t input;

  friend std::ostream& operator<<(std::ostream& out, const Subject& s) {
    out << "[" << s.op << "] ";
    return s.graph.inputs.size() == 1 ? out << "the model" : out << "input \"" << s.graph.inputs[s.input].name << "\"";
  }
};

class Checker {
 public:
  Checker(const char* op, const Graph& graph, std::size_t i, Device device) : subject_{op, graph, i}, device_(device) {}

  void operator()(const SparseTensor* x) const {
    expect_kind(InputKind::kVoxels);
    check_f32(subject_.op, "the tensor", x->dtype());
    check(x->channels() == input().channels && x->dims() == subject_.graph.dims, subject_, " takes ", input().channels,
          " channels on ", subject_.graph.dims, " axes, the tensor has ", x->channels(), " on ", x->dims());
    expect_device("the tensor is", x->device());
  }

  void operator()(const PointSet* x) const {
    expect_kind(InputKind::kPoints);
    check(x->points.rank() == 2 && x->points.dim(1) == input().channels, subject_, " takes ", input().channels,
          " channels, found points ", x->points.shape());
    expect_device("points are", x->points.device());
  }

  void operator()(const Array* x) const {
    const bool frames = input().kind == InputKind::kFrames;
    if (input().rows_of.empty()) expect_kind(InputKind::kFrames);
    const bool shaped = x->rank() == (frames ? 4U : 2U) && x->dim(x->rank() - 1) == input().channels;
    check(x->dtype() == DType::kF32 && shaped && (!frames || x->count() > 0), subject_, " takes ",
          frames ? "frames f32 [T, H, W, " : "f32 [rows, ", input().channels, "], found ", name(x->dtype()), " ",
          x->shape());
    expect_device(frames ? "frames are" : "rows are", x->device());
  }

 private:
  const GraphInput& input() const { return subject_.graph.inputs[subject_.input]; }

  void expect_kind(InputKind given) const {
    check(input().rows_of.empty(), subject_, " takes f32 [rows, ", input().channels, "] on the rows of \"",
          input().rows_of, "\", not ", name(given));
    check(input().kind == given, subject_, " takes ", name(input().kind), ", not ", name(given));
  }

  void expect_device(const char* what, Device found) const {
    check(found == device_, "[", subject_.op, "] ", what, " on ", name(found), ", the session on ", name(device_));
  }

  Subject subject_;
  Device device_;
};

// Sets the rows of a domain.
class Placer {
 public:
  Placer(const char* op, Geometry& geometry, int domain) : op_(op), geometry_(geometry), domain_(domain) {}

  void operator()(const SparseTensor* x) const { geometry_.set_voxels(x->map()->level(), x->shape(), domain_); }
  void operator()(const PointSet* x) const {
    const PointSet set = checked(*x, op_, "points");
    geometry_.set_points(clouds_of(set), domain_);
  }
  void operator()(const Array* x) const { geometry_.set_frames(x->dim(0), domain_); }

 private:
  const char* op_;
  Geometry& geometry_;
  int domain_;
};

ConstRowView features_of(const InputView& x) {
  if (const auto* const* tensor = std::get_if<const SparseTensor*>(&x)) return rows_of((*tensor)->features());
  if (const auto* const* set = std::get_if<const PointSet*>(&x)) return rows_of((*set)->points);
  const Array& array = *std::get<const Array*>(x);
  const std::int64_t channels = array.dim(array.rank() - 1);
  return {array.memory(), channels, array.count() / channels, channels, array.dtype()};
}

}  // namespace

void views_of(const char* op, const Graph& graph, const Inputs& inputs, std::vector<InputView>& views) {
  for (const auto& [name, given] : inputs)
    check(graph.has_input(name), "[", op, "] the model has no input \"", name, "\"");
  views.clear();
  for (const GraphInput& input : graph.inputs) {
    const auto found = inputs.find(input.name);
    check(found != inputs.end(), "[", op, "] input \"", input.name, "\" is missing");
    views.push_back(std::visit([](const auto& given) { return InputView(&given); }, found->second));
  }
}

void check_input(const char* op, const Graph& graph, std::size_t i, const InputView& x, Device device) {
  std::visit(Checker(op, graph, i, device), x);
}

Extent2d extent_of(const InputView& x) {
  const auto* const* array = std::get_if<const Array*>(&x);
  return array != nullptr && (*array)->rank() == 4 ? Extent2d{(*array)->dim(1), (*array)->dim(2)} : Extent2d{};
}

ConstRowView place_input(const char* op, const Graph& graph, std::size_t i, const InputView& x, Executor& executor) {
  const Plan& plan = executor.plan();
  const GraphInput& input = graph.inputs[i];
  const int domain = plan.value(plan.inputs[i]).domain;
  const ConstRowView rows = features_of(x);
  if (input.rows_of.empty()) {
    std::visit(Placer(op, executor.geometry(), domain), x);
  } else {
    const bool same_extent = input.kind != InputKind::kFrames || extent_of(x) == plan.domains[domain].extent;
    check(rows.count == executor.geometry().rows(domain).count && same_extent, "[", op, "] input \"", input.name,
          "\" has ", rows.count, " rows, \"", input.rows_of, "\" has ", executor.geometry().rows(domain).count);
  }
  return rows;
}

}  // namespace voxshift
