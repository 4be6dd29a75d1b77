#include <voxshift/files/atomic_file.h>
#include <voxshift/look/page.h>
#include <voxshift/look/page_template.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <ostream>
#include <sstream>
#include <string_view>
#include <utility>

namespace voxshift {
namespace {

using Json = nlohmann::ordered_json;

static_assert(std::endian::native == std::endian::little, "pages hold numbers as browsers have them in memory");

constexpr std::size_t kRecord = 8;  // x, y, z: u16; remission, class: u8
constexpr double kSteps = 65535;

struct Range1d {
  float low = 0, high = 0;

  float size() const { return high - low; }
};

/// The values between which the middle `share` of them lies.
Range1d middle_of(std::vector<float> values, double share) {
  if (values.empty()) return {};
  const auto at = [&](double rank) {
    const auto nth = values.begin() + std::lround(rank * static_cast<double>(values.size() - 1));
    std::nth_element(values.begin(), nth, values.end());
    return *nth;
  };
  const float low = at((1 - share) / 2);
  return {low, at((1 + share) / 2)};
}

/// The rows of a frame that can be shown, and between what they lie.
struct Shown {
  std::vector<std::size_t> rows;
  std::array<Range1d, 3> box;
};

std::vector<std::size_t> finite_rows(const PageFrame& frame) {
  std::vector<std::size_t> rows;
  const auto columns = static_cast<std::size_t>(frame.columns);
  for (std::size_t i = 0; i < frame.points.size() / columns; ++i) {
    const float* p = frame.points.data() + i * columns;
    if (std::isfinite(p[0]) && std::isfinite(p[1]) && std::isfinite(p[2])) rows.push_back(i);
  }
  return rows;
}

std::vector<float> axis_of(const PageFrame& frame, const std::vector<std::size_t>& rows, std::size_t axis) {
  std::vector<float> values(rows.size());
  const auto columns = static_cast<std::size_t>(frame.columns);
  std::ranges::transform(rows, values.begin(), [&](std::size_t i) { return frame.points[i * columns + axis]; });
  return values;
}

// A point is far where it lies twenty times as wide as the middle 99 % outside of these: a step of the box is then at
// most 1 / 1600 of where nearly all points are.
Shown shown_rows(const PageFrame& frame) {
  constexpr float kFar = 20;
  Shown shown{finite_rows(frame), {}};
  const auto columns = static_cast<std::size_t>(frame.columns);
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const Range1d middle = middle_of(axis_of(frame, shown.rows, axis), 0.99);
    const float margin = kFar * std::max(middle.size(), 1.0f);
    std::erase_if(shown.rows, [&](std::size_t i) {
      const float v = frame.points[i * columns + axis];
      return v < middle.low - margin || v > middle.high + margin;
    });
  }
  for (std::size_t axis = 0; axis < 3; ++axis) shown.box[axis] = middle_of(axis_of(frame, shown.rows, axis), 1);
  return shown;
}

std::string base64(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t there = std::min(bytes.size() - i, std::size_t{3});
    std::uint32_t word = 0;
    for (std::size_t k = 0; k < 3; ++k) word = word << 8 | (k < there ? bytes[i + k] : 0U);
    for (std::size_t k = 0; k < 4; ++k) text += k <= there ? kLetters[word >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

std::string escaped(std::string_view text) {
  std::string safe;
  for (const char c : text) safe += c == '<' ? "&lt;" : c == '&' ? "&amp;" : std::string(1, c);
  return safe;
}

/// A name need not be UTF-8, JSON must be.
std::string text_of(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

/// JSON that may stand in a script element, whatever names hold.
std::string for_script(std::string_view json) {
  std::string text;
  for (const char c : json) text += c == '<' ? "\\u003c" : std::string(1, c);
  return text;
}

/// Rounded to `digits` behind the point: shorter, and no more than a page shows.
double rounded(double value, int digits) {
  const double power = std::pow(10.0, digits);
  return std::round(value * power) / power;
}

// NaN and infinity, which JSON has not, become null.
Json boxes_json(const PageFrame& frame, const std::array<double, 3>& shift) {
  Json boxes = Json::array();
  for (const PageBox& found : frame.boxes) {
    const Box3d& b = found.box;
    const float numbers[] = {b.x, b.y, b.z, b.length, b.width, b.height, b.yaw};
    if (!std::ranges::all_of(numbers, [](float v) { return std::isfinite(v); })) continue;
    Json box = Json::array();
    for (std::size_t i = 0; i < 7; ++i)
      box.push_back(rounded(static_cast<double>(numbers[i]) + (i < 3 ? shift[i] : 0.0), 4));
    box.push_back(found.score && std::isfinite(*found.score) ? Json(rounded(static_cast<double>(*found.score), 4))
                                                             : Json());
    box.push_back(found.class_id);
    boxes.push_back(std::move(box));
  }
  return boxes;
}

// Every second record, spread evenly by the fractions of multiples of the golden ratio: every second of a scanner with
// an even number of beams would be the same beams.
void halve(std::vector<std::uint8_t>& records) {
  constexpr std::uint32_t kGolden = 2654435769U;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < records.size() / kRecord; ++i) {
    if (static_cast<std::uint32_t>(i) * kGolden >> 31 != 0) continue;
    std::memmove(records.data() + kRecord * kept++, records.data() + kRecord * i, kRecord);
  }
  records.resize(kRecord * kept);
}

std::string ordinal(std::size_t number) {
  return std::to_string(number) + (number % 10 == 2 ? "nd" : "th");  // of powers of two
}

std::string points_that(std::size_t count, const std::string& are) {
  return std::to_string(count) + (count == 1 ? " point is " : " points are ") + are;
}

}  // namespace

struct Page::Impl {
  struct Frame {
    std::string meta;  // JSON
    std::vector<std::uint8_t> records;
  };

  explicit Impl(PageOptions o) : options(std::move(o)) {}

  void look_at(const PageFrame& frame, const Shown& shown);
  std::vector<std::uint8_t> records_of(const PageFrame& frame, const Shown& shown) const;
  Json meta_of(const PageFrame& frame, const Shown& shown) const;
  std::size_t points() const;
  void drop_frames();
  void thin();
  std::string meta(const std::vector<std::string>& notes) const;

  std::uint8_t class_of(const PageFrame& frame, std::size_t row) const {
    const std::uint8_t label = frame.labels.empty() ? kUnlabelled : frame.labels[row];
    return label < options.classes.size() ? label : kUnlabelled;
  }

  PageOptions options;
  std::vector<Frame> frames;
  std::size_t given = 0, every = 1;  // frames: all, and one of how many is there
  int halved = 0;                    // how often points were
  std::size_t not_finite = 0, far = 0;
  // Of the first frame that has points, for all.
  bool looked = false;
  std::array<double, 3> origin{}, target{};
  double reach = 10;
  Range1d heights{0, 1};
  std::optional<float> full_remission;
};

// Where to look from: at the sensor where points lie around it, else at their middle, with nine tenths of them.
void Page::Impl::look_at(const PageFrame& frame, const Shown& shown) {
  if (frame.has_remission && !full_remission && !shown.rows.empty()) {
    const float most = middle_of(axis_of(frame, shown.rows, 3), 0.98).high;
    if (std::isfinite(most) && most > 0) full_remission = most;
  }
  if (looked || shown.rows.empty()) return;
  looked = true;
  origin = frame.origin;
  std::array<std::vector<float>, 3> axes;
  bool around = true;
  for (std::size_t axis = 0; axis < 3; ++axis) {
    axes[axis] = axis_of(frame, shown.rows, axis);
    const Range1d most = middle_of(axes[axis], 0.9);
    target[axis] = middle_of(axes[axis], 0).low;
    if (axis < 2) around = around && most.low < 0 && most.high > 0;
  }
  if (around) target[0] = target[1] = 0;
  std::vector<float> away(shown.rows.size());
  for (std::size_t i = 0; i < away.size(); ++i)
    away[i] = std::hypot(axes[0][i] - static_cast<float>(target[0]), axes[1][i] - static_cast<float>(target[1]));
  reach = std::max(static_cast<double>(middle_of(std::move(away), 0.8).high), 0.1);
  heights = middle_of(std::move(axes[2]), 0.96);
}

std::vector<std::uint8_t> Page::Impl::records_of(const PageFrame& frame, const Shown& shown) const {
  std::vector<std::uint8_t> records(shown.rows.size() * kRecord);
  std::uint8_t* record = records.data();
  for (const std::size_t row : shown.rows) {
    const float* p = frame.points.data() + row * static_cast<std::size_t>(frame.columns);
    for (std::size_t axis = 0; axis < 3; ++axis) {
      const double size =
          std::max(static_cast<double>(shown.box[axis].high) - static_cast<double>(shown.box[axis].low), 1e-30);
      const auto step = static_cast<std::uint16_t>(
          std::lround((static_cast<double>(p[axis]) - static_cast<double>(shown.box[axis].low)) / size * kSteps));
      std::memcpy(record + 2 * axis, &step, sizeof(step));
    }
    const float share = frame.has_remission && full_remission ? p[3] / *full_remission : 0;
    record[6] = static_cast<std::uint8_t>(share > 0 ? std::min(share, 1.0f) * 255 + 0.5f : 0);
    record[7] = class_of(frame, row);
    record += kRecord;
  }
  return records;
}

Json Page::Impl::meta_of(const PageFrame& frame, const Shown& shown) const {
  std::array<std::size_t, 256> counts{};
  for (const std::size_t row : shown.rows) ++counts[class_of(frame, row)];
  Json counted = Json::array(), low = Json::array(), extent = Json::array();
  for (std::size_t id = 0; !frame.labels.empty() && id < counts.size(); ++id)
    if (counts[id] > 0) counted.push_back({id, counts[id]});
  std::array<double, 3> shift{};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const Range1d& side = shown.box[axis];
    shift[axis] = frame.origin[axis] - origin[axis];
    low.push_back(static_cast<double>(side.low) + shift[axis]);
    extent.push_back(static_cast<double>(side.high) - static_cast<double>(side.low));
  }
  return {{"name", frame.name},
          {"seconds", frame.seconds && std::isfinite(*frame.seconds) ? Json(*frame.seconds) : Json()},
          {"points", shown.rows.size()},
          {"low", low},
          {"extent", extent},
          {"counts", counted},
          {"boxes", boxes_json(frame, shift)}};
}

std::size_t Page::Impl::points() const {
  std::size_t bytes = 0;
  for (const Frame& frame : frames) bytes += frame.records.size();
  return bytes / kRecord;
}

void Page::Impl::drop_frames() {
  for (std::size_t i = 1; 2 * i < frames.size(); ++i) frames[i] = std::move(frames[2 * i]);
  frames.resize((frames.size() + 1) / 2);
  every *= 2;
}

// Few points a frame show less than few frames.
void Page::Impl::thin() {
  constexpr std::size_t kFew = 10000;
  while (frames.size() > static_cast<std::size_t>(options.max_frames)) drop_frames();
  while (points() > static_cast<std::size_t>(options.max_points)) {
    if (frames.size() > 1 && points() / frames.size() < 2 * kFew) {
      drop_frames();
      continue;
    }
    for (Frame& frame : frames) halve(frame.records);
    ++halved;
  }
}

Page::Page(PageOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {
  check(impl_->options.max_points >= 1 && impl_->options.max_frames >= 1,
        "[page] max_points and max_frames expect at least 1, found ", impl_->options.max_points, " and ",
        impl_->options.max_frames);
  if (impl_->options.classes.size() > kUnlabelled) impl_->options.classes.resize(kUnlabelled);
}
Page::~Page() = default;
Page::Page(Page&&) noexcept = default;
Page& Page::operator=(Page&&) noexcept = default;

void Page::add(const PageFrame& frame) {
  Impl& page = *impl_;
  check(frame.columns >= (frame.has_remission ? 4 : 3), "[page] points expect at least ", frame.has_remission ? 4 : 3,
        " columns, found ", frame.columns);
  const auto columns = static_cast<std::size_t>(frame.columns);
  check(frame.points.size() % columns == 0, "[page] points expect rows of ", columns, " numbers, found ",
        frame.points.size());
  const std::size_t count = frame.points.size() / columns;
  check(frame.labels.empty() || frame.labels.size() == count, "[page] labels expect one a point, ", count, ", found ",
        frame.labels.size());
  if (page.given++ % page.every != 0) return;
  const std::size_t finite = finite_rows(frame).size();
  const Shown shown = shown_rows(frame);
  page.not_finite += count - finite;
  page.far += finite - shown.rows.size();
  page.look_at(frame, shown);
  page.frames.push_back({text_of(page.meta_of(frame, shown)), page.records_of(frame, shown)});
  for (int i = 0; i < page.halved; ++i) halve(page.frames.back().records);
  page.thin();
}

std::vector<std::string> Page::notes() const {
  const Impl& page = *impl_;
  std::vector<std::string> notes;
  if (page.every > 1)
    notes.push_back("every " + ordinal(page.every) + " of " + std::to_string(page.given) + " frames is shown");
  if (page.halved > 0) notes.push_back("1 of " + std::to_string(1 << page.halved) + " points is shown");
  if (page.not_finite > 0) notes.push_back(points_that(page.not_finite, "NaN or infinite"));
  if (page.far > 0) notes.push_back(points_that(page.far, "too far from the others"));
  return notes;
}

std::string Page::Impl::meta(const std::vector<std::string>& notes) const {
  Json classes = Json::array();
  for (const ClassInfo& info : options.classes) classes.push_back({{"name", info.name}, {"rgb", info.rgb}});
  std::string text = text_of({{"title", options.title},
                              {"classes", classes},
                              {"target", target},
                              {"reach", reach},
                              {"heights", {heights.low, heights.high}},
                              {"remission", full_remission ? Json(*full_remission) : Json()},
                              {"notes", notes}});
  text.back() = ',';
  text += "\"frames\":";
  for (std::size_t i = 0; i < frames.size(); ++i) text += (i == 0 ? '[' : ',') + frames[i].meta;
  return text + "]}";
}

void Page::write(std::ostream& stream) const {
  const Impl& page = *impl_;
  check(!page.frames.empty(), "[page] expects at least one frame, found none");
  std::string_view rest = kPageTemplate;
  const auto until = [&](std::string_view mark) {
    const std::size_t at = rest.find(mark);
    stream << rest.substr(0, at);
    rest.remove_prefix(at + mark.size());
  };
  until("@title@");
  stream << escaped(page.options.title);
  until("@meta@");
  stream << for_script(page.meta(notes()));
  until("@frames@");
  for (std::size_t i = 0; i < page.frames.size(); ++i)
    stream << "<script type=\"application/octet-stream\" id=\"frame" << i << "\">" << base64(page.frames[i].records)
           << "</script>\n";
  stream << rest;
}

std::string Page::html() const {
  std::ostringstream stream;
  write(stream);
  return std::move(stream).str();
}

void Page::save(const std::filesystem::path& path) const {
  write_atomically(path, [this](std::ostream& stream) { write(stream); });
}

}  // namespace voxshift
