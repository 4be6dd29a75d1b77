// The persistent ids that torch.save gives to storages.
#pragma once

#include <voxshift/checkpoints/globals.h>

#include <cstdint>
#include <optional>
#include <string>

namespace voxshift {

/// ("storage", class, key, device, elements[, view]).
struct StorageId {
  std::optional<ScalarType> type;  ///< nullopt: tensors of this class are not read; `placeholder` stands for it
  Value placeholder;
  std::string key;
  std::uint64_t count = 0;  ///< elements of the storage
  struct View {
    std::string key;
    std::int64_t offset, count;  ///< elements
  };
  std::optional<View> view;  ///< only in the older form: the part of the storage that is meant
};

/// Takes an id apart; throws IoError for what is none.
StorageId storage_id(const Value& id);

}  // namespace voxshift
