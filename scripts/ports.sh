#!/usr/bin/env bash
# The library with other compilers, C++ libraries and systems, warnings as errors: ports.sh [NAME..], all without. Each from
# nothing in build/ports/NAME:
#   libcxx  clang and its libc++; the C++ tests
#   musl    static programs for 64-bit Arm by zig; the C++ tests in QEMU
#   mingw   Windows by MinGW-w64; the C++ tests of tensor, sparse_conv, video, files and the C interface in Wine
#   macos   both of Apple's processors by zig; compiled, not run
#   gcc11   GCC 11; compiled, not run
# Pinned sources are downloaded, or taken as scripts/pinned.sh says.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/quietly.sh
source scripts/pinned.sh
names=(libcxx musl mingw macos gcc11)
jobs=$(nproc)
export CCACHE_COMPILERCHECK=content  # zig's compilers are scripts in the build folder

# configure NAME OPTION..: build/ports/NAME, with nothing of this machine but the compiler.
configure() {
  local name=$1
  shift
  rm -rf "build/ports/$name"
  quietly "ports_${name}_configure" cmake -S . -B "build/ports/$name" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_COMPILE_WARNING_AS_ERROR=ON -DVOXSHIFT_BUNDLED=ON -DVOXSHIFT_CUDA=OFF -DVOXSHIFT_OPENCV=OFF \
    -DVOXSHIFT_OPEN3D=OFF -DVOXSHIFT_CONVERT=OFF -DVOXSHIFT_GTEST=/usr/src/googletest "${pinned[@]}" "$@"
}

# compile NAME TARGET..; check NAME OPTION..: ctest, and what came of it.
compile() {
  quietly "ports_$1_build" cmake --build "build/ports/$1" --parallel "$jobs" --target "${@:2}"
  echo "$1: compiled"
}
check() {
  quietly "ports_$1_ctest" ctest --test-dir "build/ports/$1" --output-on-failure --no-tests=error --parallel "$jobs" "${@:2}"
  echo "$1: $(grep "tests passed" "build/ports_$1_ctest.log")"
}

zig() {
  if [[ ! -x build/zig/bin/python ]]; then
    python3 -m venv build/zig
    quietly zig build/zig/bin/python -m pip install --disable-pip-version-check ziglang
  fi
  build/zig/bin/python -c 'import pathlib, ziglang; print(pathlib.Path(ziglang.__file__).with_name("zig"))'
}
configure_zig() {
  local name=$1 target=$2
  shift 2
  local program
  program=$(zig)
  configure "$name" --toolchain cmake/zig.cmake "-DVOXSHIFT_ZIG=$program" "-DVOXSHIFT_ZIG_TARGET=$target" "$@"
}

port_libcxx() {
  configure libcxx -DCMAKE_C_COMPILER=clang-19 -DCMAKE_CXX_COMPILER=clang++-19 -DCMAKE_CXX_FLAGS=-stdlib=libc++
  compile libcxx all
  check libcxx
}

port_musl() {
  configure_zig musl aarch64-linux-musl -DCMAKE_EXE_LINKER_FLAGS=-static -DVOXSHIFT_APPS=OFF -DVOXSHIFT_C_API=OFF
  compile musl all
  check musl
}

port_mingw() {
  configure mingw --toolchain cmake/x86_64-w64-mingw32.cmake
  compile mingw voxshift voxshift_command tests_tensor tests_sparse_conv tests_video tests_files tests_c_api
  export WINEPREFIX=$PWD/build/ports/mingw/wine WINEDEBUG=-all WINEPATH="Z:${PWD//\//\\}\\build\\ports\\mingw\\c_api"
  quietly ports_mingw_wine wine cmd /c ver
  check mingw --label-regex '^(tensor|sparse_conv|video|files|c_api)$'
}

port_macos() {
  for processor in aarch64 x86_64; do
    configure_zig "macos-$processor" "$processor-macos" -DVOXSHIFT_TESTS=OFF
    compile "macos-$processor" voxshift voxshift_command
  done
}

port_gcc11() {
  configure gcc11 -DCMAKE_C_COMPILER=gcc-11 -DCMAKE_CXX_COMPILER=g++-11 -DVOXSHIFT_TESTS=OFF
  compile gcc11 all
}

wanted=("${@:-${names[@]}}")
for name in "${wanted[@]}"; do
  if [[ " ${names[*]} " != *" $name "* ]]; then
    echo "ports.sh: unknown port $name, expected some of: ${names[*]}" >&2
    exit 2
  fi
done
scripts/packages.sh ports "${wanted[@]/#/ports_}"
for name in "${wanted[@]}"; do
  "port_$name"
done
