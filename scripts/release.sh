#!/usr/bin/env bash
# All that a release is made of, from a clean clone of HEAD in build/release_clone: release.sh [STEP...]. What it makes is in
# dist/ with SHA256SUMS afterwards. Steps, by default all, in this order:
#   version     VERSION, the dated heading of CHANGELOG.md, and what asks for a version, agree
#   source      the source distribution, and a wheel of it alone that labels a scan in a clean virtual environment
#   sanitizers  clang builds library, tests and fuzz targets, warnings as errors; the tests under its sanitizers
#   ports       scripts/ports.sh: other compilers, GCC 11 among them, C++ libraries and systems, warnings as errors
#   wheels      scripts/wheels.sh; of each wheel, the SBOM that it holds
#   cuda        the same of the wheels with CUDA, which want the wheels before
#   debs        scripts/debs.sh, for amd64 and arm64
#   phone       scripts/phone.sh
# They install what they lack by apt-get. A step that is named is left out with a sentence where its tool is missing; of a run
# of all, that is an error. Pinned sources are downloaded, or taken as scripts/pinned.sh says.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/quietly.sh
root=$PWD
all=(version source sanitizers ports wheels cuda debs phone)
declare -A needs=([version]=git [source]=python3 [sanitizers]=apt-get [ports]=apt-get [wheels]=python3 [cuda]=nvcc
                  [debs]=apt-get [phone]=apt-get)

fail() {
  echo "release.sh: $*" >&2
  exit 1
}

steps=("$@")
for step in "${steps[@]}"; do
  if [[ " ${all[*]} " != *" $step "* ]]; then
    echo "release.sh: unknown step $step, expected some of: ${all[*]}" >&2
    exit 2
  fi
done

make_version() {
  local version heading asked
  version=$(<VERSION)
  heading=$(grep --max-count=1 '^## ' CHANGELOG.md)
  [[ $heading =~ ^"## [$version] - "[0-9]{4}-[0-9]{2}-[0-9]{2}$ ]] ||
    fail "VERSION is $version, CHANGELOG.md begins with \"$heading\": expected \"## [$version] - YYYY-MM-DD\""
  asked=$(sed -n 's/^find_package(voxshift \([0-9.]*\).*/\1/p' tests/consumer/CMakeLists.txt)
  [[ $asked == "${version%.*}" ]] || fail "tests/consumer asks for voxshift $asked, VERSION is $version"
  echo "voxshift $version, ${heading##* }"
}

make_source() {
  local python=build/release_python made
  scripts/packages.sh build
  python3 -m venv build/release_tools
  quietly release_tools build/release_tools/bin/pip install --disable-pip-version-check build
  quietly release_sdist build/release_tools/bin/python -m build --sdist --outdir dist .
  made=$(ls dist/voxshift-*.tar.gz)
  python3 -m venv "$python"
  quietly release_sdist_install "$python/bin/pip" install --disable-pip-version-check "$made"
  (cd / && "$root/build/release_clone/$python/bin/python" -c '
import voxshift as vs
points, labels = vs.synth_lidar(seed=8)
found = vs.Model.pretrained("minkunet-lidar").segment(points)
assert len(found) == len(points) and len(set(found.tolist())) > 5
print(f"{vs.__version__} of the source distribution labels {len(points)} points")')
}

make_sanitizers() {
  scripts/packages.sh build test asan
  quietly asan_configure cmake --preset asan
  grep -q '^CMAKE_COMPILE_WARNING_AS_ERROR:[A-Z]*=ON' build/asan/CMakeCache.txt || fail "warnings are no errors in build/asan"
  quietly asan_build cmake --build --preset asan
  quietly asan_ctest ctest --preset asan --parallel "$(nproc)"
  grep "tests passed" build/asan_ctest.log
}

make_ports() { scripts/ports.sh; }

wheels_and_sboms() {
  local wheel
  scripts/wheels.sh "$@"
  for wheel in dist/*.whl; do
    unzip -p "$wheel" '*.dist-info/sboms/voxshift.spdx.json' >"${wheel%.whl}.spdx.json" || fail "$wheel holds no SBOM"
  done
}

make_wheels() { wheels_and_sboms; }
make_cuda() { wheels_and_sboms cuda; }

make_debs() {
  scripts/debs.sh amd64
  scripts/debs.sh arm64
}

make_phone() { scripts/phone.sh; }

rm -rf --one-file-system build/release_clone
quietly release_clone git clone --quiet --no-hardlinks . build/release_clone
[[ -z $(git status --porcelain) ]] || echo "What is not committed is not in this release"
cd build/release_clone
mkdir -p build dist
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
echo "Release of $(git rev-parse --short HEAD) in build/release_clone"
for step in "${steps[@]:-${all[@]}}"; do
  echo "== $step"
  if ! command -v "${needs[$step]}" >/dev/null; then
    [[ ${#steps[@]} -gt 0 ]] || fail "$step needs ${needs[$step]}"
    echo "Left out: $step needs ${needs[$step]}, which is not here"
    continue
  fi
  "make_$step"
done

[[ ${#steps[@]} -gt 0 ]] || rm -rf "$root/dist"
mkdir -p "$root/dist"
cp -r dist/. "$root/dist"
cd "$root/dist"
find . -type f ! -name SHA256SUMS -printf '%P\0' | sort --zero-terminated | xargs --null --no-run-if-empty sha256sum >SHA256SUMS
echo "dist/ holds"
cat SHA256SUMS
