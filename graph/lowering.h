// What an op's lowering may ask for.
#pragma once

#include <voxshift/graph/draft.h>
#include <voxshift/graph/step.h>
#include <voxshift/video/resampling.h>

#include <memory>
#include <string>

namespace voxshift {

/// The plan as an op sees it while drafts become steps.
class Lowering {
 public:
  virtual ~Lowering() = default;

  virtual Device device() const = 0;
  virtual const Domains& domains() const = 0;
  virtual bool is_input(const std::string& value) const = 0;  ///< of the network
  virtual int domain(const std::string& value) const = 0;
  virtual std::int64_t channels(const std::string& value) const = 0;
  virtual DType input_dtype(const Draft& draft) const = 0;    ///< of the first input, as the draft's step reads it
  virtual Scales scales(const std::string& value) const = 0;  ///< of one that is i8

  /// A tensor that the draft's node names, on the CPU.
  virtual const Array& parameter(const Draft& draft, const char* role) const = 0;

  /// A kernel map, and a link between the rows of two domains; `weighted`: with indices and weights to interpolate. The
  /// same ones are shared.
  virtual int map(int fine, int coarse, const Window& window) = 0;
  virtual int link(int fine, int coarse, bool weighted) = 0;

  /// What pixels of the images `to` are made of, from those of `from`.
  virtual int link(int to, int from, const Resampling& resampling) = 0;

  /// Adds a step that reads the draft's first input and, where named, `other`, and writes its output.
  virtual void add(const Draft& draft, std::unique_ptr<Step> step, const std::string& other = "") = 0;
};

}  // namespace voxshift
