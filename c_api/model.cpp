// Models.
#include <voxshift/graph/quantized.h>

#include <filesystem>
#include <span>
#include <string>

#include "objects.h"

using namespace voxshift;
using namespace voxshift::c_api;

namespace {

voxshift_task task_of(const Model& model) {
  const bool one_input = model.graph().inputs.size() == 1 && model.has_profile();
  if (!one_input || model.classes().empty()) return VOXSHIFT_TASK_OTHER;
  if (model.graph().input().kind == InputKind::kFrames) return VOXSHIFT_TASK_RECOGNIZE;
  return model.detection() ? VOXSHIFT_TASK_DETECT : VOXSHIFT_TASK_SEGMENT;
}

voxshift_model_info info_of(const Model& model) {
  voxshift_model_info info = VOXSHIFT_MODEL_INFO_INIT;
  info.task = task_of(model);
  info.architecture = model.arch().c_str();
  info.classes = static_cast<int32_t>(model.classes().size());
  if (info.task == VOXSHIFT_TASK_SEGMENT || info.task == VOXSHIFT_TASK_DETECT)
    info.columns = static_cast<int32_t>(model.profile().columns());
  if (model.profile().frames) {
    info.frame_height = static_cast<int32_t>(model.profile().frames->height);
    info.frame_width = static_cast<int32_t>(model.profile().frames->width);
  }
  info.inputs = static_cast<int32_t>(model.graph().inputs.size());
  info.outputs = static_cast<int32_t>(model.graph().outputs.size());
  info.quantized = is_quantized(model.graph());
  info.parameters = model.parameter_count();
  return info;
}

/// `name_of` of the one of `list` that an index names.
template <class List, class NameOf>
voxshift_status give_name(const char* function, voxshift_model model, int32_t index, const char** name,
                          const List& list, const NameOf& name_of) {
  return call(function, [&] {
    check(name != nullptr, "name is null");
    const std::shared_ptr<OpenModel> open = Models::instance().get(model);
    const auto& names = list(open->model);
    check(index >= 0 && static_cast<std::size_t>(index) < names.size(), "index expects 0 to ",
          static_cast<std::int64_t>(names.size()) - 1, ", found ", index);
    *name = name_of(names[static_cast<std::size_t>(index)]).c_str();
  });
}

voxshift_status open_model(const char* function, voxshift_model* model, const auto& load) {
  return call(function, [&] {
    check(model != nullptr, "model is null");
    const auto open = std::make_shared<OpenModel>(OpenModel{load()});
    open->info = info_of(open->model);
    *model = Models::instance().add(open);
  });
}

}  // namespace

voxshift_status voxshift_model_load(const char* path, voxshift_model* model) {
  return open_model(__func__, model, [&] {
    check(path != nullptr, "path is null");
    return Model::load(std::filesystem::path(reinterpret_cast<const char8_t*>(path)));
  });
}

voxshift_status voxshift_model_load_memory(const void* bytes, size_t count, voxshift_model* model) {
  return open_model(__func__, model, [&] {
    check(bytes != nullptr, "bytes is null");
    return Model::load(std::span(static_cast<const std::byte*>(bytes), count), "memory");
  });
}

voxshift_status voxshift_model_get_info(voxshift_model model, voxshift_model_info* info) {
  return call(__func__, [&] {
    check_result(info, "info");
    give(info, Models::instance().get(model)->info);
  });
}

voxshift_status voxshift_model_class_name(voxshift_model model, int32_t index, const char** name) {
  return give_name(
      __func__, model, index, name, [](const Model& m) -> const auto& { return m.classes(); },
      [](const ClassInfo& info) -> const std::string& { return info.name; });
}

voxshift_status voxshift_model_input_name(voxshift_model model, int32_t index, const char** name) {
  return give_name(
      __func__, model, index, name, [](const Model& m) -> const auto& { return m.graph().inputs; },
      [](const GraphInput& input) -> const std::string& { return input.name; });
}

voxshift_status voxshift_model_output_name(voxshift_model model, int32_t index, const char** name) {
  return give_name(
      __func__, model, index, name, [](const Model& m) -> const auto& { return m.graph().outputs; },
      [](const std::string& output) -> const std::string& { return output; });
}

voxshift_status voxshift_model_close(voxshift_model model) {
  return call(__func__, [&] { Models::instance().close(model); });
}
