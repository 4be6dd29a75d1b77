// Many scans, from files to files: the next one is read and the last one written while one is computed. Where nothing
// is computed meanwhile, neither gets a thread: that costs more than to read a scan where all processors are busy.
#pragma once

#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <utility>
#include <vector>

#include "report.h"

namespace voxshift {

/// What becomes of a scan, a Job on its way. `read` and `write` run beside the others, on threads of their own.
template <class Job>
struct ScanSteps {
  std::function<Job(const std::filesystem::path&)> read;
  std::function<void(Job&)> compute, write;
  std::function<void(const Job&)> report;  ///< after the last file is there
};

/// Runs all steps for every scan, with a progress line; a scan that fails is reported and left out. Returns whether all
/// went well.
template <class Job>
bool run_scans(const std::vector<std::filesystem::path>& scans, const ScanSteps<Job>& steps) {
  Progress progress(scans.size());
  bool all_good = true;
  const auto attempt = [&](const std::filesystem::path& scan, const auto& part) {
    try {
      about(scan, part);
      return true;
    } catch (const Error& error) {
      progress.clear();
      print_error(error.what());
      return all_good = false;
    }
  };
  std::future<Job> reading, writing;
  std::filesystem::path written;
  constexpr auto kBeside = std::launch::async | std::launch::deferred;  // where threads are refused, when it is needed
  const auto finish_writing = [&] {
    if (!writing.valid()) return;
    attempt(written, [&] {
      const Job job = writing.get();
      progress.clear();
      steps.report(job);
    });
  };
  const auto read_next = [&](std::size_t i) {
    if (i < scans.size()) reading = std::async(i == 0 ? std::launch::deferred : kBeside, steps.read, scans[i]);
  };
  read_next(0);
  for (std::size_t i = 0; i < scans.size(); ++i) {
    progress.show(i, scans[i].filename().string());
    Job job;
    const bool computed = attempt(scans[i], [&] {
      job = reading.get();
      read_next(i + 1);
      steps.compute(job);
    });
    if (!reading.valid()) read_next(i + 1);
    finish_writing();
    if (!computed) continue;
    written = scans[i];
    // copied, not moved, into the thread: one that is refused takes with it what was moved
    const auto write = [&steps, shared = std::make_shared<Job>(std::move(job))] {
      steps.write(*shared);
      return std::move(*shared);
    };
    writing = std::async(i + 1 == scans.size() ? std::launch::deferred : kBeside, write);
  }
  finish_writing();
  return all_good;
}

}  // namespace voxshift
