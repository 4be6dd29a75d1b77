#include "trace.h"

#include <voxshift/engine/session.h>
#include <voxshift/files/atomic_file.h>
#include <voxshift/tensor/version.h>

#include <nlohmann/json.hpp>
#include <ostream>

namespace voxshift {

using Json = nlohmann::ordered_json;

struct Trace::Impl {
  Clock::time_point begin = Clock::now();
  std::string command;
  Json other = Json::object();
  Json events = Json::array();

  double micros(Clock::time_point at) const { return std::chrono::duration<double, std::micro>(at - begin).count(); }

  void add(TraceRow row, const std::string& name, const char* kind, double start, double micros, Json args) {
    events.push_back({{"name", name},
                      {"cat", kind},
                      {"ph", "X"},
                      {"ts", start},
                      {"dur", micros},
                      {"pid", 1},
                      {"tid", static_cast<int>(row)},
                      {"args", std::move(args)}});
  }
};

namespace {

constexpr double kMicro = 1e6;

Json args_of(const TraceArgs& args) {
  Json json = Json::object();
  for (const auto& [name, value] : args) json[name] = value;
  return json;
}

Json name_of_row(TraceRow row, const char* name) {
  return {{"name", "thread_name"}, {"ph", "M"}, {"pid", 1}, {"tid", static_cast<int>(row)}, {"args", {{"name", name}}}};
}

}  // namespace

Trace::Trace(std::filesystem::path path, std::string command)
    : path_(std::move(path)), impl_(std::make_unique<Impl>()) {
  impl_->command = "voxshift " + std::move(command);
  impl_->other["version"] = version();
}
Trace::~Trace() = default;

void Trace::about(const std::string& device, const std::string& dtype, int threads) {
  impl_->other["device"] = device;
  impl_->other["dtype"] = dtype;
  impl_->other["threads"] = threads;
}

void Trace::stage(TraceRow row, const std::string& name, const TraceSpan& span, const TraceArgs& args) {
  if (wanted()) impl_->add(row, name, "stage", impl_->micros(span.start), span.seconds * kMicro, args_of(args));
}

void Trace::compute(const std::string& name, const TraceSpan& span, const TraceParts& parts, const RunReport& run,
                    const TraceArgs& args) {
  if (!wanted()) return;
  stage(TraceRow::kCompute, name, span, args);
  double at = impl_->micros(span.start);
  for (const auto& [part, seconds] : parts) {
    const bool is_network = part == "network";
    impl_->add(TraceRow::kCompute, part, "step", at, seconds * kMicro,
               is_network ? Json{{"macs", run.macs}, {"rows", run.voxels}} : Json::object());
    double layer_at = at;
    for (const LayerReport& layer : is_network ? run.layers : std::vector<LayerReport>()) {
      impl_->add(TraceRow::kCompute, layer.name, "layer", layer_at, layer.seconds * kMicro,
                 {{"op", layer.kind},
                  {"dtype", voxshift::name(layer.dtype)},
                  {"rows", layer.rows},
                  {"in_channels", layer.in_channels},
                  {"out_channels", layer.out_channels},
                  {"pairs", layer.pairs},
                  {"macs", layer.macs}});
      layer_at += layer.seconds * kMicro;
    }
    at += seconds * kMicro;
  }
}

void Trace::write() const {
  if (!wanted()) return;
  Json events = Json::array({{{"name", "process_name"}, {"ph", "M"}, {"pid", 1}, {"args", {{"name", impl_->command}}}},
                             name_of_row(TraceRow::kRead, "read"),
                             name_of_row(TraceRow::kCompute, "compute"),
                             name_of_row(TraceRow::kWrite, "write")});
  for (const Json& event : impl_->events) events.push_back(event);
  const Json document{{"traceEvents", std::move(events)}, {"displayTimeUnit", "ms"}, {"otherData", impl_->other}};
  // A file name need not be UTF-8, JSON must be.
  const std::string text = document.dump(-1, ' ', false, Json::error_handler_t::replace);
  write_atomically(path_, [&](std::ostream& stream) { stream << text << '\n'; });
}

void trace_session(Trace& trace, const Session& session) {
  trace.about(name(session.device()), name(session.dtype()), session.threads());
}

}  // namespace voxshift
