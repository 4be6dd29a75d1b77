// The configuration that mmengine and mmcv write into their checkpoints.
#pragma once

#include <voxshift/convert/state_dict.h>
#include <voxshift/tasks/profile.h>

#include <string>
#include <vector>

namespace voxshift {

/// Voxel size, range and limits of the `voxel_layer` in the configuration's text (`meta.cfg`, in mmcv's time
/// `meta.config`), at test time. Returns whether all of them were there; else the profile stays as it is.
bool read_voxel_layer(const StateDict& state, Profile& profile);

/// The classes that the data set had (`meta.dataset_meta.classes`, in mmcv's time `meta.CLASSES`); empty: not said.
std::vector<std::string> read_classes(const StateDict& state);

/// The numbers of NAME=.. within dict NAME `dict`=dict(..) of a configuration's text: of a list, a tuple or a number
/// alone. Empty where there are none.
std::vector<double> numbers_in(const std::string& text, const std::string& dict, const std::string& name);

}  // namespace voxshift
