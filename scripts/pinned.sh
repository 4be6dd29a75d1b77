# To be sourced. pinned: CMake's options for the sources of cmake/voxshift_dependencies.cmake, unpacked in the folder that
# VOXSHIFT_PINNED names (highway-1.0.3, json-3.11.2 and so on); none where it names none, and CMake downloads them.
pinned=()
if [[ -n ${VOXSHIFT_PINNED:-} ]]; then
  for source in HIGHWAY=highway NLOHMANN_JSON=json LIBLZF=liblzf CLI11=CLI11 STB=stb; do
    found=("$VOXSHIFT_PINNED/${source#*=}-"*)
    [[ -d ${found[0]} ]] || { echo "VOXSHIFT_PINNED: $VOXSHIFT_PINNED has no folder ${source#*=}-*" >&2; exit 1; }
    pinned+=("-DFETCHCONTENT_SOURCE_DIR_${source%%=*}=${found[0]}")
  done
fi
