#include "prepared_points.h"

#include <pybind11/pybind11.h>
#include <voxshift/tensor/error.h>

#include <algorithm>

namespace voxshift::python {

PrepareOptions prepare_options(const std::string& op, const std::optional<std::string>& sensor,
                               std::optional<float> remission_scale, const std::optional<Origin>& origin) {
  check(!remission_scale || *remission_scale > 0, "[", op, "] remission_scale expects a number above 0, found ",
        remission_scale.value_or(0));
  PrepareOptions options{{}, remission_scale, origin, {}};
  if (sensor) options.sensor = find_sensor(*sensor);
  return options;
}

void check_points_are_rows(const std::string& op, const Shape& shape, std::int64_t columns) {
  const std::int64_t most = std::max<std::int64_t>(4, columns);
  const bool turned = shape.size() == 2 && shape[0] >= 3 && shape[0] <= most && shape[1] > 2 * most;
  check(!turned, "[", op, "] points expects a row per point, found ", shape,
        ", which looks like a column per point; transpose it, for instance with points.T");
}

void warn(const std::string& op, const std::vector<std::string>& notes) {
  for (const std::string& note : notes)
    if (PyErr_WarnEx(PyExc_UserWarning, ("[" + op + "] " + note).c_str(), 1) != 0) throw pybind11::error_already_set();
}

}  // namespace voxshift::python
