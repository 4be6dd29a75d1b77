// Which network a state dict is of.
#pragma once

#include <voxshift/convert/source.h>

#include <string>
#include <vector>

namespace voxshift {

/// A source that knows the tensors, and these without what training code put before their names.
struct Recognised {
  const Source* source = nullptr;
  StateDict state;
  std::vector<std::string> notes = {};  ///< what of the whole is left out, a line each
};

/// `from`: the name of a source, or "auto". Names are tried as they are, then without "module.", "model.", "student."
/// and the like. Throws InvalidArgument where no source knows them, and for tensors outside the prefix that are neither
/// another copy of those within nor single numbers.
Recognised recognise(const StateDict& state, const std::string& from);

}  // namespace voxshift
