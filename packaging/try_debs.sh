#!/bin/sh
# In a bare Debian, as its root: installs the packages that lie beside this script and tries each. Nothing of the machine
# around is used. It ends with "all packages work".
set -eu
cd "$(dirname "$0")"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
work=$(mktemp -d)

install() {
  echo "== install $*"
  apt-get install -o Dpkg::Use-Pty=0 --yes --quiet=2 --no-install-recommends "$@" >"$work/apt.log" 2>&1 || { cat "$work/apt.log"; exit 1; }
}
has() { for package in "$1"_*.deb; do [ -e "$package" ]; done; }

apt-get update --quiet=2
install ./libvoxshift0_*.deb ./voxshift_*.deb
voxshift --version
voxshift synth lidar --seed 8 -o "$work/sample"
voxshift segment "$work/sample/velodyne/000000.bin" --out "$work/labels" --write label,ply
voxshift eval --pred "$work/labels" --gt "$work/sample/labels" | head -n 3
voxshift detect "$work/sample/velodyne/000000.bin" --out "$work/boxes" --write json
gzip -dc /usr/share/man/man1/voxshift.1.gz | head -n 2

if has python3-voxshift; then
  install ./python3-voxshift_*.deb
  cd "$work"
  python3 - <<'END'
import importlib.metadata

import numpy as np
import voxshift as vs

assert importlib.metadata.version("voxshift") == vs.__version__, vs.__version__
points, truth = vs.synth_lidar(seed=8)
labels = vs.Model.pretrained("minkunet-lidar").segment(points)
print("voxshift", vs.__version__, "in Python labels", np.count_nonzero(labels != 255), "of", len(points), "points")
END
  cd - >/dev/null
fi

install ./libvoxshift-dev_*.deb ./libvoxshift-c1_*.deb g++ cmake make pkg-config libhwy-dev
examples=/usr/share/doc/libvoxshift-dev/examples
if cmake -E cat $examples/CMakeLists.txt >/dev/null 2>&1; then
  cmake -S $examples -B "$work/consumer" -D CMAKE_BUILD_TYPE=Release >/dev/null
  cmake --build "$work/consumer" >/dev/null
  ctest --test-dir "$work/consumer" --output-on-failure | grep "tests passed"
  g++ -std=c++20 $examples/main.cpp $(pkg-config --cflags --libs voxshift) -o "$work/shared"
  "$work/shared"
  ldd "$work/shared" | grep "libvoxshift.so.0 =>"
  g++ -std=c++20 $examples/main.cpp $(pkg-config --cflags --static --libs voxshift | sed 's/-lvoxshift/-l:libvoxshift.a/') -o "$work/static"
  "$work/static"
  ! ldd "$work/static" | grep libvoxshift || exit 1
  gcc -std=c99 $examples/segment.c $(pkg-config --cflags --libs voxshift_c) -o "$work/segment"
  "$work/segment" /usr/share/voxshift/models/minkunet-lidar.safetensors "$work/sample/velodyne/000000.bin" | tail -n 3
else
  echo "nothing was compiled against them: cmake and g++ see no files under proot, which knows neither statx() nor faccessat2()"
fi

if has voxshift-opencv; then
  install ./voxshift-opencv_*.deb
  voxshift segment "$work/sample/velodyne/000000.bin" --out "$work/pictures" --write png
  voxshift synth video --seed 1 --label "moving right" -o "$work/clips"
  voxshift recognize "$work/clips/000000.mkv" --skip auto --annotate "$work/recognized.mp4" | tail -n 1
fi
if has voxshift-open3d; then
  install ./voxshift-open3d_*.deb
  voxshift --version | grep "Open3D on"
fi

echo "== remove"
apt-get purge -o Dpkg::Use-Pty=0 --yes --quiet=2 libvoxshift0 libvoxshift-c1 >/dev/null
for left in /usr/bin/voxshift /usr/share/voxshift /usr/include/voxshift /usr/lib/python3/dist-packages/voxshift; do
  [ ! -e $left ] || { echo "$left was left behind"; exit 1; }
done
echo "all packages work"
