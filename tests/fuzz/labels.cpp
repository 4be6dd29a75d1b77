// Bytes as label files of every data set, as .label and as .bin.
#include "fuzz_input.h"
#include "label_files.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace voxshift;
  const std::string bytes = fuzz::text_of(data, size);
  for (const char* extension : {".label", ".bin"}) {
    const fuzz::MemoryFile file(bytes, extension);
    for (const Protocol& protocol : known_protocols())
      fuzz::may_refuse([&] {
        const auto ids = read_labels(file.path(), protocol.truth);
        fuzz::expect(ids.size() == (extension[1] == 'b' ? size : size / 4), "a train id per label");
        ConfusionMatrix matrix(static_cast<std::int64_t>(protocol.classes.size()));
        matrix.add(ids, ids);
      });
  }
  return 0;
}
