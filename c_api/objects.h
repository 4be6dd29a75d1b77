// What handles stand for.
#pragma once

#include <voxshift/tasks/model.h>

#include <optional>
#include <string>

#include "call.h"
#include "handles.h"

namespace voxshift::c_api {

struct OpenModel {
  using Handle = voxshift_model;
  static constexpr std::uintptr_t kKind = 1;
  static constexpr const char* kName = "model";

  Model model;
  voxshift_model_info info = VOXSHIFT_MODEL_INFO_INIT;  ///< once: counting parameters takes microseconds
};

using Models = HandleTable<OpenModel>;

/// Runs `body` on the session or stream as the only one to do so.
template <class Object, class Body>
voxshift_status in_turn(const char* function, typename Object::Handle handle, const Body& body) {
  return call(function, [&] {
    const std::shared_ptr<Object> object = HandleTable<Object>::instance().get(handle);
    const Turn turn(object->taken);
    body(*object);
  });
}

Device device_of(std::int32_t kind, std::int32_t index);

/// None for VOXSHIFT_AUTO. Throws InvalidArgument for dtypes that no network has.
std::optional<DType> network_dtype_of(std::int32_t dtype);

/// An array for a caller.
voxshift_array array_of(const Array& array);

/// Gives a line to the log callback.
void log(const std::string& line);

}  // namespace voxshift::c_api
