#!/usr/bin/env bash
# Installs the Debian packages that voxshift needs: packages.sh GROUP..., with the groups below. The only list of them.
set -euo pipefail

build=(g++ cmake ninja-build pkg-config libhwy-dev liblzf-dev nlohmann-json3-dev libcli11-dev libstb-dev libopencv-dev libzip-dev
       libprotobuf-dev protobuf-compiler)
view=(libopen3d-dev)  # `voxshift view`; large, so not of `build`
test=("${view[@]}" libgtest-dev libbenchmark-dev libboost-context-dev ca-certificates python3 python3-dev python3-numpy python3-pip python3-torch python3-venv
      python3-matplotlib python3-pil python3-tqdm python3-open3d xvfb libgl1-mesa-dri chromium fonts-dejavu-core)
site=(doxygen)
check=(clang-format clang-tidy git pybind11-dev)
asan=(clang-19 libclang-rt-19-dev pybind11-dev)
arm64=(cmake ninja-build nlohmann-json3-dev python3 g++-aarch64-linux-gnu qemu-user-static
       libhwy-dev:arm64 liblzf-dev:arm64 libgtest-dev:arm64)
arm64_throughput=(llvm-19)
java=(openjdk-17-jdk-headless)
ports=(cmake ninja-build python3 python3-venv googletest)  # of scripts/ports.sh, and of each port:
ports_libcxx=(clang-19 libc++-19-dev libc++abi-19-dev)
ports_musl=(qemu-user-static)
ports_mingw=(g++-mingw-w64-x86-64-posix wine wine64)
ports_macos=()
ports_gcc11=(g++-11)
cuda12=(clang-19 g++-11 libgtest-dev python3-pip unzip)
phone=(cmake ninja-build g++-aarch64-linux-gnu qemu-user-static libc6:arm64 file python3-venv)
debs=(dpkg-dev file gzip pybind11-dev libcli11-dev libstb-dev python3-dev lintian debootstrap)
arm64_root=(proot qemu-user-static)
wheels=(g++ cmake ninja-build advancecomp bc unzip python3 python3-venv qemu-user-static)

groups=(build view test site check asan arm64 arm64_throughput java ports ports_libcxx ports_musl ports_mingw ports_macos ports_gcc11 cuda12 phone debs arm64_root wheels)
wanted=()
for group in "$@"; do
  if [[ " ${groups[*]} " != *" $group "* ]]; then
    echo "packages.sh: unknown group $group, expected one of: ${groups[*]}" >&2
    exit 2
  fi
  declare -n members=$group
  wanted+=("${members[@]}")
done

missing=()
native=$(dpkg --print-architecture)  # else a package's arm64 build would pass for the one of this machine
for package in "${wanted[@]}"; do
  [[ $package == *:* ]] && architecture=${package#*:} || architecture=$native
  dpkg-query --show --showformat='${db:Status-Status} ${Architecture}\n' "$package" 2>/dev/null |
    grep -Eqx "installed ($architecture|all)" || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

echo "Installing ${missing[*]}"
as_root=()
if [[ $(id -u) -ne 0 ]]; then
  if ! command -v sudo >/dev/null; then
    echo "packages.sh: neither root nor sudo; have these packages installed first" >&2
    exit 1
  fi
  as_root=(sudo)
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
quietly() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "$@" >"$log" 2>&1 </dev/null || {
    cat "$log" >&2
    echo "packages.sh: failed: $*" >&2
    exit 1
  }
}
[[ ${missing[*]} != *:arm64* ]] || quietly dpkg --add-architecture arm64
quietly apt-get update
quietly apt-get install --yes --no-install-recommends "${missing[@]}"
