#!/usr/bin/env bash
# Runs clang-tidy on the C++ files that differ from BASE (tidy.sh [BASE]; origin/main, on that branch the commit before,
# and without either all files), using the compile commands of preset cpu, each source alone and without precompiled
# headers: a source is to name what it needs, and GCC's are none of clang's.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/quietly.sh

base=${1:-$(git merge-base HEAD origin/main 2>/dev/null || true)}
[[ $base != $(git rev-parse HEAD) ]] || base=$(git rev-parse --quiet --verify HEAD^ || true)
if [[ -n $base ]]; then
  # But those that only moved.
  mapfile -t changed < <(git diff -M --name-status --diff-filter=d "$base" -- '*.h' '*.cpp' .clang-tidy |
                         awk '$1 != "R100" { print $NF }')
else
  mapfile -t changed < <(git ls-files '*.cpp')
fi

quietly tidy_configure cmake --preset cpu -B build/tidy -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON -DCMAKE_UNITY_BUILD=OFF
if grep -qF onnx_file.pb.cc build/tidy/compile_commands.json; then  # the headers that protobuf's compiler makes
  quietly tidy_generate cmake --build build/tidy --target voxshift_onnx_messages
fi

# What is compiled of them. A header is seen through the first source that includes it.
sources=()
for file in "${changed[@]}"; do
  case $file in
    .clang-tidy) mapfile -t -O ${#sources[@]} sources < <(git ls-files '*.cpp') ;;
    *.h)
      users=$(git grep -l -F -e "<voxshift/$file>" -e "\"${file##*/}\"" -- '*.cpp' || true)
      sources+=("${users%%$'\n'*}")
      ;;
    *) sources+=("$file") ;;
  esac
done
mapfile -t sources < <(printf '%s\n' "${sources[@]}" | sort -u | while read -r file; do
  if [[ -n $file ]] && grep -qF "/$file\"" build/tidy/compile_commands.json; then echo "$file"; fi
done)
echo "${#sources[@]} files"
[[ ${#sources[@]} -gt 0 ]] || exit 0

# Kernels are read for one instruction set, not for each.
printf '%s\n' "${sources[@]}" | xargs -P "$(nproc)" -n 1 clang-tidy-14 -p build/tidy --quiet \
  --extra-arg=-DHWY_COMPILE_ONLY_STATIC 2> >(grep -v 'warnings generated' >&2)
