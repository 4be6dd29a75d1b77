// Confusion matrices of any counts and labels, and train ids of any words.
#include <fuzzer/FuzzedDataProvider.h>
#include <voxshift/tasks/protocol.h>

#include "fuzz_input.h"

namespace {

using namespace voxshift;

void score(const ConfusionMatrix& matrix) {
  fuzz::expect(matrix.points() >= 0, "a number of points");
  for (const AbsentClass absent : {AbsentClass::kZero, AbsentClass::kOne, AbsentClass::kLeftOut}) {
    for (const double iou : matrix.iou(absent)) fuzz::expect(!(iou < 0 || iou > 1), "IoU in 0..1");
    matrix.mean_iou(absent);
  }
  fuzz::expect(matrix.accuracy() >= 0 && matrix.accuracy() <= 1, "accuracy in 0..1");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider input(data, size);
  const std::int64_t classes =
      input.ConsumeBool() ? input.ConsumeIntegralInRange<std::int64_t>(1, 5) : input.ConsumeIntegral<std::int64_t>();
  fuzz::may_refuse([&] {
    ConfusionMatrix labels(classes);
    const std::size_t points = input.ConsumeIntegralInRange<std::size_t>(0, 64);
    const auto predicted = input.ConsumeBytes<std::uint8_t>(points), truth = input.ConsumeBytes<std::uint8_t>(points);
    fuzz::may_refuse([&] { labels.add(predicted, truth); });
    score(labels);
    std::vector<std::int64_t> counts(input.ConsumeBool() ? labels.counts().size() : points);
    for (std::int64_t& count : counts) count = input.ConsumeIntegral<std::int64_t>();
    ConfusionMatrix matrix(classes, counts);
    score(matrix);
    matrix.merge(matrix);
    matrix.merge(labels);
    matrix.add(predicted, truth);
    score(matrix);
    matrix.count(input.ConsumeIntegral<std::int64_t>(), input.ConsumeIntegral<std::int64_t>());
  });
  const Protocol& protocol = known_protocols()[input.ConsumeIntegralInRange<std::size_t>(0, 3)];
  std::vector<std::uint32_t> words(input.remaining_bytes() / 4);
  for (std::uint32_t& word : words) word = input.ConsumeIntegral<std::uint32_t>();
  fuzz::may_refuse([&] { train_ids(words, protocol.truth); });
  fuzz::may_refuse([&] { train_ids(words, protocol.predictions); });
  return 0;
}
