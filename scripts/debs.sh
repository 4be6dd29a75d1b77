#!/usr/bin/env bash
# Debian packages in dist/, from nothing: debs.sh [ARCHITECTURE [STEP...]]. Architectures are amd64, the default, and arm64,
# cross-compiled. Steps, by default all: build; lint, where lintian may find no error; try, which installs them in a bare
# Debian 12 (as root, in build/try-ARCHITECTURE; arm64 in QEMU) and runs and links what they hold. For Debian 12 and what is
# on it: built elsewhere, they depend on that system's libraries.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/quietly.sh

architecture=${1:-amd64}
steps=("${@:2}")
[[ ${#steps[@]} -gt 0 ]] || steps=(build lint try)
declare -A presets=([amd64]=debs [arm64]=debs-arm64)
preset=${presets[$architecture]:?architecture is amd64 or arm64}
as_root=()
[[ $(id -u) -eq 0 ]] || as_root=(sudo)

# Headers of this machine's Python hold its own sizes: those of the other architecture, without installing its packages.
arm64_python() {
  local folder=$PWD/build/debs-arm64-python version
  version=$(/usr/bin/python3 -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
  rm -rf "$folder" && mkdir -p "$folder" &&
    (cd "$folder" && apt-get download "lib$version-dev:arm64" && dpkg-deb --extract ./*.deb .) &&
    cp -r "$folder/usr/include/$version" "$folder/include" &&
    cp "$folder/usr/include/aarch64-linux-gnu/$version/pyconfig.h" "$folder/include"
}

build() {
  local options=()
  if [[ $architecture == arm64 ]]; then
    scripts/packages.sh arm64 debs
    quietly debs_arm64_python arm64_python
    local suffix
    suffix=$(/usr/bin/python3 -c 'import sys; print(".cpython-%d%d-aarch64-linux-gnu.so" % sys.version_info[:2])')
    options=(-DPython_INCLUDE_DIR="$PWD/build/debs-arm64-python/include" -DVOXSHIFT_PYTHON_SUFFIX="$suffix")
  else
    scripts/packages.sh build view debs
  fi
  echo "Building the packages for $architecture in build/$preset"
  # Date of what is in them; and their jump tables are read-only once they are loaded, as Debian has it.
  SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
  export SOURCE_DATE_EPOCH LDFLAGS="${LDFLAGS:-} -Wl,-z,relro -Wl,-z,now"
  quietly "${preset}_configure" cmake --preset "$preset" "${options[@]}"
  quietly "${preset}_build" cmake --build --preset "$preset"
  quietly "${preset}_cpack" cpack --config "build/$preset/CPackConfig.cmake" -B "build/$preset/packages"
  mkdir -p dist
  rm -f dist/*"_$architecture.deb"
  cp "build/$preset/packages"/*"_$architecture.deb" dist/
  ls -l dist/*"_$architecture.deb"
}

lint() {
  scripts/packages.sh debs
  echo "lintian on the packages for $architecture"
  lintian --no-cfg --allow-root --fail-on error dist/*"_$architecture.deb"
}

# A root of Debian 12 with nothing but what every one has, kept for the next time. debootstrap mounts /proc and /sys in it: in a
# namespace of its own they end with it, even where it is interrupted, and nobody removes files through them.
bare_debian() {
  local root=$1
  [[ ! -f $root.done ]] || return 0
  "${as_root[@]}" rm -rf --one-file-system "$root" || return 1
  if [[ $architecture == arm64 ]]; then
    "${as_root[@]}" unshare --mount debootstrap --foreign --arch=arm64 --variant=minbase bookworm "$root" &&
      in_root "$root" /usr/bin/env DEBOOTSTRAP_DIR=/debootstrap /bin/sh /debootstrap/debootstrap --second-stage || return 1
  else
    "${as_root[@]}" unshare --mount debootstrap --arch="$architecture" --variant=minbase bookworm "$root" || return 1
  fi
  touch "$root.done"
}

in_root() {
  local root=$1 path=/usr/sbin:/usr/bin:/sbin:/bin
  if [[ -L $root/proc ]]; then  # debootstrap's, where it may not mount anything
    "${as_root[@]}" rm "$root/proc" && "${as_root[@]}" mkdir "$root/proc" || return 1
  fi
  if [[ $architecture == arm64 ]]; then
    "${as_root[@]}" env -i PATH=$path HOME=/root DEBIAN_FRONTEND=noninteractive unshare --mount proot -q qemu-aarch64-static -0 -r "$root" -b /proc -b /dev -b /etc/resolv.conf -w / "${@:2}"
  else
    "${as_root[@]}" env -i PATH=$path HOME=/root DEBIAN_FRONTEND=noninteractive unshare --mount sh -c 'mount -t proc proc "$0/proc"; exec chroot "$0" "$@"' "$root" "${@:2}"
  fi
}

try() {
  scripts/packages.sh debs
  [[ $architecture != arm64 ]] || scripts/packages.sh arm64_root
  local bare=$PWD/build/bookworm-$architecture root=$PWD/build/try-$architecture
  echo "Installing the packages for $architecture in a bare Debian, $root"
  quietly "debootstrap_$architecture" bare_debian "$bare"
  "${as_root[@]}" rm -rf --one-file-system "$root"
  "${as_root[@]}" cp -a "$bare" "$root"
  "${as_root[@]}" mkdir "$root/packages"
  "${as_root[@]}" cp dist/*"_$architecture.deb" packaging/try_debs.sh "$root/packages"
  quietly "try_$architecture" in_root "$root" /bin/sh /packages/try_debs.sh
  cat "build/try_$architecture.log"
  "${as_root[@]}" rm -rf --one-file-system "$root"
}

for step in "${steps[@]}"; do
  case $step in
    build | lint | try) "$step" ;;
    *)
      echo "debs.sh: unknown step $step, expected build, lint or try" >&2
      exit 2
      ;;
  esac
done
