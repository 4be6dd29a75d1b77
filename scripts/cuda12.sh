#!/usr/bin/env bash
# All CUDA sources against CUDA 12.2, which JetPack 6 has, for Orin and Hopper: by clang with NVIDIA's headers and ptxas of that
# version and GCC 11's C++ library, as no package has nvcc 12.2. Compiled, not run; what nvcc alone would refuse is not seen. A
# line for each fault and one at the end. pip downloads NVIDIA's wheels once to build/cuda12/wheels: 440 MB, cuBLAS' the most.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/quietly.sh
scripts/packages.sh cuda12

# The wheel of CUDA 12.2's CCCL lacks the headers whose names have no ending; 12.3's has them, and the same bytes otherwise.
wheels=(nvidia-cuda-runtime-cu12==12.2.140 nvidia-cuda-nvcc-cu12==12.2.140 nvidia-cuda-cccl-cu12==12.3.101.post1
        nvidia-cublas-cu12==12.2.5.6)
export folder=build/cuda12
rm -rf "$folder"/{toolkit,include,made,faulty}
mkdir -p "$folder"/{wheels,toolkit,include/voxshift,made}
for wheel in "${wheels[@]}"; do
  name=${wheel//-/_}
  compgen -G "$folder/wheels/${name/==/-}-*.whl" >/dev/null ||
    quietly cuda12_download python3 -m pip download --disable-pip-version-check --no-deps --only-binary :all: \
      --dest "$folder/wheels" "$wheel"
  unzip -qqo "$folder/wheels/${name/==/-}"-*.whl 'nvidia/*/include/*' 'nvidia/*/bin/*' 'nvidia/*/nvvm/*' \
    -d "$folder/toolkit" 2>/dev/null || [[ $? -eq 11 ]]  # which says that a wheel has no such folder
done
for part in "$folder"/toolkit/nvidia/*; do
  cp -r "$part/." "$folder/toolkit"
done
rm -r "$folder/toolkit/nvidia"
chmod +x "$folder/toolkit/bin/ptxas"
touch "$folder/toolkit/include/curand_mtgp32_kernel.h"  # clang includes it before every source
for part in */ voxshift.h; do
  ln -s "$PWD/${part%/}" "$folder/include/voxshift/"
done

# compile FILE HOW: HOW is a GPU's architecture, host for what the CPU runs of a CUDA source, or gcc for plain C++.
compile() {
  local file=$1 how=$2 stem
  stem=${file//\//_}.$how
  local command=(clang++-19 --gcc-install-dir="/usr/lib/gcc/$(uname -m)-linux-gnu/11" -x cuda --cuda-path="$folder/toolkit" -O2
                 -ffp-contract=off -Werror -Wall -Wshorten-64-to-32)
  case $how in
    gcc) command=(g++-11 -isystem "$folder/toolkit/include" -Itests -Werror -Wall -Wextra -DFAKE_NEWER=0
                  -DFAKE_CUBLAS_LT='""' -DFAKE_CUBLAS_LT_NEWER='""' -DFAKE_CUBLAS_LT_LACKS_ONE='""') ;;
    host) command+=(--cuda-host-only --cuda-gpu-arch=sm_87) ;;
    *) command+=(--cuda-device-only --cuda-gpu-arch="$how") ;;
  esac
  command+=(-std=c++20 -I"$folder/include" -c "$file" -o "$folder/made/$stem")
  "${command[@]}" >"$folder/made/$stem.log" 2>&1 && return
  echo "$file $how" >>"$folder/faulty"
  grep -E '(error|fatal) *:' "$folder/made/$stem.log" | sed "s/^/$how: /" || echo "$how: $file: see $folder/made/$stem.log"
}
export -f compile

for file in kernels_cuda/*.cu; do
  [[ $file == */warpgroup_product.cu ]] && hows=(sm_90a host) || hows=(sm_87 sm_90 host)
  printf "$file %s\n" "${hows[@]}"
done >"$folder/list"
headers="cuda_|cublas|voxshift/kernels_cuda/(cublas_lt|queue|status)"
grep -lE "#include <($headers)" {kernels_cuda,benchmarks,tests/kernels_cuda}/*.cpp |
  sed 's/$/ gcc/' >>"$folder/list"
xargs -a "$folder/list" -P "$(nproc)" -L 1 bash -c 'compile "$@"' compile |
  awk '!seen[$0]++'
if [[ -e $folder/faulty ]]; then
  echo "CUDA 12.2: faults in $(wc -l <"$folder/faulty") of $(wc -l <"$folder/list") compilations"
  exit 1
fi
echo "CUDA 12.2: $(wc -l <"$folder/list") compilations, no faults"
