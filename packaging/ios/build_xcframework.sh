#!/usr/bin/env bash
# Builds build/ios/voxshift.xcframework: build_xcframework.sh [PARTS], video unless `all` or `points` is said. On a Mac with
# Xcode and CMake. Untried: see README.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
source scripts/quietly.sh

if [[ $(uname) != Darwin ]]; then
  echo "build_xcframework.sh: needs a Mac with Xcode" >&2
  exit 1
fi
parts=${1:-video}
out=build/ios
rm -rf "$out/voxshift.xcframework" "$out/headers"
mkdir -p "$out/headers/voxshift"
cp c_api/c_api.h "$out/headers/voxshift/"
cp packaging/ios/module.modulemap "$out/headers/"

frameworks=()
for sdk in iphoneos iphonesimulator; do
  echo "Building for $sdk"
  quietly "ios_${sdk}_configure" cmake -S . -B "$out/$sdk" -G "Unix Makefiles" -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_SYSTEM_NAME=iOS -DCMAKE_OSX_SYSROOT="$sdk" -DCMAKE_OSX_ARCHITECTURES=arm64 \
    -DCMAKE_OSX_DEPLOYMENT_TARGET=16.4 -DVOXSHIFT_PARTS="$parts" -DVOXSHIFT_BUNDLED=ON \
    -DVOXSHIFT_{APPS,TESTS,BENCHMARKS,PYTHON,OPENCV,OPEN3D,CONVERT,CUDA}=OFF
  quietly "ios_${sdk}_build" cmake --build "$out/$sdk" --target voxshift_c --parallel
  # One archive of the interface and the library below it.
  libtool -static -o "$out/$sdk/libvoxshift_all.a" "$out/$sdk/libvoxshift.a" "$out/$sdk"/c_api/CMakeFiles/voxshift_c.dir/*.o
  frameworks+=(-library "$out/$sdk/libvoxshift_all.a" -headers "$out/headers")
done
quietly ios_xcframework xcodebuild -create-xcframework "${frameworks[@]}" -output "$out/voxshift.xcframework"
echo "$out/voxshift.xcframework"
