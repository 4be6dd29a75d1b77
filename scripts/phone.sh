#!/usr/bin/env bash
# What a phone or a 64-bit Arm board takes as it is, into dist/phone/, checked in QEMU:
#   voxshift-bench    one static file (musl, by zig) with models inside
#   libvoxshift_c.so  the C interface with its video part (Debian's glibc, C++'s library within), and c_api.h
# Pinned sources are downloaded, or taken as scripts/pinned.sh says.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/quietly.sh
source scripts/pinned.sh
scripts/packages.sh phone
out=dist/phone
most_bench=8000000 most_library=3000000  # bytes
model=networks/pretrained/tsm-mobilenetv2-motions-i8.safetensors
mkdir -p "$out"

options=(-G Ninja -DCMAKE_BUILD_TYPE=Release -DVOXSHIFT_SMALL=ON -DVOXSHIFT_BUNDLED=ON -DVOXSHIFT_CUDA=OFF
         -DVOXSHIFT_OPENCV=OFF -DVOXSHIFT_OPEN3D=OFF -DVOXSHIFT_CONVERT=OFF "${pinned[@]}")

fail() {
  echo "phone.sh: $*" >&2
  exit 1
}
at_most() {  # FILE BYTES
  local size
  size=$(stat --format=%s "$1")
  echo "$1: $size bytes, at most $2"
  [[ $size -le $2 ]] || fail "$1 is too large"
}

if [[ ! -x build/zig/bin/python ]]; then
  python3 -m venv build/zig
  quietly zig build/zig/bin/python -m pip install --disable-pip-version-check ziglang
fi
zig=$(build/zig/bin/python -c 'import pathlib, ziglang; print(pathlib.Path(ziglang.__file__).with_name("zig"))')

echo "Building voxshift-bench in build/phone/bench"
CCACHE_COMPILERCHECK=content quietly phone_bench_configure cmake -S . -B build/phone/bench --toolchain cmake/zig.cmake \
  "-DVOXSHIFT_ZIG=$zig" -DVOXSHIFT_ZIG_TARGET=aarch64-linux-musl -DCMAKE_EXE_LINKER_FLAGS=-static -DVOXSHIFT_TESTS=OFF \
  "${options[@]}"
CCACHE_COMPILERCHECK=content quietly phone_bench_build cmake --build build/phone/bench --target voxshift_bench
aarch64-linux-gnu-strip build/phone/bench/apps/bench/voxshift-bench -o "$out/voxshift-bench"
file "$out/voxshift-bench"
at_most "$out/voxshift-bench" "$most_bench"
qemu-aarch64-static "$out/voxshift-bench" tsm-mobilenetv2-motions-i8 --threads 1,2 --loops 8 --warmup 4
scan=build/phone/scan.bin  # a wall and a floor: a whole scan takes QEMU minutes
python3 -c 'import array, sys
points = [value for i in range(1500) for value in (5 + i % 50 / 10, i // 50 / 10 - 2, -1.7 if i % 2 else i % 9 / 10, 0.3)]
array.array("f", points).tofile(open(sys.argv[1], "wb"))' "$scan"
qemu-aarch64-static "$out/voxshift-bench" minkunet-lidar-i8 --input "$scan" --threads 2 --loops 1 --warmup 0

echo "Building libvoxshift_c.so in build/phone/library"
quietly phone_library_configure cmake -S . -B build/phone/library --toolchain cmake/aarch64-linux-gnu.cmake -DVOXSHIFT_TESTS=ON \
  -DVOXSHIFT_APPS=OFF -DVOXSHIFT_PARTS=video -DVOXSHIFT_STATIC_RUNTIME=ON "${options[@]}"
quietly phone_library_build cmake --build build/phone/library --target voxshift_c example_recognize example_segment
aarch64-linux-gnu-strip --strip-unneeded build/phone/library/c_api/libvoxshift_c.so.1 -o "$out/libvoxshift_c.so"
cp c_api/c_api.h "$out"
at_most "$out/libvoxshift_c.so" "$most_library"
needed=$(aarch64-linux-gnu-readelf --dynamic "$out/libvoxshift_c.so" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | tr '\n' ' ')
echo "needs $needed"
for library in $needed; do
  [[ $library =~ ^(libc\.so\.6|libm\.so\.6|libdl\.so\.2|ld-linux-aarch64\.so\.1)$ ]] || fail "libvoxshift_c.so needs $library"
done
others=$(aarch64-linux-gnu-nm --dynamic --defined-only "$out/libvoxshift_c.so" | grep -v ' [TA] \(voxshift_\|VOXSHIFT_\)' || true)
[[ -z $others ]] || fail "libvoxshift_c.so shows more than its interface: $others"
in_qemu() {
  qemu-aarch64-static -E LD_LIBRARY_PATH="$PWD/build/phone/library/c_api" "$@"
}
frames=build/phone/frames.nv21
head --bytes=$((320 * 240 * 3 / 2 * 4)) "$model" >"$frames"  # bytes are frames, too
in_qemu build/phone/library/examples/example_recognize "$model" 320 240 <"$frames"
refused=$(in_qemu build/phone/library/examples/example_segment networks/pretrained/minkunet-lidar-i8.safetensors "$frames" 2>&1) &&
  fail "a model of points was not refused"
[[ $refused == *"VOXSHIFT_PARTS"* ]] || fail "a model of points was refused with: $refused"
echo "$refused"
