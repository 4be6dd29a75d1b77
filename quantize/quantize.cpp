#include <voxshift/graph/quantized.h>
#include <voxshift/quantize/assemble.h>
#include <voxshift/quantize/calibration.h>
#include <voxshift/quantize/equalize.h>
#include <voxshift/quantize/fold.h>
#include <voxshift/quantize/layer_cost.h>
#include <voxshift/quantize/loss.h>
#include <voxshift/quantize/quantize.h>
#include <voxshift/quantize/weight_layout.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

namespace voxshift {
namespace {

constexpr double kUsualLoss = 0.5;              // points, where the dtype is left open
constexpr std::size_t kSensitivitySamples = 2;  // that each layer alone is run on

// Counts the network's runs.
class RunCounter {
 public:
  RunCounter(const QuantizeOptions& options, std::size_t total) : options_(options), total_(total) {}
  void start(const std::string& what) { what_ = what; }
  void add(std::size_t more) { total_ += more; }
  void step() {
    ++done_;
    if (options_.progress) options_.progress(std::min(done_, total_), total_, what_);
  }

 private:
  const QuantizeOptions& options_;
  std::size_t done_ = 0, total_;
  std::string what_;
};

Network prepared_network(const Model& model, const QuantizeOptions& options) {
  const Network folded = folded_batch_norm(model.network());
  Network result = options.equalize ? equalized(folded) : folded;
  check_graph(result.graph, result.parameters);
  return result;
}

std::vector<std::string> products_of(const Graph& graph) {
  std::vector<std::string> names;
  for (const Node& node : graph.nodes)
    if (is_product(node)) names.push_back(node.name);
  return names;
}

class Quantizer {
 public:
  Quantizer(const Model& model, const CalibrationData& data, const QuantizeOptions& options)
      : model_(model),
        data_(data),
        options_(options),
        network_(prepared_network(model, options)),
        keep_(options.keep.begin(), options.keep.end()),
        simulation_(network_, options.threads),
        counter_(options, 3 * data.size()) {}

  Quantization quantize() {
    plan_ = plan_narrow(network_, keep_);
    calibrate();
    correct_biases();
    if (options_.sensitivity || most_loss()) measure_layers();
    OutputLoss loss = loss_of(plan_);
    if (most_loss() && loss.points() > *most_loss()) loss = keep_worst();
    return result(loss);
  }

 private:
  std::optional<double> most_loss() const {
    return options_.dtype || options_.max_loss ? options_.max_loss : std::optional(kUsualLoss);
  }

  void calibrate() {
    counter_.start("calibration");
    const Calibrated found = calibrated(simulation_, network_, plan_, data_, [this] { counter_.step(); });
    exact_ = found.outputs;
    scales_ = scales_of_values(network_, plan_, found.own);
    for (const Node& node : network_.graph.nodes)
      if (std::ranges::find(plan_.narrow_products, node.name) != plan_.narrow_products.end())
        weights_.emplace(node.name, rounded_weight(node, network_.parameters, scales_.at(node.inputs[0])));
    if (found.not_finite.empty()) return;
    std::int64_t count = 0;
    for (const auto& [value, numbers] : found.not_finite) count += numbers;
    warnings_.push_back("the data gives " + std::to_string(count) + " numbers that are not finite, the first in \"" +
                        found.not_finite.begin()->first + "\"; they were not counted");
  }

  void correct_biases() {
    counter_.start("bias correction");
    simulation_.set_rounded(rounded_network(network_, weights_, {}), scales_);
    if (!options_.correct_bias) return;
    errors_ = mean_errors(simulation_, data_, [this] { counter_.step(); });
    simulation_.set_rounded(rounded_network(network_, weights_, errors_), scales_);
  }

  void measure_layers() {
    counter_.start("sensitivity");
    const std::size_t samples = std::min(kSensitivitySamples, data_.size());
    counter_.add(samples * plan_.narrow_products.size());
    for (const std::string& product : plan_.narrow_products) {
      const std::set<std::string> alone{product};
      OutputLoss loss(model_);
      for (std::size_t s = 0; s < samples; ++s) add_run(loss, s, {&alone, nullptr, {}, {}});
      snr_[product] = loss.snr();
    }
  }

  void add_run(OutputLoss& loss, std::size_t sample, const SimulatedRun& run) {
    const std::vector<Array> outputs = simulation_.run(data_[sample], run);
    loss.add(exact_[sample], outputs, [this](std::size_t output) { return simulation_.extent(output); });
    counter_.step();
  }

  // Of the whole network as planned.
  OutputLoss loss_of(const NarrowPlan& plan) {
    counter_.start("loss");
    const std::set<std::string> narrow(plan.narrow_products.begin(), plan.narrow_products.end());
    ValueScales stored;
    for (const std::string& value : plan.values) stored[value] = scales_.at(value);
    OutputLoss loss(model_);
    for (std::size_t s = 0; s < data_.size(); ++s) add_run(loss, s, {&narrow, &stored, {}, {}});
    return loss;
  }

  // Noise per millisecond, the worst first.
  std::vector<std::string> worst_products() {
    std::vector<std::pair<double, std::string>> order;
    for (const LayerReport& layer : layers())
      if (const auto snr = snr_.find(layer.name); snr != snr_.end())
        order.emplace_back(std::pow(10, -snr->second / 10) / std::max(nominal_saving(layer), 1e-9), layer.name);
    std::ranges::stable_sort(order, std::ranges::greater(), [](const auto& one) { return one.first; });
    std::vector<std::string> names;
    for (const auto& [noise, product] : order) names.push_back(product);
    return names;
  }

  // Keeps as few of the worst products as hold the loss, by bisection.
  OutputLoss keep_worst() {
    const std::vector<std::string> worst = worst_products();
    std::optional<OutputLoss> best;
    const auto attempt = [&](std::size_t kept) {
      std::set<std::string> keep = keep_;
      keep.insert(worst.begin(), worst.begin() + static_cast<std::ptrdiff_t>(kept));
      const NarrowPlan plan = plan_narrow(network_, keep);
      counter_.add(data_.size());
      OutputLoss loss = loss_of(plan);
      const bool holds = loss.points() <= *most_loss() || kept == worst.size();
      if (holds) best = loss, plan_ = plan;
      return holds;
    };
    std::size_t too_few = 0, enough = worst.size();
    while (enough - too_few > 1) {
      const std::size_t kept = (too_few + enough) / 2;
      (attempt(kept) ? enough : too_few) = kept;
    }
    if (!best) attempt(worst.size());
    return *best;
  }

  // Of the last run, by product.
  std::vector<LayerReport> layers() {
    std::vector<LayerReport> result;
    std::set<std::string> known;
    for (const LayerReport& layer : simulation_.report().layers)
      if (simulation_.is_product(layer.name) && known.insert(layer.name).second) result.push_back(layer);
    return result;
  }

  Quantization result(const OutputLoss& loss) {
    const Network made = quantized_network(network_, plan_, scales_, weights_, errors_);
    Quantization result{Model(model_.arch(), made.graph, made.parameters, model_.own_profile(), model_.classes(),
                              model_.skip_thresholds(), model_.detection()),
                        options_.dtype ? DType::kF32 : DType::kF16,
                        {},
                        loss.snr(),
                        loss.points(),
                        warnings_};
    result.layers = table(result.model);
    if (plan_.narrow_products.empty())
      result.warnings.push_back("no product is i8: " + plan_.wide_products.begin()->second);
    return result;
  }

  std::vector<QuantizedLayer> table(const Model& made) {
    std::vector<QuantizedLayer> rows;
    std::map<std::string, double> macs;
    for (const LayerReport& layer : layers()) macs[layer.name] = static_cast<double>(layer.macs);
    for (const LayerReport& layer : layers()) {
      QuantizedLayer& row = rows.emplace_back();
      row.name = layer.name;
      row.kind = layer.kind;
      row.macs = layer.macs;
      const auto wide = plan_.wide_products.find(layer.name);
      row.dtype = wide == plan_.wide_products.end() ? DType::kI8 : DType::kF32;
      if (wide != plan_.wide_products.end()) row.reason = reason_of(wide->first, wide->second);
      if (const auto snr = snr_.find(layer.name); snr != snr_.end()) row.snr = snr->second;
      for (const Node& node : made.graph().nodes)
        if (node.name == layer.name) row.weight_bytes = made.parameters().at(node.parameters.at("weight")).bytes();
    }
    if (options_.sensitivity) add_times(rows, macs);
    return rows;
  }

  std::string reason_of(const std::string& product, const std::string& why) const {
    return why == "keep" && !keep_.contains(product) ? "max loss" : why;
  }

  void add_times(std::vector<QuantizedLayer>& rows, const std::map<std::string, double>& macs) {
    try {
      const NarrowPlan all = plan_narrow(network_, keep_);
      const auto wide = measured_milliseconds(network_, DType::kF32, data_.front(), options_.threads, macs);
      const auto narrow = all.narrow_products.empty()
                              ? wide
                              : measured_milliseconds(quantized_network(network_, all, scales_, weights_, errors_),
                                                      DType::kI8, data_.front(), options_.threads, macs);
      for (QuantizedLayer& row : rows) {
        if (!wide.contains(row.name) || !narrow.contains(row.name)) continue;
        row.milliseconds = wide.at(row.name);
        row.saved_milliseconds = row.milliseconds - narrow.at(row.name);
      }
    } catch (const BackendUnavailable& error) {
      warnings_.push_back(std::string("no times: ") + error.what());
    }
  }

  const Model& model_;
  const CalibrationData& data_;
  const QuantizeOptions& options_;
  const Network network_;  // folded, evened out
  const std::set<std::string> keep_;
  Simulation simulation_;
  RunCounter counter_;
  NarrowPlan plan_;
  std::vector<std::vector<Array>> exact_;  // by sample: the outputs in f32
  ValueScales scales_;
  RoundedWeights weights_;
  BiasErrors errors_;
  std::map<std::string, double> snr_;  // by product
  std::vector<std::string> warnings_;
};

void check_options(const Model& model, const QuantizeOptions& options) {
  check(!is_quantized(model.graph()), "[quantize] the model has i8 already; quantize the one in f32 it was made of");
  const std::vector<std::string> products = products_of(model.graph());
  check(!products.empty(), "[quantize] the network has no product (conv, linear ..), nothing is to be quantised");
  for (const std::string& name : options.keep)
    check(std::ranges::find(products, name) != products.end(), "[quantize] keep: the network has no product \"", name,
          "\"");
  check(!options.max_loss || *options.max_loss >= 0, "[quantize] max_loss expects points of 0 and more, found ",
        options.max_loss.value_or(0));
  const DType dtype = options.dtype.value_or(DType::kI8);
  check(dtype == DType::kI8 || dtype == DType::kF16 || dtype == DType::kBF16,
        "[quantize] dtype expects i8, f16 or bf16, found ", name(dtype));
}

// What f16 and bf16 lose on the data; nothing is changed.
Quantization stored_narrow(const Model& model, const CalibrationData& data, const QuantizeOptions& options) {
  Quantization result{model, *options.dtype, {}, std::numeric_limits<double>::infinity(), 0, {}};
  if (data.empty()) return result;
  RunCounter counter(options, data.size());
  counter.start("loss");
  try {
    Session exact(model.network(), Device::cpu(), options.threads, DType::kF32),
        rounded(model.network(), Device::cpu(), options.threads, options.dtype);
    OutputLoss loss(model);
    for (const Inputs& sample : data) {
      std::vector<Array> a, b;
      std::vector<Extent2d> extents;
      const Outputs of_exact = exact.run(sample), of_rounded = rounded.run(sample);
      for (const std::string& output : model.graph().outputs) {
        const Array &wide = of_exact.at(output).features, &narrow = of_rounded.at(output).features;
        const bool image = wide.rank() == 4;
        extents.push_back(image ? Extent2d{wide.dim(1), wide.dim(2)} : Extent2d{});
        const Shape rows{wide.count() / wide.shape().back(), wide.shape().back()};
        a.push_back(wide.reshaped(rows));
        b.push_back(narrow.reshaped(rows));
      }
      loss.add(a, b, [&](std::size_t output) { return extents[output]; });
      counter.step();
    }
    result.snr = loss.snr();
    result.loss = loss.points();
  } catch (const BackendUnavailable& error) {
    result.warnings.push_back(std::string("no loss: ") + error.what());
  }
  return result;
}

}  // namespace

Quantization quantize(const Model& model, const CalibrationData& data, const QuantizeOptions& options) {
  check_options(model, options);
  if (options.dtype.value_or(DType::kI8) != DType::kI8) return stored_narrow(model, data, options);
  check(!data.empty(), "[quantize] expects data to calibrate with, found none");
  return Quantizer(model, data, options).quantize();
}

}  // namespace voxshift
