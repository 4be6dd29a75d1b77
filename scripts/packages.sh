#!/usr/bin/env bash
# Installs the Debian packages that voxshift needs: packages.sh GROUP..., with the groups below. The only list of them.
set -euo pipefail

build=(g++ cmake ninja-build pkg-config libhwy-dev nlohmann-json3-dev libcli11-dev libopencv-dev libopen3d-dev python3)
test=(libgtest-dev ca-certificates python3-dev python3-numpy python3-pip python3-torch python3-venv)
check=(clang-format clang-tidy git)
arm64=(g++-aarch64-linux-gnu qemu-user-static libhwy-dev:arm64 libgtest-dev:arm64)

wanted=()
for group in "$@"; do
  case $group in
    build | test | check | arm64) declare -n members=$group && wanted+=("${members[@]}") ;;
    *) echo "packages.sh: unknown group $group, expected build, test, check or arm64" >&2 && exit 2 ;;
  esac
done

missing=()
for package in "${wanted[@]}"; do
  status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) || status=absent
  [[ $status == installed* ]] || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

echo "Installing ${missing[*]}"
as_root=()
if [[ $(id -u) -ne 0 ]]; then
  command -v sudo >/dev/null || { echo "packages.sh: not root and no sudo; install these packages first" >&2 && exit 1; }
  as_root=(sudo)
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
quietly() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "$@" >"$log" 2>&1 </dev/null || { cat "$log" >&2 && exit 1; }
}
[[ ${missing[*]} != *:arm64* ]] || quietly dpkg --add-architecture arm64
quietly apt-get update
quietly apt-get install --yes --no-install-recommends "${missing[@]}"
